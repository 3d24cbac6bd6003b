/* SPDX-License-Identifier: MIT */
/* libsksm: a tracker with a thread, a list of ranges and a record. Not part of the shim. */
#include "sksm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "domain.h"
#include "record_file.h"
#include "scan.h"
#include "sys.h"
#include "tracker.h"

#define RESERVED_BYTES (1ul << 30)
#define SETTINGS_MAX 64
#define HURRY_PAUSE_NS 1000000

struct sksm {
	pid_t pid;
	pthread_t thread;
	pthread_mutex_t lock;		/* all below */
	pthread_cond_t wake;		/* the thread is to look */
	pthread_cond_t passed;		/* a pass is over */
	char *settings[SETTINGS_MAX + 1];	/* SKSM_NAME=VALUE */
	unsigned int setting_count;
	struct sksm_options options;	/* in use by the tracker */
	struct sksm_options next;	/* from the next restart on */
	struct sksm_ranges ranges;	/* from malloc, and so are the next two */
	struct sksm_ranges removed;	/* since the last pass */
	unsigned int changes;		/* of the ranges */
	unsigned int hurries;		/* callers of sksm_merge_now that wait */
	uint64_t hurry_ns;		/* when the last of them called */
	bool restart;
	uint32_t stop;
	uint64_t passes;
	bool busy;			/* something was left to do after the last pass */
	int error;			/* of a start */
	const char *reason;
	struct sksm_stats stats;
	/* The thread's. */
	char *reservation;
	struct sksm_record *record;
	struct sksm_tracker *tracker;
	struct sksm_ranges watched;	/* what passes go by: a copy of ranges */
	unsigned int seen_changes;
};

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	*(const char **)arg = expected;
}

/* Does a name that the options know stand before the '='? What they do not know they pass over. */
static bool is_known(const char *setting)
{
	static const char *const names[] = {
		"MODE", "ENGINE", "TRACKER", "THRESHOLD", "TRACK", "INTERVAL_MS", "AGE_MS",
		"CPU_PERCENT", "DIR", "DOMAIN", "HUGEPAGES", "SENSITIVE",
	};
	size_t length = strcspn(setting, "=");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == length && !strncmp(setting, names[i], length))
			return setting[length] == '=';
	return false;
}

static int parse_settings(struct sksm *sksm, struct sksm_options *ret, const char **ret_reason)
{
	const char *expected = NULL;

	sksm_options_parse(ret, sksm->settings, complain, &expected);
	if (!expected)
		return 0;
	*ret_reason = expected;
	return -EINVAL;
}

/* Add or replace a setting; the list stays as it was where it cannot be used. */
static int apply_setting(struct sksm *sksm, const char *setting, const char **ret_reason)
{
	unsigned int i = 0;
	char *copy, *old;
	int error;

	if (!strncmp(setting, "SKSM_", 5))
		setting += 5;
	if (!is_known(setting)) {
		*ret_reason = "expected NAME=VALUE with a name of docs/options.md";
		return -EINVAL;
	}
	if (asprintf(&copy, "SKSM_%s", setting) < 0)
		return -ENOMEM;
	while (i < sksm->setting_count && strncmp(copy, sksm->settings[i], strcspn(copy, "=") + 1))
		i++;
	if (i == SETTINGS_MAX) {
		free(copy);
		return -ENOMEM;
	}
	old = sksm->settings[i];
	sksm->settings[i] = copy;
	error = parse_settings(sksm, &sksm->next, ret_reason);
	free(error ? copy : old);
	if (error)
		sksm->settings[i] = old;
	else
		sksm->setting_count += i == sksm->setting_count;
	return error;
}

/* ---- the thread ---- */

static void copy_ranges(struct sksm *sksm)
{
	size_t bytes = sksm->ranges.count * sizeof(*sksm->ranges.list);
	struct sksm_range *list;

	if (sksm->seen_changes == sksm->changes)
		return;
	list = malloc(bytes ? bytes : 1);
	if (!list)
		return;
	if (bytes)
		memcpy(list, sksm->ranges.list, bytes);
	free(sksm->watched.list);
	sksm->watched = (struct sksm_ranges){ list, sksm->ranges.count, sksm->ranges.count };
	sksm->seen_changes = sksm->changes;
	/* Nothing is armed there any more; what is unmapped has no registration anyway. */
	for (unsigned int i = 0; i < sksm->removed.count && sksm->tracker->uffd >= 0; i++)
		sksm_scan_unregister(&sksm_sys_kernel, sksm->tracker->uffd,
				     sksm->removed.list[i].start, sksm->removed.list[i].end);
	sksm->removed.count = 0;
}

