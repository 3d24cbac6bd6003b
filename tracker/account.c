/* SPDX-License-Identifier: MIT */
/* Accounting: audits of what the kernel knows, and the counters of the record. */
#include "tracker.h"

#include <string.h>
#include <time.h>

#include "compare.h"
#include "scan.h"
#include "sys.h"

/*
 * How old an audit may get, and what part of the time it may take. Where many pages wait for it,
 * or merges were seen or undone: 1 %. For a few pages 0.05 %, and as many times less as those pages
 * are worth less than the audit, but not less than an eighth of that. Where nothing changed (others
 * may have left the frames that we share): 0.025 %.
 */
#define AUDIT_FRESH_NS 500000000ull	/* or half the age, where that is less */
#define AUDIT_CHANGED_NS 2000000000ull
#define AUDIT_FEW_NS 30000000000ull
#define AUDIT_CALM_NS 60000000000ull
#define AUDIT_FEW_PART 8
#define AUDIT_NOW_FACTOR 10
#define AUDIT_SOON_FACTOR 100
#define AUDIT_LATER_FACTOR 2000
#define AUDIT_CALM_FACTOR 4000
#define AUDIT_MANY_PAGES 256
#define AUDIT_PAGE_WORTH_NS 50000ull
#define AUDIT_DEAR_MAX 8
/* Shared memory is counted once in so many passes. */
#define SHARED_EVERY_PASSES 16
/* Reading the whole table takes 1 % of the time at most; and is rare where little changed. */
#define FRAMES_FACTOR 100
#define FRAMES_CHANGED_PART 64
#define FRAMES_LATER_NS 30000000000ull

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t merged_pages(const struct sksm_tracker *tracker)
{
	return tracker->blocks.total[SKSM_PAGE_MERGED] + tracker->blocks.total[SKSM_PAGE_ZERO];
}

/* Set the bits of the pages of @block that lie in @ranges. False: none does. */
static bool set_bits(const struct sksm_ranges *ranges, const struct sksm_block *block,
		     uint64_t *bits)
{
	uint64_t start = sksm_block_start(block), end = start + SKSM_BLOCK_BYTES, at = start;
	struct sksm_range range;

	for (; sksm_ranges_clip(ranges, at, end, &range); at = range.end)
		sksm_bits_set(bits, (range.start >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES,
			      ((range.end - 1) >> SKSM_PAGE_SHIFT) % SKSM_BLOCK_PAGES + 1);
	return at != start;
}

bool sksm_account_barred(const struct sksm_tracker *tracker, const struct sksm_block *block,
			 uint64_t *ret_bits)
{
	bool any;

	memset(ret_bits, 0, SKSM_BLOCK_WORDS * sizeof(*ret_bits));
	any = set_bits(&tracker->audit.foreign, block, ret_bits);
	if (!tracker->options->merge_sensitive)
		any |= set_bits(&tracker->audit.sensitive, block, ret_bits);
	return any;
}

/* Bring the marks of a block in step with the kernel's: others mark memory too, and fork does. */
static void sync_marks(struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint64_t marked[SKSM_BLOCK_WORDS] = { 0 }, differ;

	set_bits(&tracker->audit.mergeable, block, marked);
	for (unsigned int i = 0; i < SKSM_BLOCK_WORDS; i++) {
		/* MADV_MERGE leaves no mark: what it was offered is known to us alone. */
		if (tracker->engine == SKSM_ENGINE_SKSM)
			marked[i] |= block->offered[i] & block->present[i];
		if (marked[i] & ~block->offered[i])
			block->adopted = true;
		differ = marked[i] ^ block->offered[i];
		block->offered[i] = marked[i];
		for (differ &= ~marked[i]; differ; differ &= differ - 1) {
			unsigned int page = i * 64 + (unsigned int)__builtin_ctzll(differ);

			if (block->state[page] == SKSM_PAGE_OFFERED ||
			    block->state[page] == SKSM_PAGE_REFUSED)
				sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_UNIQUE);
		}
	}
}

