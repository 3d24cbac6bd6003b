/* SPDX-License-Identifier: MIT */
/*
 * Merge engines and placement. An offer marks runs of pages with twins; what becomes of them is
 * seen by the scans that follow (look.c).
 *
 * ksm: MADV_MERGEABLE on the run. Each run may cut the mapping in three, so pages in between that
 * are calm too are taken along, and offers stop well below vm.max_map_count. A mark is taken back
 * only where nothing is merged: MADV_UNMERGEABLE would copy every merged page (trap 21). It is
 * renewed where smart scan keeps twins apart (renew.c).
 *
 * sksm: see sync.h.
 */
#include "tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "sys.h"

/* Calm pages without a twin that a run may take along. */
#define BRIDGE_PAGES 15
/*
 * ksmd needs two scans for a page it has not seen, one more to settle, and one was under way; its
 * smart scan may skip the twin that was offered first for up to eight (mm/ksm.c, skip_age).
 */
#define PATIENCE_SCANS 12
/* A hot block gives up its marks from this level on. */
#define WITHDRAW_LEVEL 4

static void read_full_scans(struct sksm_tracker *tracker)
{
	char text[24];
	unsigned int value = 0;
	ssize_t n;

	if (tracker->full_scans_fd < 0)
		return;
	n = tracker->sys->pread(tracker->full_scans_fd, text, sizeof(text), 0);
	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (unsigned int)(text[i] - '0');
	tracker->scans_seen = n > 0 && tracker->full_scans != (uint8_t)value;
	if (n > 0)
		tracker->full_scans = (uint8_t)value;
	if (tracker->scans_seen)
		tracker->quiet_scans = 0;
	else
		tracker->quiet_scans++;
}

static void mark_offered(struct sksm_tracker *tracker, struct sksm_block *block,
			 unsigned int page)
{
	sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_OFFERED);
	block->stamp[page] = tracker->full_scans;
	tracker->quiet_scans = 0;
}

/* Its marks. Where both have marked the same pages, only the program's call tells. */
static bool are_ours(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	return !block->adopted && !tracker->options->keeps_marks;
}

/*
 * Of several mappings the kernel marks those before the one that fails. Left so, their marks would
 * pass for the program's.
 */
static void undo_offer(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		       unsigned int to)
{
	for (unsigned int page = from; page < to; page++)
		if (sksm_bit(block->offered, page))
			return;
	if (are_ours(tracker, block))
		tracker->sys->madvise((void *)sksm_page_address(block, from),
				      (to - from) * SKSM_PAGE_BYTES, MADV_UNMERGEABLE);
}

/* Offer [from, to). 0; -ENOMEM: no more mappings to be had; other errors concern this run. */
static int offer_run(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		     unsigned int to)
{
	int error = tracker->sys->madvise((void *)sksm_page_address(block, from),
					  (to - from) * SKSM_PAGE_BYTES, MADV_MERGEABLE);

	if (error) {
		undo_offer(tracker, block, from, to);
		return error;
	}
	for (unsigned int page = from; page < to; page++) {
		sksm_bit_set(block->offered, page);
		if (block->state[page] == SKSM_PAGE_TWIN)
			mark_offered(tracker, block, page);
	}
	tracker->regions.mappings += 2;
	return 0;
}

static bool may_bridge(uint8_t state)
{
	return state >= SKSM_PAGE_ARMED;
}

/* The end of the run that starts at @from, which has a twin. */
static unsigned int find_run_end(const struct sksm_block *block, const uint64_t *barred,
				 unsigned int from)
{
	unsigned int end = from + 1;

	for (unsigned int page = end; page < SKSM_BLOCK_PAGES && page - end <= BRIDGE_PAGES;
	     page++) {
		if (!may_bridge(block->state[page]) || sksm_bit(barred, page))
			break;
		if (block->state[page] == SKSM_PAGE_TWIN)
			end = page + 1;
	}
	return end;
}

static unsigned int count_twins(const struct sksm_block *block, unsigned int from, unsigned int to)
{
	unsigned int twins = 0;

	for (unsigned int page = from; page < to; page++)
		twins += block->state[page] == SKSM_PAGE_TWIN;
	return twins;
}

/* The shortest run still worth a mapping; the scarcer mappings get, the longer. 0: none is. */
static unsigned int shortest_run(const struct sksm_tracker *tracker)
{
	unsigned int used = tracker->regions.mappings, limit = tracker->max_mappings;

	if (used < limit / 2)
		return 1;
	if (used < limit - limit / 4)
		return 16;
	return used < limit ? 128 : 0;
}

static int offer_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint64_t barred[SKSM_BLOCK_WORDS];
	unsigned int page = 0;

	sksm_account_barred(tracker, block, barred);
	while (page < SKSM_BLOCK_PAGES) {
		unsigned int shortest, end;

		if (block->state[page] != SKSM_PAGE_TWIN || sksm_bit(barred, page)) {
			page++;
			continue;
		}
		if (sksm_bit(block->offered, page)) {
			mark_offered(tracker, block, page++);
			continue;
		}
		end = find_run_end(block, barred, page);
		shortest = shortest_run(tracker);
		if (!shortest)
			return -ENOMEM;
		if (end - page < shortest)
			tracker->short_twins += count_twins(block, page, end);
		else if (offer_run(tracker, block, page, end) == -ENOMEM)
			return -ENOMEM;
		page = end;
	}
	return 0;
}

