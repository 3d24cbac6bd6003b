/* SPDX-License-Identifier: MIT */
/*
 * Which blocks are worth arming, and when. Arming is cheap and the first write to an armed page
 * is not (docs/kernel.md), so a block is armed in bulk only after a few of its pages proved calm,
 * and a block that is written is left alone for twice as long each time.
 */
#include "tracker.h"

#include "scan.h"
#include "sys.h"

#define SAMPLE_PAGES 8
#define MAX_LEVEL 12
#define MAX_WAIT_NS 64000000000ull

static uint64_t wait_ns(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint64_t ns = (uint64_t)tracker->options->interval_ms * 1000000 << block->level;

	return ns < MAX_WAIT_NS ? ns : MAX_WAIT_NS;
}

static void heat_up(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (block->level < MAX_LEVEL)
		block->level++;
	block->next_arm_ns = tracker->now_ns + wait_ns(tracker, block);
}

static void cool_down(struct sksm_block *block)
{
	if (block->level)
		block->level--;
	block->next_arm_ns = 0;
}

/* Arm [from, to), all of it watched, and take the loose pages there as armed from now on. */
static void arm_range(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		      unsigned int to)
{
	uint64_t start = sksm_page_address(block, from), end = sksm_page_address(block, to);
	struct sksm_page_region *runs = tracker->runs;
	bool whole = from == 0 && to == SKSM_BLOCK_PAGES;
	unsigned int also = 0;
	uint64_t walked;
	int n;

	if (tracker->options->split_hugepages && whole)
		also |= SKSM_ARM_HUGE;
	if (!sksm_regions_backed(&tracker->regions, start, end))
		also |= SKSM_ARM_FILE;
	/* A block has fewer runs than fit, so that one call walks it. */
	n = sksm_scan_arm_runs(tracker->sys, tracker->pagemap_fd, start, end, also, runs,
			       SKSM_LOOK_RUNS, &walked);
	for (int i = 0; i < n; i++) {
		unsigned int page = (runs[i].start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES;
		uint64_t count = (runs[i].end - runs[i].start) >> SKSM_PAGE_SHIFT;

		for (; count--; page++) {
			if (block->state[page] != SKSM_PAGE_LOOSE)
				continue;
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_ARMED);
			block->stamp[page] = tracker->tick;
		}
	}
}

/* The program may have a userfaultfd of its own next to what we watch: that is not ours to arm. */
static void arm_pages(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		      unsigned int to)
{
	uint64_t at = sksm_page_address(block, from), end = sksm_page_address(block, to);
	struct sksm_range part;

	for (; sksm_ranges_clip(&tracker->regions.watched, at, end, &part); at = part.end)
		arm_range(tracker, block, (part.start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES,
			  ((part.end - 1) >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES + 1);
}

static void arm_sample(struct sksm_tracker *tracker, struct sksm_block *block)
{
	unsigned int loose = block->count[SKSM_PAGE_LOOSE], seen = 0, taken = 0;
	unsigned int step = loose / SAMPLE_PAGES ? loose / SAMPLE_PAGES : 1;

	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES && taken < SAMPLE_PAGES; page++) {
		if (block->state[page] != SKSM_PAGE_LOOSE || seen++ % step)
			continue;
		arm_pages(tracker, block, page, page + 1);
		taken++;
	}
	block->sampling = true;
}

/* The sample has been out for a pass: was it left alone? */
static void judge_sample(struct sksm_tracker *tracker, struct sksm_block *block)
{
	block->sampling = false;
	block->proven = block->writes * 4 <= SAMPLE_PAGES;
	if (block->proven)
		cool_down(block);
	else
		heat_up(tracker, block);
}

static void judge_writes(struct sksm_tracker *tracker, struct sksm_block *block)
{
	unsigned int armed = block->writes;

	for (int state = SKSM_PAGE_ARMED; state < SKSM_PAGE_STATES; state++)
		armed += block->count[state];
	/* A block of which much was written at once must prove itself again. */
	if (block->writes * 8 > armed)
		block->proven = false;
	heat_up(tracker, block);
	block->wrote = true;
}

static void heat_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (block->sampling)
		judge_sample(tracker, block);
	else if (block->writes)
		judge_writes(tracker, block);
	block->writes = 0;
	if (!block->count[SKSM_PAGE_LOOSE] || tracker->now_ns < block->next_arm_ns ||
	    !sksm_budget_left(&tracker->budget))
		return;
	if (!block->proven) {
		arm_sample(tracker, block);
		return;
	}
	arm_pages(tracker, block, 0, SKSM_BLOCK_PAGES);
	if (!block->wrote)
		cool_down(block);
	block->wrote = false;
}

void sksm_heat_pass(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (block->huge == SKSM_HUGE_NO)
			heat_block(tracker, block);
}
