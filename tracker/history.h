/* SPDX-License-Identifier: MIT */
/*
 * How a process came to where it is: samples of its counters over its whole life, in bounded space.
 * When there is no room left every other sample goes, and from then on they are taken half as
 * often.
 */
#ifndef SKSM_HISTORY_H
#define SKSM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define SKSM_HISTORY_MAX 48u

/* Of struct sksm_counters, at one moment; sizes in bytes. Part of the format of records. */
struct sksm_sample {
	uint64_t at_ns;		/* CLOCK_BOOTTIME */
	uint64_t saved;
	uint64_t duplicate;
	uint64_t offered;
	uint64_t merged;
	uint64_t writes_seen;
	uint64_t cow_breaks;
	uint64_t cpu_ns;
};

struct sksm_history {
	uint32_t count;
	uint32_t spare;
	uint64_t interval_ns;	/* between two samples at least; 0: none was taken yet */
	struct sksm_sample list[SKSM_HISTORY_MAX];	/* ascending in time */
};

/* Would a sample be taken at @now_ns? */
bool sksm_history_due(const struct sksm_history *history, uint64_t now_ns);

/* Add one if it is due. Async-signal-safe. */
void sksm_history_add(struct sksm_history *history, const struct sksm_sample *sample);

/* False where this cannot be a history of what began at @start_ns: it comes from a file. */
bool sksm_history_valid(const struct sksm_history *history, uint64_t start_ns);

#endif
