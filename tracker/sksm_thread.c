/* SPDX-License-Identifier: MIT */
/* libsksm: its thread, which owns the record and the tracker. */
#include "sksm_instance.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
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

/* Between passes while somebody waits: as long as they take, but not less. */
#define HURRY_PAUSE_NS 1000000

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
					  SKSM_RESERVED_BYTES, SKSM_RECORD_BYTES, &reason);
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
				  command, 0, sksm->reservation, &sksm->record,
				  &sksm->record_mapped);
}

static void store_record(const struct sksm *sksm)
{
	if (!sksm->record_mapped)
		sksm_record_store(&sksm_sys_kernel, &sksm->options, sksm->record);
}

void sksm_instance_end_record(struct sksm *sksm)
{
	sksm->record->state = SKSM_STATE_EXITED;
	store_record(sksm);
}

static void take_stats(struct sksm *sksm)
{
	struct sksm_counters *counters = &sksm->tracker->counters;
	const uint64_t *total = sksm->tracker->blocks.total;

	counters->cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	sksm_record_publish(sksm->record, counters);
	store_record(sksm);
	sksm->stats = (struct sksm_stats){
		.passes = counters->passes, .tracked = counters->tracked,
		.resident = counters->resident, .invariant = counters->invariant,
		.duplicate = counters->duplicate, .merged = counters->merged,
		.zero = counters->zero, .saved = counters->saved,
		.cow_breaks = counters->cow_breaks, .writes_seen = counters->writes_seen,
		.cpu_ns = counters->cpu_ns, .refused = total[SKSM_PAGE_REFUSED] * SKSM_PAGE_BYTES,
	};
	/* Nobody asks while nobody waits; and it is a walk over all pages. */
	sksm->busy = !sksm->hurries || sksm_account_undecided(sksm->tracker) ||
		     (sksm->tracker->engine != SKSM_ENGINE_NONE &&
		      (total[SKSM_PAGE_OFFERED] || sksm_offer_waiting(sksm->tracker))) ||
		     /* What is saved is known once smaps was read. */
		     total[SKSM_PAGE_MERGED] + total[SKSM_PAGE_ZERO] !=
		     sksm->tracker->audited_merged;
	sksm->passes++;
	pthread_cond_broadcast(&sksm->passed);
}

/* With the lock, which it lets go meanwhile. */
static void wait_until(struct sksm *sksm, uint64_t ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000),
	};

	pthread_cond_timedwait(&sksm->wake, &sksm->lock, &until);
}

static void pause_for(struct sksm *sksm, uint64_t ns, uint64_t hurried_ns)
{
	const uint64_t began_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	const uint64_t slice_ns = sksm_tracker_slice_ns(sksm->tracker);
	const bool hurries = sksm->hurries;
	uint64_t waited_ns = 0;

	if (hurries && ns > hurried_ns)
		ns = hurried_ns > HURRY_PAUSE_NS ? hurried_ns : HURRY_PAUSE_NS;
	while (!sksm->stop && !sksm->restart && sksm->changes == sksm->seen_changes &&
	       (hurries || !sksm->hurries) && !sksm_tracker_is_due(sksm->tracker, waited_ns, ns)) {
		wait_until(sksm, began_ns + (ns - waited_ns < slice_ns ? ns : waited_ns + slice_ns));
		waited_ns = sksm_clock_ns(CLOCK_MONOTONIC) - began_ns;
	}
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
		uint64_t pause_ns, began_ns;

		if (sksm->restart) {
			restart_tracker(sksm);
			continue;
		}
		copy_ranges(sksm);
		sksm->tracker->calm_ns = sksm->hurries ? sksm->hurry_ns : 0;
		pthread_mutex_unlock(&sksm->lock);
		began_ns = sksm_clock_ns(CLOCK_MONOTONIC);
		pause_ns = sksm_tracker_pass(sksm->tracker);
		pthread_mutex_lock(&sksm->lock);
		take_stats(sksm);
		pause_for(sksm, pause_ns, sksm_clock_ns(CLOCK_MONOTONIC) - began_ns);
	}
	if (sksm->tracker)
		sksm_tracker_fini(sksm->tracker);
	sksm->tracker = NULL;
}

void *sksm_instance_main(void *arg)
{
	struct sksm *sksm = arg;

	prctl(PR_SET_NAME, "sksm");
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid),
		    getpriority(PRIO_PROCESS, 0) + SKSM_THREAD_NICE);
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
