/* SPDX-License-Identifier: MIT */
#include "compare.h"

#include <time.h>

#include "scan.h"
#include "sys.h"
#include "tracker.h"

/*
 * Digested pages are compared again once in so many times what it took to see that they are calm.
 */
#define AGAIN_FACTOR 16

/* The entries of pages [from, to) of a block into their places in tracker->pagemap. */
static int read_entries(struct sksm_tracker *tracker, uint64_t number, unsigned int from,
			unsigned int to)
{
	uint64_t start = (number << SKSM_BLOCK_SHIFT) + (uint64_t)from * SKSM_PAGE_BYTES;

	return sksm_scan_pagemap(tracker->sys, tracker->pagemap_fd, start, to - from,
				 tracker->pagemap + from);
}

/* Comparing is what this tracker pays for: the budget is to know while it goes on. */
static void charge(struct sksm_tracker *tracker)
{
	sksm_budget_update(&tracker->budget, sksm_clock_ns(CLOCK_BOOTTIME),
			   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), 0);
}

static bool is_differing(struct sksm_tracker *tracker, struct sksm_block *block,
			 unsigned int page)
{
	return sksm_content_read(tracker, block, page, 1) == 1 &&
	       sksm_digest_page(&tracker->digester, tracker->copy) !=
	       sksm_block_digest(block, page);
}

/* Digested pages of the block are to be compared in this pass. */
static bool is_due(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint64_t calm_ms = (uint64_t)tracker->options->age_ms + tracker->options->interval_ms;

	return block->huge == SKSM_HUGE_NO && sksm_tracker_may_work(tracker) &&
	       (tracker->now_ns - block->since_ns >= AGAIN_FACTOR * calm_ms * 1000000 ||
		block->since_ns < tracker->calm_ns);
}

/* What a scan would say of a page besides its being present. */
static uint64_t judge_page(struct sksm_tracker *tracker, struct sksm_block *block,
			   unsigned int page, bool due)
{
	bool shared = sksm_entry_shared(tracker->pagemap[page]);
	bool differs = false;

	switch (block->state[page]) {
	case SKSM_PAGE_NONE:
	case SKSM_PAGE_LOOSE:
		return SKSM_PAGE_IS_WRITTEN;
	case SKSM_PAGE_SHARED:
		return 0;
	case SKSM_PAGE_ARMED:
		differs = block->sampling && is_differing(tracker, block, page);
		break;
	case SKSM_PAGE_MERGED:
	case SKSM_PAGE_ZERO:
		/*
		 * Ours alone: written, or the others have left. 0: merged before it was digested.
		 */
		differs = !shared && sksm_block_digest(block, page) &&
			  is_differing(tracker, block, page);
		break;
	case SKSM_PAGE_OFFERED:
	case SKSM_PAGE_REFUSED:
		/* Merged: the caller is to see that. Pages of zeros go to the zero page. */
		if (shared && sksm_bit(block->offered, page))
			return SKSM_PAGE_IS_WRITTEN |
			       (sksm_block_digest(block, page) == tracker->digester.zero ?
				SKSM_PAGE_IS_PFNZERO : 0);
		/* fallthrough */
	default:
		differs = due && is_differing(tracker, block, page);
	}
	return differs ? SKSM_PAGE_IS_WRITTEN : 0;
}

static uint64_t categories_of(struct sksm_tracker *tracker, struct sksm_block *block,
			      unsigned int page, bool due)
{
	uint64_t entry = tracker->pagemap[page], found = SKSM_PAGE_IS_WPALLOWED;

	if (!(entry & (SKSM_PM_PRESENT | SKSM_PM_SWAP)))
		return 0;
	found |= entry & SKSM_PM_PRESENT ? SKSM_PAGE_IS_PRESENT : SKSM_PAGE_IS_SWAPPED;
	if (entry & SKSM_PM_FILE)
		return found | SKSM_PAGE_IS_FILE;
	if (!block)
		return found | SKSM_PAGE_IS_WRITTEN;
	/* What is in swap is not read in for this. */
	if (!(entry & SKSM_PM_PRESENT))
		return found | (block->state[page] <= SKSM_PAGE_LOOSE ? SKSM_PAGE_IS_WRITTEN : 0);
	if (block->huge != SKSM_HUGE_NO)
		found |= SKSM_PAGE_IS_HUGE;
	return found | judge_page(tracker, block, page, due);
}