static const char *open_tracker(struct sksm *sksm)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	const char *reason = "the domain's directory cannot be used";
	int domain_fd = sksm_domain_open(sys, &sksm->options);

	sksm->error = -EACCES;
	if (domain_fd < 0)
		return reason;
	sksm->error = -EOPNOTSUPP;
	sksm->tracker = sksm_tracker_init(sys, &sksm->options, domain_fd, sksm->reservation,
					  RESERVED_BYTES, SKSM_RECORD_BYTES, &reason);
	if (!sksm->tracker) {
		sys->close(domain_fd);
		return reason;
	}
	sksm->tracker->stop = &sksm->stop;
	sksm->tracker->regions.only = &sksm->watched;
	sksm->record->engine = sksm->tracker->engine;
	sksm->record->tracker = sksm->tracker->kind;
	sksm->error = 0;
	return NULL;
}

static const char *make_record(struct sksm *sksm)
{
	char command[SKSM_COMMAND_MAX] = "";
	ssize_t n = sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/cmdline", command,
				   sizeof(command));

	for (ssize_t i = 0; i + 1 < n && i + 1 < (ssize_t)sizeof(command); i++)
		if (!command[i])
			command[i] = ' ';
	sksm->error = -EACCES;
	return sksm_record_create(&sksm_sys_kernel, &sksm->options, program_invocation_short_name,
				  command, 0, sksm->reservation, &sksm->record);
}

static void take_stats(struct sksm *sksm)
{
	struct sksm_counters *counters = &sksm->tracker->counters;
	const uint64_t *total = sksm->tracker->blocks.total;

	counters->cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	sksm_record_publish(sksm->record, counters);
	sksm->stats = (struct sksm_stats){
		.passes = counters->passes, .tracked = counters->tracked,
		.resident = counters->resident, .invariant = counters->invariant,
		.duplicate = counters->duplicate, .merged = counters->merged,
		.zero = counters->zero, .saved = counters->saved,
		.cow_breaks = counters->cow_breaks, .writes_seen = counters->writes_seen,
		.cpu_ns = counters->cpu_ns,
	};
	sksm->busy = total[SKSM_PAGE_LOOSE] || total[SKSM_PAGE_ARMED] ||
		     (sksm->tracker->engine != SKSM_ENGINE_NONE &&
		      (total[SKSM_PAGE_TWIN] || total[SKSM_PAGE_OFFERED])) ||
		     /* What is saved is known once smaps was read. */
		     total[SKSM_PAGE_MERGED] + total[SKSM_PAGE_ZERO] !=
		     sksm->tracker->audited_merged;
	sksm->passes++;
	pthread_cond_broadcast(&sksm->passed);
}

