/* SPDX-License-Identifier: MIT */
/*
 * Twins: what is said to the index of the domain and learnt from it. Operations are collected and
 * done many at once, which is several times cheaper (index.h); until then a page that was
 * published counts as unique.
 */
#include "tracker.h"

#include <errno.h>
#include <time.h>

#include "sys.h"

/* At once. They take 384 KiB, given back when done. */
#define OPS_MAX 16384u
/* Refused pages get another chance when twins come, but not for ever. */
#define MAX_RETRIES 4
/* Lookups of all pages take a tenth of the time; half of the budget where that is running out. */
#define LOOKUPS_FACTOR 10
#define LOOKUPS_PERCENT 200

static void take_twin(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page)
{
	sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_TWIN);
	block->renewals = 0;
	/* A huge page may have become worth giving up: no need to wait for its turn. */
	if (block->huge == SKSM_HUGE_KNOWN && sksm_huge_is_worth_splitting(tracker, block))
		block->next_arm_ns = 0;
}

static bool may_retry(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (block->retry_round == tracker->lookup_round)
		return true;
	if (block->retries >= MAX_RETRIES)
		return false;
	block->retries++;
	block->retry_round = tracker->lookup_round;
	return true;
}

static void settle(struct sksm_tracker *tracker, const struct sksm_index_op *op)
{
	struct sksm_block *block = op->block;
	uint8_t state;

	if (op->kind == SKSM_INDEX_WITHDRAW)
		return;
	state = block->state[op->page];
	if (state == SKSM_PAGE_UNIQUE && op->result == 1)
		take_twin(tracker, block, op->page);
	else if (state == SKSM_PAGE_TWIN && op->result == 0)
		sksm_block_set(&tracker->blocks, block, op->page, SKSM_PAGE_UNIQUE);
	else if (state == SKSM_PAGE_REFUSED && op->result == 1 &&
		 op->kind == SKSM_INDEX_LOOKUP && may_retry(tracker, block))
		take_twin(tracker, block, op->page);
}

static void apply(struct sksm_tracker *tracker, struct sksm_index_op *ops, unsigned int count)
{
	sksm_index_apply(&tracker->index, ops, count);
	for (unsigned int i = 0; i < count; i++)
		settle(tracker, &ops[i]);
}

void sksm_twins_flush(struct sksm_tracker *tracker)
{
	if (tracker->index_open)
		apply(tracker, tracker->ops, tracker->op_count);
	tracker->op_count = 0;
	sksm_arena_free(&tracker->arena, tracker->ops, OPS_MAX * sizeof(*tracker->ops));
	tracker->ops = NULL;
}

static void add(struct sksm_tracker *tracker, enum sksm_index_op_kind kind,
		struct sksm_block *block, unsigned int page)
{
	struct sksm_index_op op = {
		.digest = sksm_block_digest(block, page),
		.block = block,
		.page = page,
		.kind = kind,
	};

	/* Pages of zeros have a twin in every kernel, and would crowd one bucket of the index. */
	if (!tracker->index_open || !op.digest || op.digest == tracker->digester.zero)
		return;
	if (!tracker->ops)
		tracker->ops = sksm_arena_alloc(&tracker->arena, OPS_MAX * sizeof(op));
	if (!tracker->ops) {
		apply(tracker, &op, 1);
		return;
	}
	tracker->ops[tracker->op_count++] = op;
	if (tracker->op_count == OPS_MAX)
		sksm_twins_flush(tracker);
}

void sksm_twins_publish(struct sksm_tracker *tracker, struct sksm_block *block,
			unsigned int page)
{
	bool zero = sksm_block_digest(block, page) == tracker->digester.zero;

	/* Merged before it was digested: known to twins elsewhere from now on. */
	if (block->state[page] != SKSM_PAGE_MERGED)
		sksm_block_set(&tracker->blocks, block, page,
			       zero ? SKSM_PAGE_TWIN : SKSM_PAGE_UNIQUE);
	add(tracker, SKSM_INDEX_PUBLISH, block, page);
	block->published = true;
	/* What was refused may fare better with it (MAX_RETRIES). */
	if (tracker->blocks.total[SKSM_PAGE_REFUSED])
		tracker->lookups_due = true;
}

void sksm_twins_withdraw(struct sksm_tracker *tracker, struct sksm_block *block,
			 unsigned int page)
{
	if (!block->digests)
		return;
	add(tracker, SKSM_INDEX_WITHDRAW, block, page);
	sksm_block_set_digest(block, page, 0);
}

static void add_block(struct sksm_tracker *tracker, struct sksm_block *block,
		      enum sksm_index_op_kind kind, bool refused)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		if (sksm_page_digested(block->state[page]) &&
		    (refused || block->state[page] != SKSM_PAGE_REFUSED))
			add(tracker, kind, block, page);
	block->published = kind == SKSM_INDEX_PUBLISH;
}

static void add_all(struct sksm_tracker *tracker, enum sksm_index_op_kind kind)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (block->digests && !sksm_tracker_stops(tracker))
			add_block(tracker, block, kind, true);
	sksm_twins_flush(tracker);
}

void sksm_twins_republish(struct sksm_tracker *tracker)
{
	add_all(tracker, SKSM_INDEX_PUBLISH);
}

/*
 * Of two that publish the same at a time, one may overwrite the other: look again. What was refused
 * waits for news.
 */
static void look_up_published(struct sksm_tracker *tracker)
{
	struct sksm_block *block, *next;

	HASH_ITER(hh, tracker->blocks.table, block, next)
		if (block->published && !sksm_tracker_stops(tracker))
			add_block(tracker, block, SKSM_INDEX_LOOKUP, false);
	sksm_twins_flush(tracker);
}

/* Some page of ours got a twin, or a process that had one went: which? */
static void look_up_all(struct sksm_tracker *tracker)
{
	uint64_t cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), factor = LOOKUPS_FACTOR;

	tracker->lookup_round++;
	add_all(tracker, SKSM_INDEX_LOOKUP);
	tracker->lookups_due = false;
	/* What was asked for now (sksm_merge_now) is not to wait. */
	if (!tracker->calm_ns && !sksm_budget_ample(&tracker->budget) &&
	    LOOKUPS_PERCENT / tracker->budget.percent > factor)
		factor = LOOKUPS_PERCENT / tracker->budget.percent;
	cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	tracker->next_lookups_ns = tracker->now_ns + factor * cpu_ns;
}

void sksm_twins_pass(struct sksm_tracker *tracker)
{
	int found;

	if (!tracker->index_open)
		return;
	/* What was withdrawn is of the table that we know, not of one that the beat may find. */
	sksm_twins_flush(tracker);
	tracker->index.held = 0;
	for (int state = SKSM_PAGE_UNIQUE; state <= SKSM_PAGE_ZERO; state++)
		tracker->index.held += tracker->blocks.total[state];
	found = sksm_index_beat(&tracker->index);
	if (found == -ESTALE) {
		/* Somebody emptied the files under us: join anew. */
		sksm_index_close(&tracker->index);
		tracker->index_open = false;
	}
	if (found < 0)
		return;
	if (found & SKSM_INDEX_EVENT)
		tracker->lookups_due = true;
	if (found & SKSM_INDEX_MOVED) {
		/* The others come too; the next pass looks for what they have overwritten. */
		sksm_twins_republish(tracker);
		return;
	}
	if (tracker->lookups_due && tracker->now_ns >= tracker->next_lookups_ns)
		look_up_all(tracker);
	else
		look_up_published(tracker);
}