int sksm_compare_look(struct sksm_tracker *tracker, uint64_t start, uint64_t end,
		      struct sksm_page_region *runs, uint64_t *ret_walked)
{
	uint64_t number = start >> SKSM_BLOCK_SHIFT, stop = (number + 1) << SKSM_BLOCK_SHIFT;
	struct sksm_block *block = sksm_blocks_find(&tracker->blocks, number);
	unsigned int from = (start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES, to;
	bool due = block && is_due(tracker, block);
	int error, count = 0;

	if (stop > end)
		stop = end;
	to = from + (unsigned int)((stop - start) >> SKSM_PAGE_SHIFT);
	error = read_entries(tracker, number, from, to);
	if (error)
		return error;
	for (unsigned int page = from; page < to; page++) {
		uint64_t at = (number << SKSM_BLOCK_SHIFT) + (uint64_t)page * SKSM_PAGE_BYTES;
		uint64_t found = categories_of(tracker, block, page, due);

		if (!found)
			continue;
		if (!count || runs[count - 1].end != at || runs[count - 1].categories != found)
			runs[count++] = (struct sksm_page_region){ .start = at,
								   .categories = found };
		runs[count - 1].end = at + SKSM_PAGE_BYTES;
	}
	if (due) {
		block->since_ns = tracker->now_ns;
		charge(tracker);
	}
	*ret_walked = stop;
	return count;
}

/*
 * Is this a huge page, or may it be? The page map does not tell, the audit tells for whole
 * mappings. Where it is none, it is only given up later than it could be.
 */
static bool is_huge(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint64_t start = sksm_block_start(block), end = start + SKSM_BLOCK_BYTES;
	struct sksm_range range;

	return !tracker->options->split_hugepages &&
	       block->count[SKSM_PAGE_LOOSE] == SKSM_BLOCK_PAGES &&
	       sksm_ranges_clip(&tracker->audit.huge, start, end, &range) &&
	       range.start == start && range.end == end;
}

bool sksm_compare_may_arm(struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint64_t barred[SKSM_BLOCK_WORDS], waiting = block->count[SKSM_PAGE_LOOSE];

	/* Whether what is sensitive is still so has time. */
	if (sksm_account_barred(tracker, block, barred))
		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
			waiting -= block->state[page] == SKSM_PAGE_LOOSE && sksm_bit(barred, page);
	sksm_account_audit(tracker, waiting ? tracker->blocks.total[SKSM_PAGE_LOOSE] : 0);
	return tracker->audit.done_ns >= tracker->now_ns;
}

static void arm_page(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page)
{
	sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_ARMED);
	block->stamp[page] = tracker->tick;
}

static bool is_armable(const struct sksm_tracker *tracker, const struct sksm_block *block,
		       const uint64_t *barred, unsigned int page)
{
	return block->state[page] == SKSM_PAGE_LOOSE && !sksm_bit(barred, page) &&
	       (tracker->pagemap[page] & (SKSM_PM_PRESENT | SKSM_PM_FILE)) == SKSM_PM_PRESENT;
}

void sksm_compare_arm(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		      unsigned int to)
{
	uint64_t barred[SKSM_BLOCK_WORDS];
	unsigned int page = from;

	if (is_huge(tracker, block)) {
		block->huge = SKSM_HUGE_NEW;
		return;
	}
	if (read_entries(tracker, block->number, from, to))
		return;
	sksm_account_barred(tracker, block, barred);
	while (page < to) {
		unsigned int count = 0, done;

		while (count < SKSM_COPY_PAGES && page + count < to &&
		       is_armable(tracker, block, barred, page + count))
			count++;
		done = count ? sksm_content_digest(tracker, block, page, count) : 0;
		for (unsigned int i = 0; i < done; i++)
			arm_page(tracker, block, page + i);
		page += done ? done : 1;
	}
	charge(tracker);
}

static void confirm_page(struct sksm_tracker *tracker, struct sksm_block *block,
			 unsigned int page, uint64_t digest)
{
	uint64_t kept = sksm_block_digest(block, page);

	if (block->state[page] == SKSM_PAGE_MERGED || kept == digest) {
		sksm_block_set_digest(block, page, digest);
		sksm_twins_publish(tracker, block, page);
	} else if (!kept) {
		/* Was shared with a child until now: it starts from here. */
		sksm_block_set_digest(block, page, digest);
		arm_page(tracker, block, page);
	} else {
		sksm_look_written(tracker, block, page);
	}
}

unsigned int sksm_compare_confirm(struct sksm_tracker *tracker, struct sksm_block *block,
				  unsigned int first, unsigned int count)
{
	count = sksm_content_read(tracker, block, first, count);
	tracker->counters.digests += count;
	for (unsigned int i = 0; i < count; i++)
		confirm_page(tracker, block, first + i,
			     sksm_digest_page(&tracker->digester,
					      tracker->copy + i * SKSM_PAGE_BYTES));
	block->since_ns = tracker->now_ns;
	return count;
}

uint64_t sksm_compare_present(struct sksm_tracker *tracker, uint64_t start, uint64_t end)
{
	uint64_t pages = 0;

	while (start < end) {
		uint64_t left = (end - start) >> SKSM_PAGE_SHIFT;
		unsigned int count = left < SKSM_BLOCK_PAGES ? (unsigned int)left :
				     SKSM_BLOCK_PAGES;

		if (sksm_scan_pagemap(tracker->sys, tracker->pagemap_fd, start, count,
				      tracker->pagemap))
			break;
		for (unsigned int i = 0; i < count; i++)
			pages += tracker->pagemap[i] & SKSM_PM_PRESENT ? 1 : 0;
		start += (uint64_t)count * SKSM_PAGE_BYTES;
	}
	return pages * SKSM_PAGE_BYTES;
}
