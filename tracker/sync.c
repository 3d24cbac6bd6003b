/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "scan.h"
#include "sys.h"
#include "tracker.h"

/*
 * A call is to take no longer: the next one covers half as many pages where it did. Twice as many
 * where it took less than an eighth: a page that is merged costs four times one that is not.
 */
#define CALL_NS 1000000u
/* 0.7 ms where an instruction takes a nanosecond (docs/benchmarks/kernel.md). */
#define FIRST_BATCH_PAGES 32
#define LEAST_BATCH_PAGES 8
/* Bit 56 of offered pages is read after 1, 2, 4... passes, so often; then they are refused. */
#define LOOKS 7
/* After such a look a page is offered once more, in case the kernel never came to it. */
#define AGAIN_LOOK 3
#define AGAIN_STAMP 255
/* Calls for single pages of a run that the kernel denied, before the rest has to wait. */
#define DENIALS_MAX 8
#define MAX_DENIAL_SHIFT 6

/* What is offered in one block: the pages that a call has covered. */
struct offer {
	struct sksm_tracker *tracker;
	struct sksm_block *block;
	uint64_t barred[SKSM_BLOCK_WORDS];
	uint64_t covered[SKSM_BLOCK_WORDS];
};

static int call_kernel(struct offer *offer, unsigned int from, unsigned int to)
{
	struct sksm_tracker *tracker = offer->tracker;
	struct sksm_sync *sync = &tracker->sync;
	uint64_t begin_ns = sksm_clock_ns(CLOCK_MONOTONIC), took_ns;
	int error;

	error = tracker->sys->madvise((void *)sksm_page_address(offer->block, from),
				      (to - from) * SKSM_PAGE_BYTES, SKSM_MADV_MERGE);
	took_ns = sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns;
	if (took_ns > sync->longest_ns)
		sync->longest_ns = took_ns;
	if (took_ns > CALL_NS && sync->batch_pages > LEAST_BATCH_PAGES)
		sync->batch_pages /= 2;
	else if (took_ns < CALL_NS / 8 && to - from == sync->batch_pages &&
		 sync->batch_pages < SKSM_BLOCK_PAGES)
		sync->batch_pages *= 2;
	return error;
}

/* The machine says "not now", as opposed to "not this page". */
static bool is_about_all(int error)
{
	return error == -EBUSY || error == -EINTR || error == -EAGAIN;
}

static int deny(struct sksm_tracker *tracker)
{
	struct sksm_sync *sync = &tracker->sync;
	uint64_t interval_ns = (uint64_t)tracker->options->interval_ms * 1000000;

	sync->retry_ns = tracker->now_ns + (interval_ns << sync->denials);
	if (sync->denials < MAX_DENIAL_SHIFT)
		sync->denials++;
	return -EBUSY;
}

/*
 * The kernel has denied [from, to), or stopped somewhere in it: page by page, so that an error
 * concerns one of them.
 */
static int offer_singly(struct offer *offer, unsigned int from, unsigned int to)
{
	struct sksm_tracker *tracker = offer->tracker;
	unsigned int denied = 0;

	for (unsigned int page = from; page < to; page++) {
		int error = call_kernel(offer, page, page + 1);

		if (is_about_all(error))
			return deny(tracker);
		sksm_bit_set(offer->covered, page);
		if (!error)
			continue;
		sksm_block_set(&tracker->blocks, offer->block, page, SKSM_PAGE_REFUSED);
		if (++denied == DENIALS_MAX)
			return deny(tracker);
	}
	return 0;
}

/* 0; -EBUSY: no more offers in this pass. */
static int offer_run(struct offer *offer, unsigned int from, unsigned int to)
{
	struct sksm_tracker *tracker = offer->tracker;

	while (from < to) {
		unsigned int batch = tracker->sync.batch_pages;
		unsigned int end = to - from > batch ? from + batch : to;
		/* The kernel did not come so far when it was offered first. */
		bool singly = offer->block->stamp[from] == AGAIN_STAMP;
		int error = singly ? 0 : call_kernel(offer, from, end);

		if (is_about_all(error))
			return deny(tracker);
		if (!error && !singly)
			sksm_bits_set(offer->covered, from, end);
		else if (offer_singly(offer, from, end))
			return -EBUSY;
		tracker->sync.denials = 0;
		from = end;
	}
	return 0;
}

/*
 * A page with a twin whose frame is shared already: merged through an offer that we gave up on, or
 * shared by fork, and then there is nothing to save.
 */
static void note_shared(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page)
{
	if (sksm_bit(block->offered, page)) {
		sksm_note_merge(tracker, block);
		sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_MERGED);
		return;
	}
	sksm_twins_withdraw(tracker, block, page);
	sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_SHARED);
}

static bool is_offerable(const struct offer *offer, unsigned int page)
{
	struct sksm_tracker *tracker = offer->tracker;
	struct sksm_block *block = offer->block;

	if (block->state[page] != SKSM_PAGE_TWIN || sksm_bit(offer->barred, page) ||
	    !(tracker->pagemap[page] & SKSM_PM_PRESENT))
		return false;
	if (!sksm_entry_shared(tracker->pagemap[page]))
		return true;
	note_shared(tracker, block, page);
	return false;
}

