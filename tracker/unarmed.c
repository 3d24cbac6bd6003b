/* SPDX-License-Identifier: MIT */
/*
 * What is in memory, asked as cheaply as can be. A look at everything costs the kernel 12 ns a
 * page, the question which pages are not write-protected, and nothing else, 1.4 (6.18, AMD EPYC):
 * it has a loop of its own for that (pagemap_scan_pmd_entry in fs/proc/task_mmu.c). So where most
 * of the memory is armed, that is asked first, and looked at is what the answer names.
 *
 * What it does not name is armed, or has no page table at all, as after munmap and mmap, or
 * MADV_DONTNEED since 6.14 (some kernels name such holes, but only of what is registered). A page
 * table covers one block: one page of it that is still armed proves the table. Nor does it name
 * what is not mapped at all: that is known from the map, and what was unmapped since the map was
 * read is forgotten a pass later.
 */
#include "tracker.h"

#include "scan.h"

#define RUNS (SKSM_LOOK_RUNS / 2)
/*
 * What one question covers: 16 MiB, 6 us. Where every second page is a hole, room is left for the
 * answer of four blocks, and the rest is asked for again.
 */
#define STRETCH_BLOCKS 8
/* And one look at the rest of the memory. */
#define WHOLE_BLOCKS 64
/* A call costs as much as looking at so many pages. */
#define BRIDGE_BYTES (32 * SKSM_PAGE_BYTES)
/* Blocks are looked for one by one unless the region is this many times as large. */
#define SPARSE_FACTOR 4

struct asking {
	struct sksm_tracker *tracker;
	uint64_t start;		/* what was asked for */
	uint64_t stop;
	uint64_t at;		/* all before is in tracker->runs */
	uint64_t proven;	/* the block that has a page table, or 0 */
	int count;		/* of tracker->runs */
};

/* Nothing is to be digested, so that it does not matter what is in swap; most of it is armed. */
static bool is_settled(const struct sksm_block *block)
{
	unsigned int armed = 0;

	if (!block || block->huge != SKSM_HUGE_NO || block->count[SKSM_PAGE_ARMED] ||
	    block->undigested)
		return false;
	for (int state = SKSM_PAGE_UNIQUE; state < SKSM_PAGE_STATES; state++)
		armed += block->count[state];
	return armed >= SKSM_BLOCK_PAGES / 2;
}

/* The end of the blocks from that of @start on that are all settled, or all not. */
static uint64_t find_stretch(const struct sksm_tracker *tracker, uint64_t start, uint64_t end,
			     bool *ret_settled)
{
	const struct sksm_blocks *blocks = &tracker->blocks;
	uint64_t first = start >> SKSM_BLOCK_SHIFT, number = first;

	*ret_settled = false;
	if ((end - start) / SKSM_BLOCK_BYTES / SPARSE_FACTOR > HASH_COUNT(blocks->table))
		return end;
	*ret_settled = is_settled(sksm_blocks_find(blocks, number));
	do {
		number++;
		if (number << SKSM_BLOCK_SHIFT >= end)
			return end;
	} while (number - first < (*ret_settled ? STRETCH_BLOCKS : WHOLE_BLOCKS) &&
		 is_settled(sksm_blocks_find(blocks, number)) == *ret_settled);
	return number << SKSM_BLOCK_SHIFT;
}

/* Look at all of [asking->at, end). 0; 1: no more room; -errno. */
static int take_all(struct asking *asking, uint64_t end)
{
	struct sksm_tracker *tracker = asking->tracker;

	while (asking->at < end) {
		uint64_t walked = asking->at;
		int n;

		if (asking->count == RUNS)
			return 1;
		n = sksm_scan_look(tracker->sys, tracker->pagemap_fd, asking->at, end, 0,
				   false, tracker->runs + asking->count,
				   RUNS - asking->count, &walked);
		if (n < 0)
			return n;
		asking->count += n;
		if (walked <= asking->at)
			return 1;
		asking->at = walked;
	}
	return 0;
}

/* Of [start, end) in one block. */
static bool are_armed(const struct sksm_block *block, uint64_t start, uint64_t end)
{
	unsigned int from = (start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES;
	unsigned int to = from + (unsigned int)((end - start) >> SKSM_PAGE_SHIFT);

	if (!block)
		return false;
	while (from < to) {
		uint64_t word = block->armed[from / 64], bits = sksm_bits_next(&from, to);

		if ((word & bits) != bits)
			return false;
	}
	return true;
}

static bool is_still_armed(const struct sksm_tracker *tracker, uint64_t address)
{
	struct sksm_page_region run;
	uint64_t walked;

	return sksm_scan_look(tracker->sys, tracker->pagemap_fd, address,
			      address + SKSM_PAGE_BYTES, 0, false, &run, 1, &walked) == 1 &&
	       run.categories & SKSM_PAGE_IS_WPALLOWED &&
	       !(run.categories & SKSM_PAGE_IS_WRITTEN);
}

/* [asking->at, end) is armed and in memory. As take_all. */
static int take_armed(struct asking *asking, uint64_t end)
{
	struct sksm_page_region *run = &asking->tracker->runs[asking->count];
	const uint64_t categories = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_WPALLOWED;

	if (asking->count && run[-1].end == asking->at && run[-1].categories == categories) {
		run[-1].end = end;
	} else {
		if (asking->count == RUNS)
			return 1;
		*run = (struct sksm_page_region){ asking->at, end, categories };
		asking->count++;
	}
	asking->at = end;
	return 0;
}

/* [asking->at, end) was not named as unarmed. As take_all. */
static int take_unnamed(struct asking *asking, uint64_t end)
{
	const struct sksm_blocks *blocks = &asking->tracker->blocks;
	int error = 0;

	while (asking->at < end && !error) {
		uint64_t at = asking->at, number = at >> SKSM_BLOCK_SHIFT;
		uint64_t last = (number + 1) << SKSM_BLOCK_SHIFT, part = last < end ? last : end;
		bool armed = are_armed(sksm_blocks_find(blocks, number), at, part);

		if (armed && asking->proven != number) {
			armed = is_still_armed(asking->tracker, at);
			asking->proven = armed ? number : 0;
		}
		error = armed ? take_armed(asking, part) : take_all(asking, part);
	}
	return error;
}

static int ask(struct asking *asking)
{
	struct sksm_tracker *tracker = asking->tracker;
	struct sksm_page_region *named = tracker->runs + RUNS;
	int error = 0, n;

	n = sksm_scan_unarmed(tracker->sys, tracker->pagemap_fd, asking->start, asking->stop,
			      named, RUNS, &asking->stop);
	if (n < 0)
		return n;
	for (int i = 0; i < n && !error; i++) {
		uint64_t start = named[i].start;

		while (i + 1 < n && named[i + 1].start - named[i].end <= BRIDGE_BYTES)
			i++;
		error = take_unnamed(asking, start);
		if (!error)
			error = take_all(asking, named[i].end);
	}
	return error ? error : take_unnamed(asking, asking->stop);
}

int sksm_unarmed_look(struct sksm_tracker *tracker, uint64_t start, uint64_t end,
		      uint64_t *ret_walked)
{
	struct asking asking = { .tracker = tracker, .start = start, .at = start };
	bool settled;
	int error;

	asking.stop = find_stretch(tracker, start, end, &settled);
	if (!settled)
		return sksm_scan_look(tracker->sys, tracker->pagemap_fd, start, asking.stop, 0,
				      false, tracker->runs, RUNS, ret_walked);
	error = ask(&asking);
	if (error < 0)
		return error;
	*ret_walked = asking.at;
	return asking.count;
}