static void pause_for(struct sksm *sksm, uint64_t ns)
{
	const bool hurries = sksm->hurries;
	struct timespec until;

	if (hurries && ns > HURRY_PAUSE_NS)
		ns = HURRY_PAUSE_NS;
	clock_gettime(CLOCK_MONOTONIC, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	while (!sksm->stop && !sksm->restart && sksm->changes == sksm->seen_changes &&
	       (hurries || !sksm->hurries) &&
	       pthread_cond_timedwait(&sksm->wake, &sksm->lock, &until) != ETIMEDOUT)
		;
}

/* With the lock. Counts go on over a restart of the tracker. */
static void restart_tracker(struct sksm *sksm)
{
	struct sksm_counters before = sksm->tracker->counters;

	sksm->restart = false;
	sksm->options = sksm->next;
	sksm_tracker_fini(sksm->tracker);
	sksm->tracker = NULL;
	sksm->reason = open_tracker(sksm);
	if (sksm->reason)
		return;
	sksm_record_carry(&sksm->tracker->counters, &before);
}

static void run_passes(struct sksm *sksm)
{
	while (!sksm->stop && sksm->tracker) {
		uint64_t pause_ns;

		if (sksm->restart) {
			restart_tracker(sksm);
			continue;
		}
		copy_ranges(sksm);
		sksm->tracker->calm_ns = sksm->hurries ? sksm->hurry_ns : 0;
		pthread_mutex_unlock(&sksm->lock);
		pause_ns = sksm_tracker_pass(sksm->tracker);
		pthread_mutex_lock(&sksm->lock);
		take_stats(sksm);
		pause_for(sksm, pause_ns);
	}
	if (sksm->tracker)
		sksm_tracker_fini(sksm->tracker);
	sksm->tracker = NULL;
}

static void *thread_main(void *arg)
{
	struct sksm *sksm = arg;

	prctl(PR_SET_NAME, "sksm");
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
	pthread_mutex_lock(&sksm->lock);
	/* A table of descriptors of its own (since 5.9). */
	if (syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE)) {
		sksm->reason = "no descriptor table of our own (close_range, needs 5.9)";
		sksm->error = -EOPNOTSUPP;
	} else {
		sksm->reason = make_record(sksm);
		if (!sksm->reason)
			sksm->reason = open_tracker(sksm);
	}
	sksm->passes = 1;
	pthread_cond_broadcast(&sksm->passed);
	if (!sksm->reason)
		run_passes(sksm);
	sksm->passes++;
	pthread_cond_broadcast(&sksm->passed);
	pthread_mutex_unlock(&sksm->lock);
	return NULL;
}

/* ---- the caller's side ---- */

static void free_sksm(struct sksm *sksm)
{
	for (unsigned int i = 0; i < sksm->setting_count; i++)
		free(sksm->settings[i]);
	free(sksm->ranges.list);
	free(sksm->watched.list);
	free(sksm->removed.list);
	if (sksm->reservation)
		munmap(sksm->reservation, RESERVED_BYTES);
	free(sksm);
}

static int start_thread(struct sksm *sksm)
{
	pthread_condattr_t attributes;
	sigset_t all, old;
	int error;

	pthread_mutex_init(&sksm->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sksm->wake, &attributes);
	pthread_cond_init(&sksm->passed, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&sksm->thread, NULL, thread_main, sksm);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return -error;
	pthread_mutex_lock(&sksm->lock);
	while (!sksm->passes)
		pthread_cond_wait(&sksm->passed, &sksm->lock);
	error = sksm->reason ? sksm->error : 0;
	pthread_mutex_unlock(&sksm->lock);
	if (error)
		pthread_join(sksm->thread, NULL);
	return error;
}

int sksm_start(struct sksm **ret, const char *const *settings, const char **ret_reason)
{
	const char *ignored, **reason = ret_reason ? ret_reason : &ignored;
	struct sksm *sksm = calloc(1, sizeof(*sksm));
	int error = 0;

	*reason = "no memory";
	if (!sksm)
		return -ENOMEM;
	sksm->pid = getpid();
	for (; settings && *settings && !error; settings++)
		error = apply_setting(sksm, *settings, reason);
	if (!error)
		error = parse_settings(sksm, &sksm->options, reason);
	if (!error) {
		sksm_options_update_dir(&sksm->options);
		sksm->reservation = sksm_arena_reserve(&sksm_sys_kernel, RESERVED_BYTES);
		error = sksm->reservation ? start_thread(sksm) : -ENOMEM;
		*reason = sksm->reason ? sksm->reason : "a thread cannot be made";
	}
	if (error) {
		free_sksm(sksm);
		return error;
	}
	*ret = sksm;
	return 0;
}

void sksm_stop(struct sksm *sksm)
{
	if (!sksm)
		return;
	if (sksm->pid == getpid()) {
		pthread_mutex_lock(&sksm->lock);
		__atomic_store_n(&sksm->stop, 1, __ATOMIC_RELAXED);
		pthread_cond_signal(&sksm->wake);
		pthread_mutex_unlock(&sksm->lock);
		pthread_join(sksm->thread, NULL);
		if (sksm->record)
			sksm->record->state = SKSM_STATE_EXITED;
	}
	free_sksm(sksm);
}