/* @bare: pages that the merge took the protection of. One that was written would be exclusive. */
static void page_merged(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page,
			uint64_t *bare)
{
	bool zero = sksm_block_digest(block, page) == tracker->digester.zero;

	sksm_note_merge(tracker, block);
	sksm_block_set(&tracker->blocks, block, page, zero ? SKSM_PAGE_ZERO : SKSM_PAGE_MERGED);
	if (!(tracker->pagemap[page] & SKSM_PM_UFFD_WP))
		sksm_bit_set(bare, page);
}

static void rearm(struct sksm_tracker *tracker, struct sksm_block *block, const uint64_t *bare)
{
	if (tracker->kind == SKSM_TRACKER_WP)
		sksm_look_rearm(tracker, block, bare);
}

/* What has become of the pages that the calls have covered. */
static void judge(struct offer *offer)
{
	uint64_t bare[SKSM_BLOCK_WORDS] = { 0 };
	struct sksm_tracker *tracker = offer->tracker;
	struct sksm_block *block = offer->block;

	if (sksm_tracker_pagemap(tracker, block))
		return;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		if (!sksm_bit(offer->covered, page))
			continue;
		sksm_bit_set(block->offered, page);
		if (sksm_entry_shared(tracker->pagemap[page])) {
			page_merged(tracker, block, page, bare);
		} else if (block->state[page] == SKSM_PAGE_TWIN) {
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_OFFERED);
			if (block->stamp[page] != AGAIN_STAMP)
				block->stamp[page] = 0;
		}
	}
	rearm(tracker, block, bare);
	block->look_round = tracker->sync.round;
	block->looks = 0;
	tracker->quiet_scans = 0;
}

static int offer_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	struct offer offer = { .tracker = tracker, .block = block };
	unsigned int page = 0;
	int error = 0;

	if (sksm_tracker_pagemap(tracker, block))
		return 0;
	sksm_account_barred(tracker, block, offer.barred);
	while (page < SKSM_BLOCK_PAGES && !error) {
		unsigned int from = page;

		while (page < SKSM_BLOCK_PAGES && is_offerable(&offer, page))
			page++;
		if (page > from)
			error = offer_run(&offer, from, page);
		page++;
	}
	judge(&offer);
	return error;
}

static void offer_all(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next) {
		if (!block->count[SKSM_PAGE_TWIN] || block->huge != SKSM_HUGE_NO)
			continue;
		sksm_budget_update(&tracker->budget, sksm_clock_ns(CLOCK_BOOTTIME),
				   sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), 0);
		if (!sksm_tracker_may_work(tracker) || sksm_tracker_stops(tracker) ||
		    offer_block(tracker, block))
			break;
	}
}

/* Has somebody offered the twins of what waits in @block? */
static void follow_up(struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint64_t bare[SKSM_BLOCK_WORDS] = { 0 };

	if (sksm_tracker_pagemap(tracker, block))
		return;
	block->look_round = tracker->sync.round;
	if (block->looks < LOOKS)
		block->looks++;
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		uint8_t state = block->state[page];

		if (state != SKSM_PAGE_OFFERED && state != SKSM_PAGE_REFUSED)
			continue;
		if (sksm_entry_shared(tracker->pagemap[page])) {
			page_merged(tracker, block, page, bare);
		} else if (state == SKSM_PAGE_OFFERED && block->looks == AGAIN_LOOK &&
			   block->stamp[page] != AGAIN_STAMP) {
			block->stamp[page] = AGAIN_STAMP;
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_TWIN);
		} else if (state == SKSM_PAGE_OFFERED && block->looks == LOOKS) {
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_REFUSED);
		}
	}
	rearm(tracker, block, bare);
}

static bool is_due(const struct sksm_tracker *tracker, const struct sksm_block *block)
{
	uint8_t passed = (uint8_t)(tracker->sync.round - block->look_round);

	return block->count[SKSM_PAGE_OFFERED] && passed >= 1u << block->looks;
}

/* The kernel has merged more of us than we know of. */
static bool is_behind(struct sksm_tracker *tracker)
{
	const struct sksm_audit *audit = &tracker->audit;

	if (audit->done_ns == tracker->sync.audited_ns)
		return false;
	tracker->sync.audited_ns = audit->done_ns;
	return audit->merged_bytes > tracker->blocks.total[SKSM_PAGE_MERGED] * SKSM_PAGE_BYTES;
}

void sksm_sync_pass(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;
	bool behind = is_behind(tracker);
	uint64_t waiting;

	if (!tracker->sync.batch_pages)
		tracker->sync.batch_pages = FIRST_BATCH_PAGES;
	tracker->sync.round++;
	tracker->quiet_scans++;
	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (is_due(tracker, block) || (behind && block->count[SKSM_PAGE_REFUSED]))
			follow_up(tracker, block);
	waiting = sksm_account_offerable(tracker);
	if (!waiting || tracker->now_ns < tracker->sync.retry_ns)
		return;
	/* A mapping may have been locked or marked since it was digested. */
	sksm_account_audit(tracker, waiting);
	if (sksm_tracker_audited(tracker, SKSM_OFFER_AUDIT_MS))
		offer_all(tracker);
}
