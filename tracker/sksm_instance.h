/* SPDX-License-Identifier: MIT */
/* What the parts of libsksm share: the caller's side, its settings, the thread. Not installed. */
#ifndef SKSM_INSTANCE_H
#define SKSM_INSTANCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "options.h"
#include "region.h"
#include "sksm.h"

struct sksm_record;
struct sksm_tracker;

#define SKSM_RESERVED_BYTES (1ul << 30)
#define SKSM_SETTINGS_MAX 64

struct sksm {
	pid_t pid;
	pthread_t thread;
	pthread_mutex_t lock;		/* all below */
	pthread_cond_t wake;		/* the thread is to look */
	pthread_cond_t passed;		/* a pass is over */
	char *settings[SKSM_SETTINGS_MAX + 1];	/* SKSM_NAME=VALUE */
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
	bool record_mapped;
	struct sksm_tracker *tracker;
	struct sksm_ranges watched;	/* what passes go by: a copy of ranges */
	unsigned int seen_changes;
};

/*
 * The settings so far as the options of @ret. 0; -EINVAL: the last one cannot be used, *ret_reason
 * says what was expected.
 */
int sksm_instance_parse(struct sksm *sksm, struct sksm_options *ret, const char **ret_reason);

/*
 * Add or replace "NAME=VALUE" (SKSM_ before it is allowed) and parse all into sksm->next. 0;
 * -EINVAL and *ret_reason; -ENOMEM. The list stays as it was where it fails.
 */
int sksm_instance_set(struct sksm *sksm, const char *setting, const char **ret_reason);

/*
 * The thread: makes the record and the tracker, then passes until sksm->stop. Says in sksm->error
 * and sksm->reason what it could not make, with sksm->passes = 1 when it has tried.
 */
void *sksm_instance_main(void *sksm);

/* The record says that it was ended. After the thread. */
void sksm_instance_end_record(struct sksm *sksm);

#endif
