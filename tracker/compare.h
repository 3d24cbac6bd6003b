/* SPDX-License-Identifier: MIT */
/*
 * The second tracker (SKSM_TRACKER=digest), for kernels without PAGEMAP_SCAN or WP_ASYNC (before
 * 6.7): it gives the answers that a scan would give, from the page map and from comparing digests.
 * A page is "armed" by keeping a digest of it, and was "written" where a later digest differs. It
 * costs the program no fault, and us some 0.8 us a page for each comparison instead of 2 ns for a
 * look. So pages are compared when their answer decides something: those of a sample in the next
 * pass, ripe ones once before they are published, digested ones once in a while.
 *
 * A page that is written and written back between two comparisons is taken for calm, and one that
 * was written since the last comparison for what it was: the digest is a hint, and the kernel
 * compares contents before it merges.
 */
#ifndef SKSM_COMPARE_H
#define SKSM_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"

struct sksm_block;
struct sksm_tracker;

/* Larger mappings are not watched: the page map has no way to skip a hole (4 ns a page). */
#define SKSM_COMPARE_MAX_BYTES (64ull << 30)

/*
 * As sksm_scan_look with must == 0, for the part of [@start, @end) in the first block only.
 * Returns the number of runs or -errno; nothing at or behind *ret_walked was examined. @runs has
 * room for SKSM_BLOCK_PAGES.
 */
int sksm_compare_look(struct sksm_tracker *tracker, uint64_t start, uint64_t end,
		      struct sksm_page_region *runs, uint64_t *ret_walked);

/*
 * May the loose pages of @block be digested? What is sensitive is not, not even for ourselves; these
 * pages may be new, so the audit must be of this pass. Makes one where it does not cost too much.
 */
bool sksm_compare_may_arm(struct sksm_tracker *tracker, const struct sksm_block *block);

/*
 * As sksm_scan_arm_runs: the loose pages in [@from, @to) of a block become armed. Only where
 * sksm_compare_may_arm.
 */
void sksm_compare_arm(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		      unsigned int to);

/*
 * Pages [@first, @first + @count) of a block are ripe: those that hold what they held are
 * published, the others were written. Returns how many could be read.
 */
unsigned int sksm_compare_confirm(struct sksm_tracker *tracker, struct sksm_block *block,
				  unsigned int first, unsigned int count);

/* Bytes of [@start, @end) that are in memory. */
uint64_t sksm_compare_present(struct sksm_tracker *tracker, uint64_t start, uint64_t end);

#endif