/*
 * A page that is mapped by us alone is not merged with anything, whoever broke the merge; one
 * that was shared by fork and is ours alone now may be merged. What was written since the look of
 * this pass is left to the next, which counts it.
 */
static void verify_shared(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (sksm_tracker_pagemap(tracker, block))
		return;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		uint64_t entry = tracker->pagemap[page];

		if (!(entry & SKSM_PM_PRESENT) || sksm_entry_shared(entry))
			continue;
		if (block->state[page] == SKSM_PAGE_MERGED) {
			if (tracker->kind == SKSM_TRACKER_WP && !(entry & SKSM_PM_UFFD_WP))
				continue;
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_OFFERED);
			block->stamp[page] = tracker->full_scans;
		} else if (block->state[page] == SKSM_PAGE_SHARED && !block->huge) {
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_ARMED);
			block->stamp[page] = tracker->tick;
		}
	}
}

/* How many times more than @pages are worth an audit costs. */
static uint64_t audit_dearth(const struct sksm_tracker *tracker, uint64_t pages)
{
	uint64_t times = pages ? tracker->audit.cost_ns / (pages * AUDIT_PAGE_WORTH_NS) : 0;

	return times > AUDIT_DEAR_MAX ? AUDIT_DEAR_MAX : times > 1 ? times : 1;
}

static uint64_t audit_interval_ns(const struct sksm_tracker *tracker, uint64_t waiting_pages)
{
	uint64_t merged = merged_pages(tracker), audited = tracker->audited_merged;
	uint64_t change = merged > audited ? merged - audited : audited - merged;
	bool soon = change > audited / AUDIT_FEW_PART || waiting_pages >= AUDIT_MANY_PAGES;
	uint64_t ns = soon ? AUDIT_CHANGED_NS : change ? AUDIT_FEW_NS : AUDIT_CALM_NS, cost_ns;

	/* What was asked for now (sksm_merge_now) is worth a tenth of the time. */
	if (waiting_pages && tracker->calm_ns)
		return tracker->audit.cost_ns * AUDIT_NOW_FACTOR;
	if (waiting_pages)
		ns = least((uint64_t)tracker->options->age_ms * 500000, AUDIT_FRESH_NS);
	cost_ns = tracker->audit.cost_ns *
		  (soon ? AUDIT_SOON_FACTOR : !waiting_pages && !change ? AUDIT_CALM_FACTOR :
		   AUDIT_LATER_FACTOR * audit_dearth(tracker, waiting_pages));
	return ns > cost_ns ? ns : cost_ns;
}

void sksm_account_audit(struct sksm_tracker *tracker, uint64_t waiting_pages)
{
	uint64_t now_ns = sksm_clock_ns(CLOCK_BOOTTIME), cpu_ns;
	struct sksm_audit *audit = &tracker->audit;
	struct sksm_block *block, *next;

	if (audit->done_ns && now_ns - audit->done_ns < audit_interval_ns(tracker, waiting_pages))
		return;
	cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	sksm_mappings_clear_gains(&tracker->mappings);
	if (sksm_audit_run(audit, tracker->sys, &tracker->arena))
		return;
	HASH_ITER(hh, tracker->blocks.table, block, next) {
		sync_marks(tracker, block);
		if (block->count[SKSM_PAGE_MERGED] || block->count[SKSM_PAGE_SHARED])
			verify_shared(tracker, block);
	}
	tracker->audited_merged = merged_pages(tracker);
	audit->cost_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
}

uint64_t sksm_account_offerable(const struct sksm_tracker *tracker)
{
	uint64_t pages = 0, barred[SKSM_BLOCK_WORDS];
	struct sksm_block *block, *next;

	if (!tracker->blocks.total[SKSM_PAGE_TWIN])
		return 0;
	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!block->count[SKSM_PAGE_TWIN] || block->huge != SKSM_HUGE_NO)
			continue;
		pages += block->count[SKSM_PAGE_TWIN];
		if (!sksm_account_barred(tracker, block, barred))
			continue;
		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
			pages -= block->state[page] == SKSM_PAGE_TWIN && sksm_bit(barred, page);
	}
	return pages;
}

