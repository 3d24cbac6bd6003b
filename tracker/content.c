/* SPDX-License-Identifier: MIT */
/*
 * Content: digests of what stayed unwritten for the age, and the search for twins. A page is
 * digested once per quiet period; the digest stays good until a write is seen.
 */
#include "tracker.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "sys.h"

static uint64_t elapsed_ns(uint64_t since_ns)
{
	return sksm_clock_ns(CLOCK_BOOTTIME) - since_ns;
}

unsigned int sksm_content_digest(struct sksm_tracker *tracker, struct sksm_block *block,
				 unsigned int first, unsigned int count)
{
	ssize_t n;

	if (!block->digest)
		block->digest = sksm_arena_alloc(&tracker->arena, SKSM_BLOCK_PAGES *
						 sizeof(*block->digest));
	if (!block->digest)
		return 0;
	/* The program may unmap it at any time: a copy by the kernel fails, a load would kill. */
	n = tracker->sys->copy_memory(tracker->copy, (void *)sksm_page_address(block, first),
				      count * SKSM_PAGE_BYTES);
	if (n < 0)
		return 0;
	count = (unsigned int)((size_t)n / SKSM_PAGE_BYTES);
	for (unsigned int i = 0; i < count; i++)
		block->digest[first + i] = sksm_digest_page(&tracker->digester,
							    tracker->copy + i * SKSM_PAGE_BYTES);
	return count;
}

void sksm_content_publish(struct sksm_tracker *tracker, struct sksm_block *block,
			  unsigned int page)
{
	uint64_t digest = block->digest[page];
	bool twin = true;

	/* Zero pages have a twin in every kernel, and would crowd one bucket of the index. */
	if (digest != tracker->digester.zero)
		twin = tracker->index_open && sksm_index_publish(&tracker->index, digest) == 1;
	tracker->published = true;
	sksm_block_set(&tracker->blocks, block, page, twin ? SKSM_PAGE_TWIN : SKSM_PAGE_UNIQUE);
}

void sksm_content_withdraw(struct sksm_tracker *tracker, struct sksm_block *block,
			   unsigned int page)
{
	if (!block->digest || !block->digest[page])
		return;
	if (tracker->index_open && block->digest[page] != tracker->digester.zero)
		sksm_index_withdraw(&tracker->index, block->digest[page]);
	block->digest[page] = 0;
}

static bool is_ripe(const struct sksm_tracker *tracker, const struct sksm_block *block,
		    unsigned int page)
{
	uint8_t passed = (uint8_t)(tracker->tick - block->stamp[page]);

	if (block->state[page] != SKSM_PAGE_ARMED)
		return false;
	return passed >= tracker->age_ticks << block->age_shift || passed > 200;
}

/* Pages that are shared already gain nothing; those in swap would have to be read in. */
static bool is_worth_digesting(struct sksm_tracker *tracker, struct sksm_block *block,
			       unsigned int page)
{
	uint64_t entry = tracker->pagemap[page];

	if (!(entry & SKSM_PM_PRESENT))
		return false;
	if (sksm_entry_shared(entry)) {
		/* In memory that is mergeable since before we came, it may be merged already. */
		sksm_block_set(&tracker->blocks, block, page, sksm_bit(block->offered, page) &&
			       tracker->audit.merged_bytes ? SKSM_PAGE_MERGED : SKSM_PAGE_SHARED);
		return false;
	}
	return true;
}

static void digest_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	unsigned int page = 0;

	if (sksm_tracker_pagemap(tracker, block))
		return;
	while (page < SKSM_BLOCK_PAGES) {
		unsigned int count = 0, done;

		if (!is_ripe(tracker, block, page)) {
			page++;
			continue;
		}
		while (count < SKSM_COPY_PAGES && page + count < SKSM_BLOCK_PAGES &&
		       is_ripe(tracker, block, page + count) &&
		       is_worth_digesting(tracker, block, page + count))
			count++;
		if (!count) {
			page++;
			continue;
		}
		done = sksm_content_digest(tracker, block, page, count);
		for (unsigned int i = 0; i < done; i++)
			sksm_content_publish(tracker, block, page + i);
		page += done ? done : 1;
	}
}

/* Pages of a block that wait to be digested. */
static unsigned int count_ripe(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	unsigned int ripe = 0;

	if (block->huge != SKSM_HUGE_NO)
		return tracker->now_ns >= block->next_arm_ns ? SKSM_BLOCK_PAGES : 0;
	if (!block->count[SKSM_PAGE_ARMED])
		return 0;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		ripe += is_ripe(tracker, block, page);
	return ripe;
}

