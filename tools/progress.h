/* SPDX-License-Identifier: MIT */
/*
 * What a series of pulses brings, by the kernel's own counters: whether more scans could still
 * help, and whether what was merged was worth what it cost. Not for two threads at once.
 */
#ifndef SKSM_PROGRESS_H
#define SKSM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "demand.h"

/*
 * Each scan looks at all that was ever offered: what waits is worth one where it is one part in so
 * many of that.
 */
#define SKSM_CRUMB_PART 16

struct sksm_progress {
	uint64_t merged;	/* pages, when they were last counted in */
	uint64_t scan;		/* that was under way then */
	uint64_t judged_scan;
	uint64_t gained;	/* pages that the series merged */
	bool fruitful;		/* it merged a part of what waits that counts */
};

/* What ksmd looks at in each scan, in bytes. */
uint64_t sksm_progress_scanned(const struct sksm_demand *demand);

void sksm_progress_begin(struct sksm_progress *progress);

/*
 * To be called every few milliseconds while ksmd runs; costs one small file, and five more once a
 * scan. True where ksmd had all the scans that could help, and little came of them.
 */
bool sksm_progress_fruitless(struct sksm_progress *progress, const struct sksm_demand *demand);

/*
 * The series is over and took @ksmd_cpu_ns. True where it was worth that: it was fruitful, and the
 * pages that it merged were not bought too dearly.
 */
bool sksm_progress_worth(struct sksm_progress *progress, const struct sksm_demand *demand,
			 uint64_t ksmd_cpu_ns);

#endif