uint64_t sksm_account_undecided(const struct sksm_tracker *tracker)
{
	uint64_t pages = 0, barred[SKSM_BLOCK_WORDS];
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!block->count[SKSM_PAGE_LOOSE] && !block->count[SKSM_PAGE_ARMED])
			continue;
		sksm_account_barred(tracker, block, barred);
		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
			pages += (block->state[page] == SKSM_PAGE_LOOSE ||
				  block->state[page] == SKSM_PAGE_ARMED) &&
				 !sksm_bit(barred, page) && !sksm_bit(block->swapped, page);
	}
	return pages;
}

static void count_blocks(struct sksm_tracker *tracker, struct sksm_counters *counters)
{
	uint64_t hot = 0, huge = 0, kept = 0;
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		/* It was unmapped, and the audit says that its marks went with it. */
		if (sksm_block_empty(block)) {
			sksm_blocks_delete(&tracker->blocks, block);
			continue;
		}
		if (block->huge != SKSM_HUGE_NO && !sksm_huge_is_worth_splitting(tracker, block))
			kept += block->count[SKSM_PAGE_TWIN];
		if (block->huge != SKSM_HUGE_NO)
			huge += SKSM_BLOCK_PAGES - block->count[SKSM_PAGE_NONE];
		else if (block->level)
			hot += block->count[SKSM_PAGE_LOOSE];
	}
	counters->hot = hot * SKSM_PAGE_BYTES;
	counters->huge_kept = huge * SKSM_PAGE_BYTES;
	tracker->kept_twins = kept;
}

/* Bytes of [start, end) that are in memory. */
static uint64_t count_present(struct sksm_tracker *tracker, uint64_t start, uint64_t end)
{
	uint64_t bytes = 0, walked;

	if (tracker->kind == SKSM_TRACKER_DIGEST)
		return sksm_compare_present(tracker, start, end);
	while (start < end) {
		int n = sksm_scan_look(tracker->sys, tracker->pagemap_fd, start, end,
				       SKSM_PAGE_IS_PRESENT, false, tracker->runs,
				       SKSM_LOOK_RUNS, &walked);

		if (n < 0 || walked <= start)
			break;
		for (int i = 0; i < n; i++)
			bytes += tracker->runs[i].end - tracker->runs[i].start;
		start = walked;
	}
	return bytes;
}

static void count_shared(struct sksm_tracker *tracker)
{
	const struct sksm_ranges *shared = &tracker->regions.shared;

	tracker->counters.shared_unmergeable = 0;
	for (unsigned int i = 0; i < shared->count; i++)
		tracker->counters.shared_unmergeable +=
			count_present(tracker, shared->list[i].start, shared->list[i].end);
}

static uint64_t count_sensitive(const struct sksm_tracker *tracker)
{
	const struct sksm_ranges *watched = &tracker->regions.watched;
	const struct sksm_ranges *sensitive = &tracker->audit.sensitive;
	uint64_t bytes = 0;

	if (tracker->options->merge_sensitive)
		return 0;
	for (unsigned int i = 0, j = 0; i < watched->count && j < sensitive->count;) {
		const struct sksm_range *a = &watched->list[i], *b = &sensitive->list[j];
		uint64_t start = a->start > b->start ? a->start : b->start;
		uint64_t end = a->end < b->end ? a->end : b->end;

		if (start < end)
			bytes += end - start;
		if (a->end < b->end)
			i++;
		else
			j++;
	}
	return bytes;
}

static uint64_t sum_states(const struct sksm_tracker *tracker, enum sksm_page_state from,
			   enum sksm_page_state to)
{
	uint64_t pages = 0;

	for (int state = from; state <= (int)to; state++)
		pages += tracker->blocks.total[state];
	return pages * SKSM_PAGE_BYTES;
}

