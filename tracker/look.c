/* SPDX-License-Identifier: MIT */
/* Scanning: what changed since the last pass, page by page where something did. */
#include "tracker.h"

#include <string.h>

#include "compare.h"
#include "scan.h"
#include "sys.h"

/* One pass in so many looks at all that is armed, too: what unarmed.c believes lasts no longer. */
#define WHOLE_PASSES 32

/* Blocks of a region are looked at in ascending order; this is the one being put together. */
struct looking {
	struct sksm_tracker *tracker;
	struct sksm_look look;
	uint64_t number;
	uint64_t from;		/* the part of the region that lies in the block */
	uint64_t to;
	bool any;
};

int sksm_tracker_pagemap(struct sksm_tracker *tracker, const struct sksm_block *block)
{
	int error;

	error = sksm_scan_pagemap(tracker->sys, tracker->pagemap_fd, sksm_block_start(block),
				  SKSM_BLOCK_PAGES, tracker->pagemap);
	if (error)
		memset(tracker->pagemap, 0, sizeof(tracker->pagemap));
	return error;
}

static void drop_page(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page,
		      enum sksm_page_state state)
{
	if (sksm_page_digested(block->state[page]))
		sksm_twins_withdraw(tracker, block, page);
	sksm_block_set(&tracker->blocks, block, page, state);
}

/* A page that the engine merged: the merge took the protection away, the program did nothing. */
static void page_merged(struct sksm_tracker *tracker, struct sksm_block *block,
			unsigned int page, bool zero)
{
	/* The digest that it is compared by was never published (compare.h). */
	if (block->state[page] == SKSM_PAGE_ARMED && block->digests)
		sksm_block_set_digest(block, page, 0);
	if (zero && !sksm_page_digested(block->state[page]) && block->digests)
		sksm_block_set_digest(block, page, tracker->digester.zero);
	sksm_note_merge(tracker, block);
	/*
	 * The engine may merge what lies in a marked run before it was digested. Twins elsewhere
	 * can find it only once it is (content.c); until then 0 stands for nothing to withdraw.
	 */
	block->undigested |= !zero && !sksm_block_digest(block, page);
	sksm_block_set(&tracker->blocks, block, page, zero ? SKSM_PAGE_ZERO : SKSM_PAGE_MERGED);
}

void sksm_look_written(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page)
{
	uint8_t state = block->state[page];
	bool broke = state == SKSM_PAGE_MERGED || state == SKSM_PAGE_ZERO;

	tracker->counters.twin_writes += state >= SKSM_PAGE_TWIN && state <= SKSM_PAGE_REFUSED;
	if (broke) {
		tracker->counters.cow_breaks++;
		sksm_heat_note_break(tracker, block);
	}
	tracker->counters.writes_seen++;
	sksm_mappings_note_write(&tracker->mappings, sksm_page_address(block, page), broke,
				 (tracker->now_ns - block->merged_ns) / 1000000);
	block->writes++;
	drop_page(tracker, block, page, SKSM_PAGE_LOOSE);
}

void sksm_look_rearm(struct sksm_tracker *tracker, struct sksm_block *block, const uint64_t *bits)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		unsigned int first = page;

		while (page < SKSM_BLOCK_PAGES && sksm_bit(bits, page))
			page++;
		if (page > first)
			sksm_scan_arm(tracker->sys, tracker->pagemap_fd,
				      sksm_page_address(block, first),
				      sksm_page_address(block, page), SKSM_ARM_ZERO | SKSM_ARM_FILE,
				      tracker->runs + SKSM_LOOK_RUNS / 2, SKSM_LOOK_RUNS / 2);
	}
}

/*
 * Pages that read as written though they were armed, and zero pages in mergeable memory: a write
 * of the program, or a merge (trap 1 of the design brief)? Bit 56 of the page map tells.
 */
static void judge_written(struct sksm_tracker *tracker, struct sksm_block *block,
			  const struct sksm_look *look, const uint64_t *changed)
{
	uint64_t merged[SKSM_BLOCK_WORDS] = { 0 };
	bool any_merged = false, have_map = false;

	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		bool zero, shared = false;

		if (!(changed[page / 64] >> (page % 64))) {
			page |= 63;
			continue;
		}
		if (!sksm_bit(changed, page))
			continue;
		zero = sksm_bit(look->zero, page);
		if (sksm_bit(block->offered, page) && !zero) {
			if (!have_map)
				sksm_tracker_pagemap(tracker, block);
			have_map = true;
			shared = sksm_entry_shared(tracker->pagemap[page]);
		}
		if (zero || shared) {
			page_merged(tracker, block, page, zero);
			sksm_bit_set(merged, page);
			any_merged = true;
		} else {
			sksm_look_written(tracker, block, page);
		}
	}
	if (any_merged && tracker->kind == SKSM_TRACKER_WP)
		sksm_look_rearm(tracker, block, merged);
}

