/* SPDX-License-Identifier: MIT */
/* libsksm: a tracker with a thread, a list of ranges and a record. Not part of the shim. */
#include "sksm_instance.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "record_file.h"
#include "sys.h"
#include "tracker.h"

static void free_sksm(struct sksm *sksm)
{
	for (unsigned int i = 0; i < sksm->setting_count; i++)
		free(sksm->settings[i]);
	free(sksm->ranges.list);
	free(sksm->watched.list);
	free(sksm->removed.list);
	if (sksm->reservation)
		munmap(sksm->reservation, SKSM_RESERVED_BYTES);
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
	error = pthread_create(&sksm->thread, NULL, sksm_instance_main, sksm);
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
		error = sksm_instance_set(sksm, *settings, reason);
	if (!error)
		error = sksm_instance_parse(sksm, &sksm->options, reason);
	if (!error) {
		sksm_options_update_dir(&sksm->options);
		sksm->reservation = sksm_arena_reserve(&sksm_sys_kernel, SKSM_RESERVED_BYTES);
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
		pthread_mutex_lock(&sksm->lock);
		while (sksm->hurries)
			pthread_cond_wait(&sksm->passed, &sksm->lock);
		pthread_mutex_unlock(&sksm->lock);
		if (sksm->record)
			sksm_instance_end_record(sksm);
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
	error = sksm_instance_set(sksm, setting, &reason);
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
	/* Somebody may stop us and wait for this. */
	pthread_cond_broadcast(&sksm->passed);
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