static void count_merged(struct sksm_tracker *tracker, struct sksm_counters *counters)
{
	const struct sksm_audit *audit = &tracker->audit;
	uint64_t merged = sum_states(tracker, SKSM_PAGE_MERGED, SKSM_PAGE_MERGED);
	uint64_t zero = sum_states(tracker, SKSM_PAGE_ZERO, SKSM_PAGE_ZERO);

	/* Bit 56 cannot tell merged pages from some that fork shares; the audit's sum can. */
	if (merged_pages(tracker) == tracker->audited_merged) {
		merged = least(merged, audit->merged_bytes);
		zero = least(zero, audit->zero_bytes);
	}
	counters->zero = zero;
	counters->merged = merged + zero;
	counters->saved = least(audit->saved_bytes + least(zero, audit->zero_bytes),
				counters->merged);
	counters->debt = counters->merged;
}

/* Are the frames of the domain to be counted anew? */
static bool are_frames_due(const struct sksm_tracker *tracker, uint64_t members)
{
	uint64_t changes = tracker->blocks.changes - tracker->frames_changes;
	uint64_t pages = tracker->counters.resident / SKSM_PAGE_BYTES;

	if (tracker->now_ns < tracker->next_frames_ns || !tracker->index_open)
		return false;
	return tracker->frames_members != members || changes * FRAMES_CHANGED_PART > pages ||
	       (changes && tracker->now_ns >= tracker->frames_ns + FRAMES_LATER_NS);
}

/* What all duplicates would free: but for those in huge pages, and one frame of each content. */
static void count_possible(struct sksm_tracker *tracker, struct sksm_counters *counters)
{
	uint64_t pages = counters->duplicate / SKSM_PAGE_BYTES - tracker->kept_twins;
	uint64_t members = tracker->index_open ? tracker->index.alive_hash : 0, cpu_ns;
	int64_t frames;

	if (are_frames_due(tracker, members)) {
		cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		frames = sksm_index_count_frames(&tracker->index);
		cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
		tracker->next_frames_ns = tracker->now_ns + FRAMES_FACTOR * cpu_ns;
		tracker->frames_ns = tracker->now_ns;
		tracker->frames_changes = tracker->blocks.changes;
		tracker->frames_members = members;
		if (frames >= 0)
			tracker->frames = (uint64_t)frames;
	}
	counters->possible = pages > tracker->frames ?
			     (pages - tracker->frames) * SKSM_PAGE_BYTES : 0;
}

void sksm_account_pass(struct sksm_tracker *tracker)
{
	struct sksm_counters *counters = &tracker->counters;

	if (merged_pages(tracker) != tracker->audited_merged || counters->merged)
		sksm_account_audit(tracker, 0);
	counters->passes++;
	counters->tracked = tracker->regions.tracked_bytes;
	counters->resident = sum_states(tracker, SKSM_PAGE_LOOSE, SKSM_PAGE_SHARED);
	counters->armed = tracker->blocks.armed * SKSM_PAGE_BYTES;
	counters->invariant = sum_states(tracker, SKSM_PAGE_UNIQUE, SKSM_PAGE_SHARED);
	counters->digested = sum_states(tracker, SKSM_PAGE_UNIQUE, SKSM_PAGE_ZERO);
	counters->duplicate = sum_states(tracker, SKSM_PAGE_TWIN, SKSM_PAGE_ZERO);
	counters->offered = sum_states(tracker, SKSM_PAGE_OFFERED, SKSM_PAGE_ZERO);
	/* Nobody has to run ksmd for what MADV_MERGE was asked for. */
	if (tracker->engine != SKSM_ENGINE_SKSM)
		counters->pending = sum_states(tracker, SKSM_PAGE_OFFERED, SKSM_PAGE_OFFERED);
	counters->hurried = tracker->calm_ns ? counters->pending : 0;
	counters->sensitive_skipped = count_sensitive(tracker);
	counters->own = count_present(tracker, (uintptr_t)tracker->arena.start,
				      (uintptr_t)tracker->arena.usable);
	if (tracker->index_open && tracker->index.members_used > 1)
		counters->own += sksm_index_table_bytes(tracker->index.order) /
				 (tracker->index.members_used - 1);
	count_blocks(tracker, counters);
	count_merged(tracker, counters);
	count_possible(tracker, counters);
	if (counters->passes % SHARED_EVERY_PASSES == 1)
		count_shared(tracker);
}