/* Pages of [from, to) of a block that are there or gone since the last pass. */
static void note_presence(struct sksm_tracker *tracker, struct sksm_block *block,
			  const struct sksm_look *look, unsigned int from, unsigned int to)
{
	for (unsigned int page = from; page < to; page++) {
		bool present = sksm_bit(look->present, page);

		if (present == sksm_bit(block->present, page))
			continue;
		if (present)
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_LOOSE);
		else
			drop_page(tracker, block, page, SKSM_PAGE_NONE);
	}
}

static void note_swapped(struct sksm_block *block, const struct sksm_look *look, unsigned int from,
			 unsigned int to)
{
	sksm_bits_clear(block->swapped, from, to);
	for (unsigned int i = 0; i < SKSM_BLOCK_WORDS; i++)
		block->swapped[i] |= look->swapped[i];
}

/*
 * Loose pages that the kernel has protected: they came in, or an arming failed half-way, between
 * two looks.
 */
static void note_armed(struct sksm_tracker *tracker, struct sksm_block *block,
		       const struct sksm_look *look, unsigned int from, unsigned int to)
{
	for (unsigned int page = from; page < to; page++) {
		if (block->state[page] != SKSM_PAGE_LOOSE || sksm_bit(look->written, page) ||
		    !sksm_bit(look->present, page))
			continue;
		sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_ARMED);
		block->stamp[page] = tracker->tick;
	}
}

/* A huge page was split, or small pages became one: what is armed starts anew. */
static void change_size(struct sksm_tracker *tracker, struct sksm_block *block, bool huge)
{
	if (huge && block->huge == SKSM_HUGE_NO && sksm_bits_empty(block->armed)) {
		block->huge = SKSM_HUGE_NEW;
	} else if (!huge && block->huge != SKSM_HUGE_NO) {
		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
			if (block->state[page] > SKSM_PAGE_LOOSE)
				drop_page(tracker, block, page, SKSM_PAGE_LOOSE);
		block->huge = SKSM_HUGE_NO;
	}
}

static void process_block(struct looking *looking)
{
	struct sksm_tracker *tracker = looking->tracker;
	struct sksm_look *look = &looking->look;
	unsigned int from, to, differ = 0;
	uint64_t changed[SKSM_BLOCK_WORDS], any_changed = 0;
	struct sksm_block *block;

	block = looking->any ? sksm_blocks_get(&tracker->blocks, looking->number) :
	       sksm_blocks_find(&tracker->blocks, looking->number);
	if (!block)
		return;
	from = (unsigned int)(looking->from >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES;
	to = from + (unsigned int)((looking->to - looking->from) >> SKSM_PAGE_SHIFT);
	if (!tracker->options->split_hugepages)
		change_size(tracker, block, look->huge);

	for (unsigned int i = 0; i < SKSM_BLOCK_WORDS; i++) {
		/* A zero page that nobody offered was only read: it takes no memory. */
		look->present[i] &= ~look->zero[i] | block->offered[i];
		look->written[i] &= look->present[i];
		look->zero[i] &= look->present[i];
		changed[i] = (look->written[i] & block->armed[i]) |
			     (look->zero[i] & ~block->armed[i]);
		any_changed |= changed[i];
		differ |= look->present[i] != block->present[i];
	}
	note_swapped(block, look, from, to);
	if (differ)
		note_presence(tracker, block, look, from, to);
	if (any_changed)
		judge_written(tracker, block, look, changed);
	if (block->count[SKSM_PAGE_LOOSE] && block->huge == SKSM_HUGE_NO)
		note_armed(tracker, block, look, from, to);
	if (sksm_block_empty(block))
		sksm_blocks_delete(&tracker->blocks, block);
}

static void start_block(struct looking *looking, uint64_t number, uint64_t start, uint64_t end)
{
	uint64_t block_start = number << SKSM_BLOCK_SHIFT;
	uint64_t block_end = block_start + SKSM_BLOCK_BYTES;

	memset(&looking->look, 0, sizeof(looking->look));
	looking->number = number;
	looking->from = block_start > start ? block_start : start;
	looking->to = block_end < end ? block_end : end;
	looking->any = false;
}

/*
 * Blocks of ours between two numbers that the scan found nothing in: all their pages are gone.
 * Only worth asking for where blocks are, so the table is asked for each number in small gaps
 * and walked in large ones.
 */
static void process_gap(struct looking *looking, uint64_t first, uint64_t last, uint64_t start,
			uint64_t end)
{
	struct sksm_tracker *tracker = looking->tracker;
	struct sksm_block *block, *next;

	if (last - first <= HASH_COUNT(tracker->blocks.table)) {
		for (uint64_t number = first; number < last; number++) {
			start_block(looking, number, start, end);
			process_block(looking);
		}
		return;
	}
	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (block->number < first || block->number >= last)
			continue;
		start_block(looking, block->number, start, end);
		process_block(looking);
	}
}

