/* SPDX-License-Identifier: MIT */
/*
 * Transparent huge pages are not armed on suspicion: the first write would split them (trap 8).
 * Calm is shown by a sample of the content that stays the same for the age, twins by a digest of
 * every page, and only where half of the pages have a twin is the huge page given up for them.
 */
#include "tracker.h"

#include "scan.h"
#include "sys.h"

#define SAMPLE_STRIDE 64
#define MAX_WAIT_NS 32000000000ull

/* One digest over a page in each SAMPLE_STRIDE. False where it could not be read. */
static bool digest_sample(struct sksm_tracker *tracker, const struct sksm_block *block,
			  uint64_t *ret)
{
	uint64_t sample = 0;

	if (!sksm_content_need_copy(tracker))
		return false;
	for (unsigned int page = block->number % SAMPLE_STRIDE; page < SKSM_BLOCK_PAGES;
	     page += SAMPLE_STRIDE) {
		/* Fork may share it. */
		if (!sksm_content_read_shared(tracker, sksm_page_address(block, page), 1))
			return false;
		sample = sample * 31 + sksm_digest_page(&tracker->digester, tracker->copy);
	}
	*ret = sample;
	return true;
}

static void wait_for(struct sksm_tracker *tracker, struct sksm_block *block, uint64_t least_ns)
{
	uint64_t ns = (uint64_t)tracker->options->interval_ms * 1000000 << block->level;

	if (ns > MAX_WAIT_NS)
		ns = MAX_WAIT_NS;
	block->next_arm_ns = tracker->now_ns + (ns > least_ns ? ns : least_ns);
}

/* The content changed: what was known of it is void, and it is looked at more rarely. */
static void start_over(struct sksm_tracker *tracker, struct sksm_block *block, uint64_t sample)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		if (block->state[page] <= SKSM_PAGE_LOOSE)
			continue;
		sksm_twins_withdraw(tracker, block, page);
		sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_LOOSE);
	}
	if (block->huge != SKSM_HUGE_NEW && block->level < 8)
		block->level++;
	block->huge = SKSM_HUGE_SAMPLED;
	block->sample = sample;
	block->since_ns = tracker->now_ns;
	wait_for(tracker, block, (uint64_t)tracker->options->age_ms * 1000000);
	if (tracker->calm_ns)
		block->next_arm_ns = tracker->now_ns;
}

/* What is not digested yet, for whatever reason, or was shared by fork when that was tried. */
static bool is_unknown(const struct sksm_block *block, unsigned int page)
{
	return block->state[page] == SKSM_PAGE_LOOSE || block->state[page] == SKSM_PAGE_SHARED;
}

static void digest_unknown(struct sksm_tracker *tracker, struct sksm_block *block)
{
	unsigned int page = 0;

	if (sksm_tracker_pagemap(tracker, block))
		return;
	while (page < SKSM_BLOCK_PAGES) {
		unsigned int count = 0, done;

		while (count < SKSM_COPY_PAGES && page + count < SKSM_BLOCK_PAGES &&
		       is_unknown(block, page + count) &&
		       !sksm_entry_shared(tracker->pagemap[page + count]))
			count++;
		done = count ? sksm_content_digest(tracker, block, page, count) : 0;
		for (unsigned int i = 0; i < done; i++)
			sksm_twins_publish(tracker, block, page + i);
		if (!count && is_unknown(block, page))
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_SHARED);
		page += done ? done : 1;
	}
}

static void give_up_huge(struct sksm_tracker *tracker, struct sksm_block *block)
{
	int64_t armed = SKSM_BLOCK_PAGES;

	if (tracker->kind == SKSM_TRACKER_WP)
		armed = sksm_scan_arm(tracker->sys, tracker->pagemap_fd, sksm_block_start(block),
				      sksm_block_start(block) + SKSM_BLOCK_BYTES,
				      SKSM_ARM_HUGE | SKSM_ARM_FILE, tracker->runs,
				      SKSM_LOOK_RUNS);
	if (armed <= 0)
		return;
	tracker->counters.huge_lost += SKSM_BLOCK_BYTES;
	block->huge = SKSM_HUGE_NO;
	block->proven = true;
	block->level = 0;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		sksm_block_set(&tracker->blocks, block, page, block->state[page]);
}

unsigned int sksm_huge_to_read(const struct sksm_block *block)
{
	unsigned int sample = SKSM_BLOCK_PAGES / SAMPLE_STRIDE;

	if (block->huge == SKSM_HUGE_KNOWN)
		return sample + block->count[SKSM_PAGE_LOOSE];
	/* Where the content changed before, it is likely to have changed again. */
	return block->huge == SKSM_HUGE_SAMPLED && block->level ? sample : SKSM_BLOCK_PAGES;
}

void sksm_huge_step(struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint64_t sample;

	if (!digest_sample(tracker, block, &sample)) {
		wait_for(tracker, block, 0);
		return;
	}
	if (block->huge == SKSM_HUGE_NEW || sample != block->sample) {
		start_over(tracker, block, sample);
		return;
	}
	if (block->huge == SKSM_HUGE_KNOWN && block->level < 4)
		block->level++;
	if (block->count[SKSM_PAGE_LOOSE] || block->count[SKSM_PAGE_SHARED])
		digest_unknown(tracker, block);
	block->huge = SKSM_HUGE_KNOWN;
	if (tracker->engine != SKSM_ENGINE_NONE && sksm_huge_is_worth_splitting(tracker, block))
		give_up_huge(tracker, block);
	else
		wait_for(tracker, block, 0);
}
