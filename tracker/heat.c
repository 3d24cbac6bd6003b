/* SPDX-License-Identifier: MIT */
/*
 * Which blocks are worth arming, and when. Arming is cheap and the first write to an armed page
 * is not (docs/kernel.md), so a block is armed in bulk only after a few of its pages proved calm,
 * and a block that is written is left alone for twice as long each time.
 */
#include "tracker.h"

#include "compare.h"
#include "scan.h"
#include "sys.h"

#define SAMPLE_PAGES 8
/* Of a block that is known to be hot, fewer pages are sampled. */
#define HOT_LEVEL 2
#define HOT_SAMPLE_PAGES 4
#define MAX_LEVEL 12
/* Looks at hot blocks cost 4 faults each: at this pace 512 a second for 4 GiB. */
#define MAX_WAIT_NS 16000000000ull
#define THAW_PASSES 4
#define MAX_AGE_SHIFT 3
/*
 * A merge and its undoing cost about 15 us a page. Where merged memory was written again soon
 * after, for three times what it took to see that it was calm, that was not worth it.
 */
#define PAYS_FACTOR 3

/*
 * When to look again at a block that is hot: once in interval << level, each block at a moment of
 * its own. A phase of the program heats all blocks at once; that way some of them show soon when it
 * is over.
 */
static uint64_t next_look_ns(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint64_t period_ns = (uint64_t)tracker->options->interval_ms * 1000000 << block->level;
	uint64_t own_ns, least_ns;

	if (period_ns > MAX_WAIT_NS)
		period_ns = MAX_WAIT_NS;
	own_ns = period_ns / 16 * (block->number * 2654435761u >> 8 & 15);
	least_ns = tracker->now_ns + period_ns / 2;
	return least_ns + (own_ns + period_ns - least_ns % period_ns) % period_ns;
}

static void heat_up(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (block->level < MAX_LEVEL)
		block->level++;
	block->next_arm_ns = next_look_ns(tracker, block);
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

	if (tracker->kind == SKSM_TRACKER_DIGEST) {
		sksm_compare_arm(tracker, block, from, to);
		return;
	}
	for (; sksm_ranges_clip(&tracker->regions.watched, at, end, &part); at = part.end)
		arm_range(tracker, block, (part.start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES,
			  ((part.end - 1) >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES + 1);
}

static void arm_sample(struct sksm_tracker *tracker, struct sksm_block *block)
{
	unsigned int loose = block->count[SKSM_PAGE_LOOSE], seen = 0, taken = 0;
	unsigned int size = block->level < HOT_LEVEL ? SAMPLE_PAGES : HOT_SAMPLE_PAGES;
	unsigned int step = loose / size ? loose / size : 1;

	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES && taken < size; page++) {
		if (block->state[page] != SKSM_PAGE_LOOSE || seen++ % step)
			continue;
		arm_pages(tracker, block, page, page + 1);
		taken++;
	}
	block->sampling = (uint8_t)size;
	block->sample_tick = tracker->tick;
}

/* The sample has been out for a pass: was it left alone? */
static void judge_sample(struct sksm_tracker *tracker, struct sksm_block *block)
{
	block->proven = block->writes * 4 <= block->sampling;
	block->sampling = 0;
	if (block->level >= HOT_LEVEL)
		tracker->thawing += block->proven ? 1 : -1;
	if (block->proven)
		cool_down(block);
	else
		heat_up(tracker, block);
}

void sksm_heat_note_break(const struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint64_t pays_ms = PAYS_FACTOR * ((uint64_t)tracker->options->age_ms +
					  tracker->options->interval_ms);

	/* Where memory is short, what was freed for a while helped. */
	if (sksm_pressure_memory(&tracker->pressure))
		pays_ms /= PAYS_FACTOR;
	block->broken = true;
	block->broken_soon |= tracker->now_ns - block->merged_ns < pays_ms * 1000000;
}

/* Merges were undone: did they last long enough to pay? */
static void judge_breaks(struct sksm_block *block)
{
	if (block->broken_soon)
		block->age_shift += block->age_shift < MAX_AGE_SHIFT;
	else
		block->age_shift -= block->age_shift > 0;
	block->broken = false;
	block->broken_soon = false;
	block->merged_mark = block->count[SKSM_PAGE_MERGED] + block->count[SKSM_PAGE_ZERO];
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

/*
 * The sample is older than the rest of its block by a pass. It waits for the rest: offered alone,
 * its pages would each cut a mapping in three, and make ksmd begin with crumbs.
 */
static void age_together(const struct sksm_tracker *tracker, struct sksm_block *block)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		if (block->state[page] == SKSM_PAGE_ARMED &&
		    block->stamp[page] == block->sample_tick)
			block->stamp[page] = tracker->tick;
}

static void heat_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	bool sampled = block->sampling;

	if (sampled)
		judge_sample(tracker, block);
	else if (block->writes)
		judge_writes(tracker, block);
	if (block->broken)
		judge_breaks(block);
	block->writes = 0;
	if (!block->count[SKSM_PAGE_LOOSE] || !sksm_tracker_may_work(tracker) ||
	    (tracker->now_ns < block->next_arm_ns && !tracker->calm_ns &&
	     !(tracker->thaw && !block->proven)))
		return;
	if (tracker->kind == SKSM_TRACKER_DIGEST && !sksm_compare_may_arm(tracker, block))
		return;
	if (!block->proven) {
		arm_sample(tracker, block);
		return;
	}
	arm_pages(tracker, block, 0, SKSM_BLOCK_PAGES);
	if (sampled)
		age_together(tracker, block);
	if (!block->wrote)
		cool_down(block);
	block->wrote = false;
}

void sksm_heat_pass(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	/*
	 * Programs change their ways as a whole: where more of the hot blocks that were sampled had
	 * become calm than not, all that are not proven are sampled now.
	 */
	tracker->thaw = tracker->thawing > 0 && tracker->now_ns >= tracker->next_thaw_ns;
	if (tracker->thaw)
		tracker->next_thaw_ns = tracker->now_ns +
			(uint64_t)tracker->options->interval_ms * 1000000 * THAW_PASSES;
	tracker->thawing = 0;
	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (block->huge == SKSM_HUGE_NO)
			heat_block(tracker, block);
}