static void take_run(struct looking *looking, const struct sksm_page_region *run, uint64_t start,
		     uint64_t end)
{
	uint64_t address = run->start;

	while (address < run->end) {
		uint64_t number = address >> SKSM_BLOCK_SHIFT;
		uint64_t stop = (number + 1) << SKSM_BLOCK_SHIFT;
		unsigned int from, to;

		if (stop > run->end)
			stop = run->end;
		if (number != looking->number) {
			process_block(looking);
			process_gap(looking, looking->number + 1, number, start, end);
			start_block(looking, number, start, end);
		}
		from = (unsigned int)(address >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES;
		to = from + (unsigned int)((stop - address) >> SKSM_PAGE_SHIFT);
		/* Pages of the file itself are shared already; only copied ones count. */
		if (!(run->categories & SKSM_PAGE_IS_FILE)) {
			looking->any = true;
			sksm_bits_set(looking->look.present, from, to);
			if (run->categories & SKSM_PAGE_IS_WRITTEN)
				sksm_bits_set(looking->look.written, from, to);
			if (run->categories & SKSM_PAGE_IS_PFNZERO)
				sksm_bits_set(looking->look.zero, from, to);
			if (run->categories & SKSM_PAGE_IS_SWAPPED)
				sksm_bits_set(looking->look.swapped, from, to);
			if (run->categories & SKSM_PAGE_IS_HUGE)
				looking->look.huge = true;
		}
		address = stop;
	}
}

/* Into the first half of tracker->runs. */
static int scan(struct sksm_tracker *tracker, uint64_t start, uint64_t end, bool files,
		uint64_t *ret_walked)
{
	if (tracker->kind == SKSM_TRACKER_DIGEST)
		return sksm_compare_look(tracker, start, end, tracker->runs, ret_walked);
	/*
	 * A page of the file itself may be armed: of a copy that is given back the kernel leaves a
	 * marker, which the page of the file inherits when it is read (mm/memory.c, 6.12).
	 */
	if (files || tracker->counters.passes % WHOLE_PASSES == 0)
		return sksm_scan_look(tracker->sys, tracker->pagemap_fd, start, end, 0, files,
				      tracker->runs, SKSM_LOOK_RUNS / 2, ret_walked);
	return sksm_unarmed_look(tracker, start, end, ret_walked);
}

static void look_region(struct sksm_tracker *tracker, uint64_t start, uint64_t end)
{
	bool files = sksm_regions_backed(&tracker->regions, start, end);
	struct looking looking = { .tracker = tracker };
	uint64_t address = start, lost_start = 0, lost_end = 0;

	start_block(&looking, start >> SKSM_BLOCK_SHIFT, start, end);
	while (address < end) {
		uint64_t walked = end;
		int n = scan(tracker, address, end, files, &walked);

		/* A failed scan says nothing on what is gone: leave the rest as it was. */
		if (n < 0 || walked <= address)
			return;
		for (int i = 0; i < n; i++) {
			const struct sksm_page_region *run = &tracker->runs[i];

			take_run(&looking, run, start, end);
			if (run->categories & SKSM_PAGE_IS_WPALLOWED)
				continue;
			if (lost_end == 0)
				lost_start = run->start;
			lost_end = run->end;
		}
		address = walked;
	}
	process_block(&looking);
	process_gap(&looking, looking.number + 1, (end - 1) / SKSM_BLOCK_BYTES + 1, start, end);
	if (lost_end)
		sksm_regions_reregister(&tracker->regions, tracker->uffd, lost_start, lost_end);
}

void sksm_look_pass(struct sksm_tracker *tracker)
{
	const struct sksm_ranges *watched = &tracker->regions.watched;

	for (unsigned int i = 0; i < watched->count && !sksm_tracker_stops(tracker); i++)
		look_region(tracker, watched->list[i].start, watched->list[i].end);
}

void sksm_look_forget(void *arg, uint64_t start, uint64_t end)
{
	struct looking looking = { .tracker = arg };

	/* As if a scan had found nothing there. */
	process_gap(&looking, start >> SKSM_BLOCK_SHIFT, (end - 1) / SKSM_BLOCK_BYTES + 1, start,
		    end);
}
