/* SPDX-License-Identifier: MIT */
/* What follows from the looks: savings by content, what they would cost, and a verdict. */
#include "estimate_pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#include "tracker/abi.h"
#include "tracker/block.h"

/*
 * Unit costs in ns, docs/policy.md: armed twice and scanned, digested (816 with the copy) and
 * published. They are of a quiet machine; the benchmarks there took 2.6 times the prediction.
 */
#define ARM_NS (2 * 14.0 + 15 * 4.9)
#define DIGEST_NS 816.0
#define PUBLISH_NS 100.0
#define BUSY_FACTOR 2.6
/* How much slower or faster than that machine this one may be told to be. */
#define SCALE_MIN 0.25
#define SCALE_MAX 4.0
/* Budgets that do not come from the options: docs/architecture.md, "The pacer". */
#define KSMD_SHARE 0.5
#define KSMD_SAVED_UP_NS 1e9
#define LIBRARY_SAVED_UP_S 10.0
/*
 * Our own memory: per page that is watched, per entry of the index, per process (docs/policy.md).
 */
#define OWN_PER_PAGE (0.0022 * SKSM_PAGE_BYTES)
#define OWN_PER_ENTRY 8.0
#define OWN_PER_PROCESS (512.0 * 1024)
/* Less than this part of the memory, or per process, is not worth a thread in each. */
#define WORTH_PART 0.01
#define WORTH_PER_PROCESS (256.0 * 1024)
/* Merges and breaks may take this part of a core. */
#define BREAKS_PART 0.01

static int compare_where(const void *a, const void *b)
{
	const struct sksm_estimate_page *left = a, *right = b;

	return left->where < right->where ? -1 : left->where > right->where;
}

static int compare_digest(const void *a, const void *b)
{
	const struct sksm_estimate_page *left = a, *right = b;

	return left->digest < right->digest ? -1 : left->digest > right->digest;
}

static uint64_t digest_of(const struct sksm_estimate_page *page)
{
	return page->digest & ~SKSM_ESTIMATE_FLAGS;
}

/* The first page behind those with the digest of list[from], in a list sorted by digest. */
static size_t end_of_content(const struct sksm_estimate_state *state, size_t from)
{
	size_t to = from + 1;

	while (to < state->count && digest_of(&state->list[to]) == digest_of(&state->list[from]))
		to++;
	return to;
}

static bool is_counted(const struct sksm_estimate_state *state,
		       const struct sksm_estimate_page *page)
{
	return page->digest & SKSM_ESTIMATE_CALM &&
	       !state->estimate->processes[sksm_estimate_process_of(page)].gone;
}

static void mark_twins(struct sksm_estimate_state *state)
{
	size_t from, to, i;

	qsort(state->list, state->count, sizeof(*state->list), compare_digest);
	for (from = 0; from < state->count; from = to) {
		size_t calm = 0;

		to = end_of_content(state, from);
		for (i = from; i < to; i++)
			calm += is_counted(state, &state->list[i]);
		if (calm < 2 && digest_of(&state->list[from]) != state->digester.zero)
			continue;
		for (i = from; i < to; i++)
			if (is_counted(state, &state->list[i]))
				state->list[i].digest |= SKSM_ESTIMATE_TWIN;
	}
	qsort(state->list, state->count, sizeof(*state->list), compare_where);
}

/* As sksm_huge_is_worth_splitting: half of a huge page has to have a twin. */
void sksm_estimate_find_twins(struct sksm_estimate_state *state)
{
	size_t from, to, i;

	mark_twins(state);
	for (from = 0; from < state->count; from = to) {
		uint64_t block = state->list[from].where >> (SKSM_BLOCK_SHIFT - SKSM_PAGE_SHIFT);
		size_t twins = 0;

		for (to = from; to < state->count; to++) {
			const struct sksm_estimate_page *page = &state->list[to];

			if (page->where >> (SKSM_BLOCK_SHIFT - SKSM_PAGE_SHIFT) != block)
				break;
			twins += (page->digest & (SKSM_ESTIMATE_HUGE | SKSM_ESTIMATE_TWIN)) ==
				 (SKSM_ESTIMATE_HUGE | SKSM_ESTIMATE_TWIN);
		}
		if (twins >= SKSM_BLOCK_PAGES / 2 || state->options->split_hugepages)
			continue;
		for (i = from; i < to; i++)
			if (state->list[i].digest & SKSM_ESTIMATE_HUGE)
				state->list[i].digest |= SKSM_ESTIMATE_KEPT;
	}
}

