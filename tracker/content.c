/* SPDX-License-Identifier: MIT */
/*
 * Content: digests of what stayed unwritten for the age. A page is digested once per quiet period;
 * the digest stays good until a write is seen.
 */
#include "tracker.h"

#include <string.h>
#include <time.h>

#include "compare.h"
#include "sys.h"

bool sksm_content_need_copy(struct sksm_tracker *tracker)
{
	if (!tracker->copy)
		tracker->copy = sksm_arena_alloc(&tracker->arena,
						 SKSM_COPY_PAGES * SKSM_PAGE_BYTES);
	return tracker->copy != NULL;
}

unsigned int sksm_content_read(struct sksm_tracker *tracker, struct sksm_block *block,
			       unsigned int first, unsigned int count)
{
	uint64_t address = sksm_page_address(block, first);
	bool shared = tracker->kind == SKSM_TRACKER_DIGEST;
	ssize_t n;

	if (!block->digests)
		block->digests = sksm_arena_alloc(&tracker->arena, sizeof(*block->digests));
	if (!block->digests || !sksm_content_need_copy(tracker))
		return 0;
	for (unsigned int i = 0; i < count; i++)
		shared |= block->state[first + i] == SKSM_PAGE_MERGED;
	if (shared)
		return sksm_content_read_shared(tracker, address, count);
	/* The program may unmap it at any time: a copy by the kernel fails, a load would kill. */
	n = tracker->sys->copy_memory(tracker->copy, (void *)address, count * SKSM_PAGE_BYTES);
	return n < 0 ? 0 : (unsigned int)((size_t)n / SKSM_PAGE_BYTES);
}

unsigned int sksm_content_read_shared(struct sksm_tracker *tracker, uint64_t address,
				      unsigned int count)
{
	ssize_t n = tracker->mem_fd < 0 ? -1 :
		    tracker->sys->pread(tracker->mem_fd, tracker->copy,
					count * SKSM_PAGE_BYTES, address);

	return n < 0 ? 0 : (unsigned int)((size_t)n / SKSM_PAGE_BYTES);
}

unsigned int sksm_content_digest(struct sksm_tracker *tracker, struct sksm_block *block,
				 unsigned int first, unsigned int count)
{
	count = sksm_content_read(tracker, block, first, count);
	tracker->counters.digests += count;
	for (unsigned int i = 0; i < count; i++)
		sksm_block_set_digest(block, first + i,
				      sksm_digest_page(&tracker->digester,
						       tracker->copy + i * SKSM_PAGE_BYTES));
	return count;
}

static bool is_ripe(const struct sksm_tracker *tracker, const struct sksm_block *block,
		    unsigned int page)
{
	uint8_t passed = (uint8_t)(tracker->tick - block->stamp[page]);

	/* It would have to be read in; and one that waits in swap for good asks for no audits. */
	if (sksm_bit(block->swapped, page))
		return false;
	if (block->undigested && block->state[page] == SKSM_PAGE_MERGED)
		return !sksm_block_digest(block, page);
	if (block->state[page] != SKSM_PAGE_ARMED)
		return false;
	if (tracker->calm_ns)
		return true;
	return passed >= tracker->age_ticks << block->age_shift || passed > 200;
}

/*
 * Pages that fork shares gain nothing; merged ones help twins elsewhere. What has gone to swap
 * since the look is left there.
 */
static bool is_worth_digesting(struct sksm_tracker *tracker, struct sksm_block *block,
			       unsigned int page)
{
	uint64_t entry = tracker->pagemap[page];

	if (!(entry & SKSM_PM_PRESENT))
		return false;
	if (block->state[page] == SKSM_PAGE_MERGED)
		return true;
	if (sksm_entry_shared(entry)) {
		/* In memory that is mergeable since before we came it may be merged already. */
		bool merged = sksm_bit(block->offered, page) && tracker->audit.merged_bytes;

		if (merged)
			sksm_note_merge(tracker, block);
		sksm_block_set(&tracker->blocks, block, page,
			       merged ? SKSM_PAGE_MERGED : SKSM_PAGE_SHARED);
		return merged;
	}
	return true;
}

