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

/* Arm [from, to) and take the loose pages in it as armed from now on. */
static void arm_pages(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int from,
		      unsigned int to)
{
	unsigned int also = tracker->options->split_hugepages && from == 0 &&
			    to == SKSM_BLOCK_PAGES ? SKSM_ARM_HUGE : 0;
	int64_t armed;

	if (!sksm_regions_backed(&tracker->regions, sksm_page_address(block, from),
				 sksm_page_address(block, to)))
		also |= SKSM_ARM_FILE;
	armed = sksm_scan_arm(tracker->sys, tracker->pagemap_fd, sksm_page_address(block, from),
			      sksm_page_address(block, to), also,
			      tracker->runs + SKSM_LOOK_RUNS / 2, SKSM_LOOK_RUNS / 2);
	if (armed <= 0)
		return;
	for (unsigned int page = from; page < to; page++) {
		if (block->state[page] != SKSM_PAGE_LOOSE)
			continue;
		sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_ARMED);
		block->stamp[page] = tracker->tick;
	}
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

void sksm_heat_block(struct sksm_tracker *tracker, struct sksm_block *block,
		     const struct sksm_look *look)
{
	if (block->huge != SKSM_HUGE_NO)
		return;
	if (block->sampling)
		judge_sample(tracker, block);
	else if (block->writes)
		judge_writes(tracker, block);
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