/* The pages list[from..to) have one content: what would merging them free, and whose is it? */
static void add_content(struct sksm_estimate_state *state, size_t from, size_t to, double *shares)
{
	struct sksm_estimate *estimate = state->estimate;
	uint64_t alone = 0, shared = 0, freed;
	enum sksm_estimate_kind kind;
	size_t i;

	for (i = from; i < to; i++) {
		if ((state->list[i].digest & (SKSM_ESTIMATE_TWIN | SKSM_ESTIMATE_KEPT |
		     SKSM_ESTIMATE_BROKEN)) != SKSM_ESTIMATE_TWIN)
			continue;
		if (state->list[i].digest & SKSM_ESTIMATE_SHARED)
			shared++;
		else
			alone++;
	}
	estimate->merged_already += shared * SKSM_PAGE_BYTES;
	if (alone + shared < 2)
		return;
	estimate->merges += alone;
	/* One frame has to stay; where some are merged, theirs does. */
	freed = alone - !shared;
	kind = digest_of(&state->list[from]) == state->digester.zero ? SKSM_ESTIMATE_ZERO :
	       alone + shared >= SKSM_ESTIMATE_MANY ? SKSM_ESTIMATE_MANY_TIMES :
	       SKSM_ESTIMATE_DIVERSE;
	estimate->saved_by_kind[kind] += freed * SKSM_PAGE_BYTES;
	estimate->contents_by_kind[kind] += freed > 0;
	estimate->total.saved += freed * SKSM_PAGE_BYTES;
	for (i = from; i < to; i++)
		if ((state->list[i].digest & (SKSM_ESTIMATE_TWIN | SKSM_ESTIMATE_KEPT |
		     SKSM_ESTIMATE_BROKEN | SKSM_ESTIMATE_SHARED)) == SKSM_ESTIMATE_TWIN)
			shares[sksm_estimate_process_of(&state->list[i])] +=
				(double)freed / (double)alone;
}

static void add_page(struct sksm_estimate_sizes *sizes, uint64_t flags)
{
	sizes->resident += SKSM_PAGE_BYTES;
	if (!(flags & SKSM_ESTIMATE_CALM))
		return;
	sizes->calm += SKSM_PAGE_BYTES;
	if (!(flags & SKSM_ESTIMATE_TWIN))
		return;
	sizes->duplicate += SKSM_PAGE_BYTES;
	if (flags & SKSM_ESTIMATE_KEPT)
		sizes->huge_kept += SKSM_PAGE_BYTES;
}

static int count_savings(struct sksm_estimate_state *state)
{
	struct sksm_estimate *estimate = state->estimate;
	double *shares = calloc(estimate->count, sizeof(*shares));
	uint64_t broken = 0;
	size_t from, to, i;

	if (!shares)
		return -ENOMEM;
	for (i = 0; i < state->count; i++) {
		const struct sksm_estimate_page *page = &state->list[i];
		struct sksm_estimate_process *process =
			&estimate->processes[sksm_estimate_process_of(page)];

		if (process->gone)
			continue;
		add_page(&process->sizes, page->digest);
		add_page(&estimate->total, page->digest);
		broken += (page->digest & SKSM_ESTIMATE_BROKEN) != 0;
	}
	qsort(state->list, state->count, sizeof(*state->list), compare_digest);
	for (from = 0; from < state->count; from = to) {
		to = end_of_content(state, from);
		add_content(state, from, to, shares);
	}
	for (i = 0; i < estimate->count; i++)
		estimate->processes[i].sizes.saved = (uint64_t)(shares[i] + 0.5) * SKSM_PAGE_BYTES;
	estimate->breaks_per_second = (double)broken / estimate->interval_seconds;
	free(shares);
	return 0;
}

/* How slow this machine is, by the digests that we made ourselves. */
static double scale_of(const struct sksm_estimate_state *state)
{
	double scale = state->count ? (double)state->estimate->look_cpu_ns /
				      (double)state->count / DIGEST_NS : 1;

	return scale < SCALE_MIN ? SCALE_MIN : scale > SCALE_MAX ? SCALE_MAX : scale;
}

