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
 * Each scan looks at all that was ever offered: where what waits is one part in so many of that, it
 * is worth a series of pulses at once.
 */
#define SKSM_CRUMB_PART 4
/* Series for less take no more than one part in so many of the time. */
#define SKSM_WASTE_PART 1000

struct sksm_progress {
	uint64_t merged;	/* pages, when they were last counted in */
	uint64_t scan;		/* that was under way then */
	uint64_t judged_scan;
	uint64_t gained;	/* pages that the series merged */
	uint64_t began;		/* pages that were merged when it began */
	uint64_t waited;	/* and those that waited then */
	uint64_t checked;	/* that were merged when it was last asked whether it is finished */
	uint64_t offered_bytes;
	bool fruitful;		/* it merged a part of what waits that counts */
	bool finished;		/* or all of it, however little that was */
};

/* What waits, while processes still offer more: zeros to begin with. */
struct sksm_growth {
	uint64_t bytes;		/* that wait, when it was last seen to grow */
	uint64_t grown_ns;	/* then */
	uint64_t began_ns;	/* when it was nothing before */
};

/* What ksmd looks at in each scan, in bytes. */
uint64_t sksm_progress_scanned(const struct sksm_demand *demand);

/*
 * How long what waits is to wait after the last series: not at all where it is much, or where
 * somebody waits for some of it; for @linger_ns where its pages are worth what they would cost; as
 * many times longer as they are dearer than that, until SKSM_WASTE_PART allows it.
 */
uint64_t sksm_progress_wait_ns(const struct sksm_demand *demand, uint64_t linger_ns);

/*
 * At @now_ns, does what waits still grow? Each process offers its twins in a pass of its own, a
 * second or two apart. Until the others are there ksmd looks at the first ones in vain, and in each
 * scan puts all of them into its tree anew (8 us a page of 65,000, six times what a look costs).
 * False where somebody waits, and after 2.5 s.
 */
bool sksm_progress_grows(struct sksm_growth *growth, const struct sksm_demand *demand,
			 uint64_t now_ns);

void sksm_progress_begin(struct sksm_progress *progress, const struct sksm_demand *demand);

/*
 * To be called every few milliseconds while ksmd runs; costs one small file, and five more once a
 * scan. True where ksmd had all the scans that could help, and little came of them.
 */
bool sksm_progress_fruitless(struct sksm_progress *progress, const struct sksm_demand *demand);

/*
 * As much was merged as waited and was offered since, but for a part that does not count, and
 * nothing since the last question: known sooner than from the records, which processes bring up to
 * date once in a pass. To be asked once a step; costs three small files.
 */
bool sksm_progress_finished(struct sksm_progress *progress, const struct sksm_demand *demand);

/*
 * After a step of @ms in which ksmd used @used_ns of CPU time, how long is the next to be? Where
 * others leave next to nothing to ksmd it has to get somewhere before the next check.
 */
#define SKSM_STEP_MS 20u
unsigned int sksm_progress_step_ms(unsigned int ms, uint64_t used_ns);

/*
 * The series is over and took @ksmd_cpu_ns. True where it was worth that: it was fruitful, and the
 * pages that it merged were not bought too dearly.
 */
bool sksm_progress_worth(struct sksm_progress *progress, const struct sksm_demand *demand,
			 uint64_t ksmd_cpu_ns);

#endif