static void offer_all(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	tracker->short_twins = 0;
	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!block->count[SKSM_PAGE_TWIN] || block->huge != SKSM_HUGE_NO)
			continue;
		if (sksm_tracker_stops(tracker) || offer_block(tracker, block) == -ENOMEM)
			break;
	}
	tracker->shortest = shortest_run(tracker);
}

uint64_t sksm_offer_waiting(const struct sksm_tracker *tracker)
{
	unsigned int shortest = shortest_run(tracker);
	uint64_t pages = shortest ? sksm_account_offerable(tracker) : 0;

	if (shortest != tracker->shortest)
		return pages;
	return pages > tracker->short_twins ? pages - tracker->short_twins : 0;
}

/* Nothing in the marked pages of @block is mapped elsewhere too, so unmarking copies nothing. */
static bool is_unmerged(struct sksm_tracker *tracker, const struct sksm_block *block)
{
	if (sksm_tracker_pagemap(tracker, block))
		return false;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		if (sksm_bit(block->offered, page) && sksm_entry_shared(tracker->pagemap[page]))
			return false;
	return true;
}

static void withdraw_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		unsigned int from = page;

		while (page < SKSM_BLOCK_PAGES && sksm_bit(block->offered, page))
			page++;
		if (page == from)
			continue;
		if (tracker->sys->madvise((void *)sksm_page_address(block, from),
					  (page - from) * SKSM_PAGE_BYTES, MADV_UNMERGEABLE))
			return;
		for (unsigned int i = from; i < page; i++) {
			sksm_bit_clear(block->offered, i);
			if (block->state[i] == SKSM_PAGE_REFUSED)
				sksm_block_set(&tracker->blocks, block, i, SKSM_PAGE_UNIQUE);
		}
	}
}

/* Not those that wait for ksmd to forget them. */
static bool is_overdue(const struct sksm_tracker *tracker, const struct sksm_block *block,
		       unsigned int page)
{
	return block->state[page] == SKSM_PAGE_OFFERED &&
	       (!block->unmarked || sksm_bit(block->offered, page)) &&
	       (uint8_t)(tracker->full_scans - block->stamp[page]) >= PATIENCE_SCANS;
}

/* By digests alone: with write-protection a look shows the zero page. */
static enum sksm_page_state merged_state(const struct sksm_tracker *tracker,
					 const struct sksm_block *block, unsigned int page)
{
	return tracker->kind == SKSM_TRACKER_DIGEST &&
	       sksm_block_digest(block, page) == tracker->digester.zero ?
	       SKSM_PAGE_ZERO : SKSM_PAGE_MERGED;
}

/*
 * ksmd has made a scan: what became of the offered pages? Of those that it merges, the first of
 * each content becomes the merged frame where it is, and keeps its protection: no look shows that
 * it was merged (mm/ksm.c, try_to_merge_two_pages; seen on 6.18). Bit 56 does.
 */
static void follow_up(struct sksm_tracker *tracker, struct sksm_block *block)
{
	bool overdue = false;

	if (sksm_tracker_pagemap(tracker, block))
		return;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		uint8_t state = block->state[page];

		if (state != SKSM_PAGE_OFFERED && state != SKSM_PAGE_REFUSED)
			continue;
		if (sksm_entry_shared(tracker->pagemap[page])) {
			sksm_note_merge(tracker, block);
			sksm_block_set(&tracker->blocks, block, page,
				       merged_state(tracker, block, page));
		} else {
			overdue |= is_overdue(tracker, block, page);
		}
	}
	if (!overdue || (are_ours(tracker, block) && sksm_renew_begin(tracker, block)))
		return;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		if (is_overdue(tracker, block, page))
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_REFUSED);
}

/* See to offered pages; unmark blocks that turned hot. */
static void maintain(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (tracker->scans_seen && (block->count[SKSM_PAGE_OFFERED] ||
					    block->count[SKSM_PAGE_REFUSED]))
			follow_up(tracker, block);
		if (block->unmarked)
			sksm_renew_end(tracker, block);
		if (block->level < WITHDRAW_LEVEL || !are_ours(tracker, block) ||
		    block->count[SKSM_PAGE_OFFERED] || block->count[SKSM_PAGE_MERGED] ||
		    block->count[SKSM_PAGE_ZERO] || sksm_bits_empty(block->offered))
			continue;
		if (is_unmerged(tracker, block))
			withdraw_block(tracker, block);
	}
}

void sksm_offer_pass(struct sksm_tracker *tracker)
{
	uint64_t waiting;

	if (tracker->engine == SKSM_ENGINE_SKSM)
		sksm_sync_pass(tracker);
	if (tracker->engine != SKSM_ENGINE_KSM)
		return;
	read_full_scans(tracker);
	maintain(tracker);
	waiting = sksm_offer_waiting(tracker);
	if (!waiting)
		return;
	/* A mapping may have been locked or marked since it was digested. */
	sksm_account_audit(tracker, waiting);
	if (sksm_tracker_audited(tracker, SKSM_OFFER_AUDIT_MS))
		offer_all(tracker);
}