static void count_costs(struct sksm_estimate_state *state, const struct sksm_host *host)
{
	struct sksm_estimate *estimate = state->estimate;
	double factor = scale_of(state) * BUSY_FACTOR, budget, largest = 0, ns;
	double per_page = ARM_NS + DIGEST_NS + PUBLISH_NS;
	size_t i;

	estimate->digests = estimate->total.calm / SKSM_PAGE_BYTES;
	estimate->cpu_ns = (uint64_t)(factor * ((double)estimate->digests * per_page));
	estimate->ksmd_cpu_ns = (uint64_t)(factor * (double)estimate->merges * SKSM_MERGE_NS);
	for (i = 0; i < estimate->count; i++) {
		ns = factor * per_page *
		     (double)(estimate->processes[i].sizes.calm / SKSM_PAGE_BYTES);
		largest = ns > largest ? ns : largest;
		estimate->own += estimate->processes[i].gone ? 0 : (uint64_t)OWN_PER_PROCESS;
	}
	estimate->own += (uint64_t)(OWN_PER_PAGE * (double)(estimate->total.resident /
							    SKSM_PAGE_BYTES) +
				    OWN_PER_ENTRY * (double)estimate->digests);
	/* The library's budget starts with some saved up, and so does the pacer's. */
	budget = host->options.cpu_percent / 100.0;
	ns = largest / 1e9 - LIBRARY_SAVED_UP_S * budget;
	estimate->seconds = (host->options.age_ms + 2.0 * host->options.interval_ms) / 1000 +
			    largest / 1e9 + (ns > 0 ? ns / budget : 0);
	ns = (double)estimate->ksmd_cpu_ns - KSMD_SAVED_UP_NS;
	estimate->seconds += (double)estimate->ksmd_cpu_ns / 1e9 +
			     (ns > 0 ? ns / 1e9 * (1 / KSMD_SHARE - 1) : 0);
}

static void judge(struct sksm_estimate_state *state, const struct sksm_host *host)
{
	struct sksm_estimate *estimate = state->estimate;
	double saved = (double)estimate->total.saved, net = saved - (double)estimate->own;
	double breaks_cost = estimate->breaks_per_second * (SKSM_BREAK_NS + SKSM_MERGE_NS) *
			     scale_of(state) / 1e9;
	char size[SKSM_TEXT_SIZE_MAX], of[SKSM_TEXT_SIZE_MAX], own[SKSM_TEXT_SIZE_MAX];
	struct sksm_verdict verdict = { 0 };
	double part = estimate->total.resident ? saved / (double)estimate->total.resident : 0;

	sksm_text_size(estimate->total.saved, size);
	sksm_text_size(estimate->total.resident, of);
	estimate->go = net >= WORTH_PART * (double)estimate->total.resident &&
		       net >= WORTH_PER_PROCESS * (double)estimate->count &&
		       breaks_cost <= BREAKS_PART;
	if (estimate->go)
		snprintf(estimate->verdict, sizeof(estimate->verdict),
			 "go: %s of %s (%.0f %%) would be freed in about %.0f s, for %.1f s of CPU",
			 size, of, 100 * part, estimate->seconds,
			 (double)(estimate->cpu_ns + estimate->ksmd_cpu_ns) / 1e9);
	else if (breaks_cost > BREAKS_PART)
		snprintf(estimate->verdict, sizeof(estimate->verdict),
			 "no-go: of %s, %.0f pages a second would be written again, for %.1f %% "
			 "of a core", size, estimate->breaks_per_second, 100 * breaks_cost);
	else
		snprintf(estimate->verdict, sizeof(estimate->verdict),
			 "no-go: %s of %s (%.1f %%) would be freed, and %s taken", size, of,
			 100 * part, sksm_text_size(estimate->own, own));
	if (!sksm_host_can_merge(host, &verdict))
		estimate->obstacle = verdict;
}

int sksm_estimate_sum_up(struct sksm_estimate_state *state, const struct sksm_host *host)
{
	int error = count_savings(state);

	if (error)
		return error;
	count_costs(state, host);
	judge(state, host);
	return 0;
}
