/* SPDX-License-Identifier: MIT */
/* The pages of each mapping, from the states of the blocks; their sums are the record's. */
#include "tracker.h"

#include <string.h>

#include "mapping.h"

static bool is_in(uint8_t state, enum sksm_page_state from, enum sksm_page_state to)
{
	return state >= from && state <= to;
}

static void count_state(struct sksm_mapping *mapping, uint8_t state, uint64_t pages)
{
	uint64_t *tally = mapping->tally, bytes = pages * SKSM_PAGE_BYTES;

	if (is_in(state, SKSM_PAGE_LOOSE, SKSM_PAGE_SHARED))
		tally[SKSM_TALLY_RESIDENT] += bytes;
	if (is_in(state, SKSM_PAGE_UNIQUE, SKSM_PAGE_SHARED))
		tally[SKSM_TALLY_INVARIANT] += bytes;
	if (is_in(state, SKSM_PAGE_TWIN, SKSM_PAGE_ZERO))
		tally[SKSM_TALLY_DUPLICATE] += bytes;
	if (is_in(state, SKSM_PAGE_OFFERED, SKSM_PAGE_ZERO))
		tally[SKSM_TALLY_OFFERED] += bytes;
	if (state == SKSM_PAGE_MERGED)
		tally[SKSM_TALLY_MERGED] += bytes;
	if (state == SKSM_PAGE_ZERO)
		tally[SKSM_TALLY_ZERO] += bytes;
}

/* The pages of @block that lie in a mapping of ours, from @i on. */
static void count_pages(const struct sksm_mappings *mappings, const struct sksm_block *block,
			unsigned int i)
{
	uint64_t start = sksm_block_start(block), end = start + SKSM_BLOCK_BYTES;

	for (; i < mappings->count && mappings->list[i].start < end; i++) {
		struct sksm_mapping *mapping = &mappings->list[i];
		uint64_t from = mapping->start > start ? mapping->start : start;
		uint64_t to = mapping->end < end ? mapping->end : end;

		for (; from < to; from += SKSM_PAGE_BYTES)
			count_state(mapping,
				    block->state[(from - start) >> SKSM_PAGE_SHIFT], 1);
	}
}

static void count_block(const struct sksm_mappings *mappings, const struct sksm_block *block)
{
	uint64_t start = sksm_block_start(block);
	unsigned int i = sksm_mappings_behind(mappings, start);

	if (i == mappings->count)
		return;
	if (mappings->list[i].start > start || mappings->list[i].end < start + SKSM_BLOCK_BYTES) {
		count_pages(mappings, block, i);
		return;
	}
	for (uint8_t state = 0; state < SKSM_PAGE_STATES; state++)
		count_state(&mappings->list[i], state, block->count[state]);
}

void sksm_tally_deal(uint64_t total, const uint64_t *weight, const uint64_t *cap,
		     unsigned int count, uint64_t *ret)
{
	uint64_t sum = 0, left = total;

	for (unsigned int i = 0; i < count; i++)
		sum += weight[i];
	for (unsigned int i = 0; i < count; i++) {
		uint64_t share = sum ? (uint64_t)((unsigned __int128)total * weight[i] / sum) : 0;

		share &= -(uint64_t)SKSM_PAGE_BYTES;
		ret[i] = share < cap[i] ? share : cap[i];
		left -= ret[i];
	}
	/* What was rounded down or cut off goes where there is room. */
	for (unsigned int i = 0; i < count && left; i++) {
		uint64_t more = cap[i] - ret[i] < left ? cap[i] - ret[i] : left;

		ret[i] += more;
		left -= more;
	}
}

/*
 * The audit knows better what is merged and what that saves than our states do, but only as a sum,
 * or for each mapping of the kernel's: the mappings share it out.
 */
static void deal_merged(struct sksm_tracker *tracker, uint64_t *scratch)
{
	const struct sksm_counters *counters = &tracker->counters;
	struct sksm_mappings *mappings = &tracker->mappings;
	unsigned int n = mappings->count;
	uint64_t *raw = scratch, *zero = scratch + n, *merged = scratch + 2 * n;
	uint64_t *saved = scratch + 3 * n, zero_saved, gain = 0;

	for (unsigned int i = 0; i < n; i++) {
		raw[i] = mappings->list[i].tally[SKSM_TALLY_ZERO];
		gain += mappings->list[i].gain;
	}
	sksm_tally_deal(counters->zero, raw, raw, n, zero);
	for (unsigned int i = 0; i < n; i++)
		raw[i] = mappings->list[i].tally[SKSM_TALLY_MERGED];
	sksm_tally_deal(counters->merged - counters->zero, raw, raw, n, merged);
	zero_saved = counters->zero < counters->saved ? counters->zero : counters->saved;
	for (unsigned int i = 0; i < n; i++) {
		mappings->list[i].tally[SKSM_TALLY_ZERO] = zero[i];
		mappings->list[i].tally[SKSM_TALLY_MERGED] = merged[i] + zero[i];
		raw[i] = gain ? mappings->list[i].gain : merged[i];
	}
	sksm_tally_deal(counters->saved - zero_saved, raw, merged, n, saved);
	sksm_tally_deal(zero_saved, zero, zero, n, raw);
	for (unsigned int i = 0; i < n; i++)
		mappings->list[i].tally[SKSM_TALLY_SAVED] = saved[i] + raw[i];
}

void sksm_tally_pass(struct sksm_tracker *tracker)
{
	struct sksm_mappings *mappings = &tracker->mappings;
	size_t bytes = 4 * mappings->count * sizeof(uint64_t);
	struct sksm_block *block, *next;
	uint64_t *scratch;

	if (!mappings->fresh || !mappings->count)
		return;
	for (unsigned int i = 0; i < mappings->count; i++) {
		struct sksm_mapping *mapping = &mappings->list[i];

		memset(mapping->tally, 0, SKSM_TALLY_WRITES * sizeof(mapping->tally[0]));
		mapping->tally[SKSM_TALLY_TRACKED] = mapping->end - mapping->start;
	}
	HASH_ITER(hh, tracker->blocks.table, block, next)
		count_block(mappings, block);
	scratch = sksm_arena_alloc(&tracker->arena, bytes);
	if (scratch)
		deal_merged(tracker, scratch);
	sksm_arena_free(&tracker->arena, scratch, bytes);
}
