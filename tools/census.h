/* SPDX-License-Identifier: MIT */
/*
 * All that is known of the processes of a domain: their records, what became of them, and for
 * living ones the kernel's own count of merged pages where we may see it.
 */
#ifndef SKSM_CENSUS_H
#define SKSM_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "places.h"
#include "process.h"
#include "trend.h"
#include "unrecorded.h"

/* Texts are clean (sksm_text_clean); pointers are to static strings. */
struct sksm_frames_part;
struct sksm_file_view;

struct sksm_entry {
	struct sksm_record record;	/* counters: bytes as in the JSON */
	char comm[2 * SKSM_COMM_MAX];
	char command[SKSM_COMMAND_MAX];
	char dormant[SKSM_REASON_MAX];	/* empty: it is not */
	char dir[SKSM_PATH_MAX];
	char domain[SKSM_DOMAIN_MAX];
	char name[64];			/* of the file */
	uid_t owner;
	dev_t dev;
	ino_t inode;
	bool mapped;			/* the file, by the process, while it lives */
	pid_t pid;			/* by which we know it: another one in a container */
	enum sksm_life life;
	const char *state;
	const char *engine;
	const char *tracker;
	const char *mode;
	double seconds;			/* from its start until now, or until the last update */
	struct sksm_trend trend;	/* as of its last update */
	bool measured;			/* merged, zero and saved are the kernel's count */
	struct sksm_file_view *sites;	/* its file of call sites, where asked for and there */
	/* Where measured: of each mapping in it, and behind them of all else. */
	struct sksm_frames_part *parts;
};

enum sksm_census_scope { SKSM_CENSUS_ALL, SKSM_CENSUS_LIVE, SKSM_CENSUS_FINISHED };

struct sksm_census_query {
	const char *domain;	/* NULL: every one */
	const pid_t *pids;	/* these alone, unless pid_count is 0 */
	size_t pid_count;
	uint64_t run_id;	/* of the sksm-run that started them; 0: all */
	enum sksm_census_scope scope;
	bool clean;		/* remove records that were never filled in */
	bool sites;		/* read files of call sites too */
	bool unrecorded;	/* look for processes without a record too */
};

struct sksm_census {
	struct sksm_entry *list;	/* by pid and start */
	size_t count;
	size_t living;
	char other_domains[256];	/* that have records but were not asked for, for a hint */
	struct sksm_unrecorded unrecorded;
	bool refused;		/* own_dir is there and could not be looked into (places.h) */
	/*
	 * Sums of the counters. Of living processes alone where there is one and both kinds were
	 * asked for: what ended frees nothing now, and "saved" must be true.
	 */
	struct sksm_counters total;
	const char *total_of;		/* "running" or "finished" */
	size_t total_count;
};

/* Take it. 0 or -errno. */
int sksm_census_take(struct sksm_census *ret, const struct sksm_places *places,
		     const struct sksm_census_query *query);

/* The same where @options say, and as root wherever records may be. */
int sksm_census_look(struct sksm_census *ret, const struct sksm_options *options,
		     const struct sksm_census_query *query);

void sksm_census_fini(struct sksm_census *census);

/*
 * Remove the record files of the processes in @census that have ended. The number removed; what
 * cannot be removed is named on stderr.
 */
size_t sksm_census_prune(const struct sksm_census *census);

#endif