/* The ranges with [start, end) in (@with) or out of them, into a new list. */
static int change_ranges(struct sksm *sksm, uint64_t start, uint64_t end, bool with)
{
	const struct sksm_ranges *old = &sksm->ranges;
	struct sksm_range *list = calloc(old->count + 2, sizeof(*list));
	unsigned int count = 0;
	bool placed = !with;

	if (!list)
		return -ENOMEM;
	for (unsigned int i = 0; i < old->count; i++) {
		struct sksm_range range = old->list[i];

		if (range.end < start || range.start > end) {
			if (!placed && range.start > end) {
				list[count++] = (struct sksm_range){ start, end };
				placed = true;
			}
			list[count++] = range;
		} else if (with) {
			start = range.start < start ? range.start : start;
			end = range.end > end ? range.end : end;
		} else {
			if (range.start < start)
				list[count++] = (struct sksm_range){ range.start, start };
			if (range.end > end)
				list[count++] = (struct sksm_range){ end, range.end };
		}
	}
	if (!placed)
		list[count++] = (struct sksm_range){ start, end };
	free(sksm->ranges.list);
	sksm->ranges = (struct sksm_ranges){ list, count, old->count + 2 };
	sksm->changes++;
	return 0;
}

static int note_removed(struct sksm *sksm, uint64_t start, uint64_t end)
{
	struct sksm_ranges *removed = &sksm->removed;
	struct sksm_range *list = reallocarray(removed->list, removed->count + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	removed->list = list;
	list[removed->count++] = (struct sksm_range){ start, end };
	return 0;
}

static int update_ranges(struct sksm *sksm, const void *start, size_t bytes, bool with)
{
	uint64_t from = ((uintptr_t)start + SKSM_PAGE_BYTES - 1) & -(uint64_t)SKSM_PAGE_BYTES;
	uint64_t to = ((uintptr_t)start + bytes) & -(uint64_t)SKSM_PAGE_BYTES;
	int error;

	if (sksm->pid != getpid())
		return -ECHILD;
	if (from >= to || (uintptr_t)start + bytes < (uintptr_t)start)
		return -EINVAL;
	pthread_mutex_lock(&sksm->lock);
	error = with ? 0 : note_removed(sksm, from, to);
	if (!error)
		error = change_ranges(sksm, from, to, with);
	pthread_cond_signal(&sksm->wake);
	pthread_mutex_unlock(&sksm->lock);
	return error;
}

int sksm_add(struct sksm *sksm, const void *start, size_t bytes)
{
	return update_ranges(sksm, start, bytes, true);
}

int sksm_remove(struct sksm *sksm, const void *start, size_t bytes)
{
	return update_ranges(sksm, start, bytes, false);
}

int sksm_set(struct sksm *sksm, const char *setting)
{
	const char *reason;
	int error;

	if (sksm->pid != getpid())
		return -ECHILD;
	pthread_mutex_lock(&sksm->lock);
	error = apply_setting(sksm, setting, &reason);
	if (!error) {
		/* The record is where it is. */
		memcpy(sksm->next.dir, sksm->options.dir, sizeof(sksm->next.dir));
		memcpy(sksm->next.domain, sksm->options.domain, sizeof(sksm->next.domain));
		sksm->restart = true;
		pthread_cond_signal(&sksm->wake);
	}
	pthread_mutex_unlock(&sksm->lock);
	return error;
}

int sksm_merge_now(struct sksm *sksm, unsigned int timeout_ms)
{
	struct timespec until;
	uint64_t target;
	int error = 0;

	if (sksm->pid != getpid())
		return -ECHILD;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&sksm->lock);
	/* The pass under way began before. */
	target = sksm->passes + 2;
	sksm->hurries++;
	sksm->hurry_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	pthread_cond_signal(&sksm->wake);
	while (!error && sksm->tracker && (sksm->passes < target || sksm->busy))
		error = pthread_cond_timedwait(&sksm->passed, &sksm->lock, &until);
	sksm->hurries--;
	pthread_mutex_unlock(&sksm->lock);
	return -error;
}

int sksm_get_stats(struct sksm *sksm, struct sksm_stats *ret)
{
	if (sksm->pid != getpid())
		return -ECHILD;
	pthread_mutex_lock(&sksm->lock);
	*ret = sksm->stats;
	pthread_mutex_unlock(&sksm->lock);
	return 0;
}

const char *sksm_get_engine(const struct sksm *sksm)
{
	return sksm_engine_name(sksm->record->engine);
}

const char *sksm_get_tracker(const struct sksm *sksm)
{
	return sksm_tracker_name(sksm->record->tracker);
}