/*
 * Memory that is marked sensitive is not even digested. What is ripe has been there for the age,
 * so the audit must be younger than that. Few pages are not worth one of their own.
 */
static bool is_audited(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;
	uint64_t ripe = 0;

	HASH_ITER(hh, tracker->blocks.table, block, next)
		ripe += count_ripe(tracker, block);
	if (!ripe)
		return false;
	sksm_account_audit(tracker, ripe);
	return tracker->audit.done_ns + (uint64_t)tracker->options->age_ms * 1000000 >=
	       tracker->now_ns;
}

/* Publish everything again: the table is new. */
void sksm_content_republish(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		for (unsigned int page = 0; block->digest && page < SKSM_BLOCK_PAGES; page++) {
			uint8_t state = block->state[page];

			if (!sksm_page_digested(state) || !block->digest[page])
				continue;
			if (state == SKSM_PAGE_UNIQUE || state == SKSM_PAGE_TWIN)
				sksm_content_publish(tracker, block, page);
			else if (block->digest[page] != tracker->digester.zero)
				sksm_index_publish(&tracker->index, block->digest[page]);
		}
	}
}

/* Refused pages get another chance when twins come, but not for ever. */
#define MAX_RETRIES 4

static void look_up_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	bool retried = false;

	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		uint8_t state = block->state[page];
		int twin;

		if (!sksm_page_digested(state) || !block->digest[page] ||
		    block->digest[page] == tracker->digester.zero)
			continue;
		twin = sksm_index_lookup(&tracker->index, block->digest[page]);
		if (state == SKSM_PAGE_UNIQUE && twin == 1)
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_TWIN);
		else if (state == SKSM_PAGE_TWIN && twin == 0)
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_UNIQUE);
		if (state == SKSM_PAGE_REFUSED && twin == 1 && block->retries < MAX_RETRIES) {
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_TWIN);
			retried = true;
		}
	}
	block->retries += retried;
	/* A huge page may have become worth giving up: no need to wait for its turn. */
	if (block->huge == SKSM_HUGE_KNOWN &&
	    block->count[SKSM_PAGE_TWIN] * 2 >= SKSM_BLOCK_PAGES)
		block->next_arm_ns = 0;
}

/* Some page of ours got a twin, or a process that had one went: which? */
static void look_up_all(struct sksm_tracker *tracker)
{
	uint64_t start_ns = tracker->now_ns;
	struct sksm_block *block, *next;

	sksm_index_enter_lookups(&tracker->index);
	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (block->digest && !sksm_tracker_stops(tracker))
			look_up_block(tracker, block);
	sksm_index_leave_lookups(&tracker->index);
	tracker->lookups_due = false;
	/* At most a tenth of the time goes into this. */
	tracker->next_lookups_ns = tracker->now_ns + 10 * elapsed_ns(start_ns);
}

static void beat(struct sksm_tracker *tracker)
{
	int found = sksm_index_beat(&tracker->index);

	if (found == -ESTALE) {
		/* Somebody emptied the files under us: join anew. */
		sksm_index_close(&tracker->index);
		tracker->index_open = false;
	}
	if (found < 0)
		return;
	/* Of two that publish the same at the same time, one may overwrite the other: look again. */
	if (tracker->published)
		tracker->lookups_due = true;
	tracker->published = false;
	if (found & SKSM_INDEX_MOVED)
		sksm_content_republish(tracker);
	if (found & SKSM_INDEX_EVENT)
		tracker->lookups_due = true;
	if (tracker->lookups_due && tracker->now_ns >= tracker->next_lookups_ns)
		look_up_all(tracker);
}

static void digest_ripe(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!count_ripe(tracker, block))
			continue;
		sksm_budget_update(&tracker->budget, sksm_clock_ns(CLOCK_BOOTTIME),
				   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), 0);
		if (!sksm_budget_left(&tracker->budget) || sksm_tracker_stops(tracker))
			break;
		if (!tracker->options->merge_sensitive &&
		    sksm_ranges_overlap(&tracker->audit.sensitive, sksm_block_start(block),
					sksm_block_start(block) + SKSM_BLOCK_BYTES))
			continue;
		if (block->huge != SKSM_HUGE_NO)
			sksm_huge_step(tracker, block);
		else
			digest_block(tracker, block);
	}
}

void sksm_content_pass(struct sksm_tracker *tracker)
{
	if (tracker->index_open)
		beat(tracker);
	if (is_audited(tracker))
		digest_ripe(tracker);
	if (tracker->index_open)
		sksm_index_flush(&tracker->index);
}