/* Pages [first, first + count) of a block are ripe. Returns how many could be read. */
static unsigned int digest_pages(struct sksm_tracker *tracker, struct sksm_block *block,
				 unsigned int first, unsigned int count)
{
	if (tracker->kind == SKSM_TRACKER_DIGEST)
		return sksm_compare_confirm(tracker, block, first, count);
	count = sksm_content_digest(tracker, block, first, count);
	for (unsigned int i = 0; i < count; i++)
		sksm_twins_publish(tracker, block, first + i);
	return count;
}

static void digest_block(struct sksm_tracker *tracker, struct sksm_block *block,
			 const uint64_t *barred)
{
	unsigned int page = 0;

	if (sksm_tracker_pagemap(tracker, block))
		return;
	while (page < SKSM_BLOCK_PAGES) {
		unsigned int count = 0, done;

		while (count < SKSM_COPY_PAGES && page + count < SKSM_BLOCK_PAGES &&
		       !sksm_bit(barred, page + count) && is_ripe(tracker, block, page + count) &&
		       is_worth_digesting(tracker, block, page + count))
			count++;
		if (!count) {
			page++;
			continue;
		}
		done = digest_pages(tracker, block, page, count);
		page += done ? done : 1;
	}
	block->undigested = false;
}

/* Pages of a block that wait to be digested, and the bits of those that must not be. */
static unsigned int count_ripe(const struct sksm_tracker *tracker, const struct sksm_block *block,
			       uint64_t *ret_barred)
{
	unsigned int ripe = 0;

	memset(ret_barred, 0, SKSM_BLOCK_WORDS * sizeof(*ret_barred));
	if (block->huge != SKSM_HUGE_NO)
		return tracker->now_ns < block->next_arm_ns ||
		       sksm_account_barred(tracker, block, ret_barred) ?
		       0 : sksm_huge_to_read(block);
	if (!block->count[SKSM_PAGE_ARMED] && !block->undigested)
		return 0;
	sksm_account_barred(tracker, block, ret_barred);
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		ripe += !sksm_bit(ret_barred, page) && is_ripe(tracker, block, page);
	return ripe;
}

static bool is_any_present(const struct sksm_block *block, const uint64_t *bits)
{
	uint64_t any = 0;

	for (int i = 0; i < SKSM_BLOCK_WORDS; i++)
		any |= bits[i] & block->present[i];
	return any;
}

/*
 * Memory that is marked sensitive is not even digested. What is ripe has been there for the age,
 * so the audit must be younger than that. Few pages are not worth one of their own; whether what is
 * sensitive is still so has time.
 */
static bool is_audited(struct sksm_tracker *tracker)
{
	uint64_t ripe = 0, barred[SKSM_BLOCK_WORDS];
	struct sksm_block *block, *next;
	bool held = false;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		ripe += count_ripe(tracker, block, barred);
		held |= is_any_present(block, barred);
	}
	if (ripe || held)
		sksm_account_audit(tracker, ripe);
	if (!ripe)
		return false;
	return sksm_tracker_audited(tracker, tracker->options->age_ms);
}

static void digest_ripe(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;
	uint64_t barred[SKSM_BLOCK_WORDS];

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!count_ripe(tracker, block, barred))
			continue;
		sksm_budget_update(&tracker->budget, sksm_clock_ns(CLOCK_BOOTTIME),
				   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), 0);
		if (!sksm_tracker_may_work(tracker) || sksm_tracker_stops(tracker))
			break;
		if (block->huge != SKSM_HUGE_NO)
			sksm_huge_step(tracker, block);
		else
			digest_block(tracker, block, barred);
	}
}

void sksm_content_pass(struct sksm_tracker *tracker)
{
	sksm_twins_pass(tracker);
	if (is_audited(tracker))
		digest_ripe(tracker);
	sksm_arena_free(&tracker->arena, tracker->copy, SKSM_COPY_PAGES * SKSM_PAGE_BYTES);
	tracker->copy = NULL;
	sksm_twins_flush(tracker);
	/* What found no place in the table would be known a pass later. */
	if (tracker->index_open && sksm_index_is_full(&tracker->index))
		sksm_twins_pass(tracker);
	if (tracker->index_open)
		sksm_index_flush(&tracker->index);
}
