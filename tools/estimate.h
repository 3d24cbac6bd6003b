/* SPDX-License-Identifier: MIT */
/*
 * What merging would free, from outside: for running programs that nothing is preloaded into. Their
 * pages are read (ptrace permission), nothing of theirs is changed, and KSM need not be there.
 *
 * Pages are looked at three times, an interval apart. Equal digests in the first two mean calm; of
 * what would be merged then, the third tells what would have been written since.
 */
#ifndef SKSM_ESTIMATE_H
#define SKSM_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host.h"

#include "tracker/options.h"

#define SKSM_ESTIMATE_PROCESSES_MAX 1024
/* What ksmd takes to merge a page, and a write to undo it, on a quiet machine: docs/policy.md. */
#define SKSM_MERGE_NS 4800
#define SKSM_BREAK_NS 2900

/* From so many copies on a content counts as one that is there many times; as in near.h. */
#define SKSM_ESTIMATE_MANY 16

/* In bytes, as in the JSON. */
struct sksm_estimate_sizes {
	uint64_t resident;	/* in memory, of the kinds and sizes that would be watched */
	uint64_t calm;		/* of that, unwritten for an interval */
	uint64_t duplicate;	/* of that, has a twin among these processes; pages of zeros */
	uint64_t huge_kept;	/* of that, in huge pages that would be left whole */
	uint64_t saved;		/* frames that merging the rest would free */
};

struct sksm_estimate_process {
	pid_t pid;
	char comm[16];
	bool gone;		/* ended meanwhile: nothing of it is counted */
	struct sksm_estimate_sizes sizes;
};

/* Savings by kind of content. */
enum sksm_estimate_kind {
	SKSM_ESTIMATE_ZERO,
	SKSM_ESTIMATE_MANY_TIMES,
	SKSM_ESTIMATE_DIVERSE,
	SKSM_ESTIMATE_KINDS
};

struct sksm_estimate {
	struct sksm_estimate_process *processes;
	size_t count;
	struct sksm_estimate_sizes total;
	uint64_t merged_already;	/* bytes in merged pages that are there before */
	uint64_t saved_by_kind[SKSM_ESTIMATE_KINDS];
	uint64_t contents_by_kind[SKSM_ESTIMATE_KINDS];
	/* What it would take. */
	uint64_t digests;
	uint64_t merges;
	uint64_t cpu_ns;	/* of the library in all processes */
	uint64_t ksmd_cpu_ns;
	uint64_t own;		/* memory of the library's own, in bytes */
	double seconds;		/* until it is merged */
	double breaks_per_second;	/* merges undone by writes */
	/* How it was found out. */
	double interval_seconds;	/* between two looks, as it was */
	uint64_t look_cpu_ns;	/* of the first look */
	bool go;
	char verdict[256];	/* in one line */
	/* Why nothing can be merged here, and what would help; NULL where it can, or is unknown. */
	struct sksm_verdict obstacle;
};

struct sksm_estimate_query {
	const pid_t *pids;
	size_t count;
	unsigned int interval_ms;
	bool progress;		/* on stderr */
};

/*
 * Why @pid cannot be estimated, in words in @ret; false where it can be. For what must not begin at
 * all.
 */
bool sksm_estimate_refuses(pid_t pid, char *ret, size_t size);

/* Take it. 0; -ESRCH where all of them ended meanwhile; or -errno. */
int sksm_estimate_take(struct sksm_estimate *ret, const struct sksm_estimate_query *query,
		       const struct sksm_host *host);

void sksm_estimate_fini(struct sksm_estimate *estimate);

/* Print it to stdout, for people or as JSON. 0 or -errno. */
int sksm_estimate_print(const struct sksm_estimate *estimate);
int sksm_estimate_json(const struct sksm_estimate *estimate);

#endif
