/* SPDX-License-Identifier: MIT */
/*
 * The engine "sksm": madvise(MADV_MERGE), which merges while we wait. No kernel has it yet, and
 * what it does was proposed in more than one way, so nothing is taken for granted but what the page
 * map says afterwards:
 *
 * - A page without a known twin may stay as it is (a candidate), and is merged when the twin is
 *   offered, by whoever offers that. Nothing tells us then, so bit 56 is read again for a while.
 * - The call may stop at the first page that it cannot merge, with or without an error.
 * - The call may hold the mmap lock all the time, so it is kept short.
 * - A merge may drop the write-protect bit of a page, or keep it.
 */
#ifndef SKSM_SYNC_H
#define SKSM_SYNC_H

#include <stdint.h>

struct sksm_tracker;
struct sksm_block;

struct sksm_sync {
	unsigned int batch_pages;	/* one call covers so many at most; 0: not known yet */
	unsigned int denials;		/* calls in a row that the kernel did not take */
	uint64_t retry_ns;		/* nothing is offered before */
	uint64_t longest_ns;		/* of all calls so far */
	uint64_t audited_ns;		/* the audit by which refused pages were looked at last */
	uint8_t round;			/* counts passes */
};

/* One pass of the engine: see what became of offers, offer what has a twin. */
void sksm_sync_pass(struct sksm_tracker *tracker);

#endif
