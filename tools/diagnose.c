/* SPDX-License-Identifier: MIT */
/* What the counters of a record say about each part of a process's memory. */
#include "diagnose.h"

#include <stdlib.h>
#include <string.h>

/* Of a core; the budget is 5 % unless SKSM_CPU_PERCENT says another. */
#define SPENT_BUDGET 0.045

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

struct listing {
	struct sksm_finding *list;
	size_t count;
};

static void add(struct listing *listing, uint64_t bytes, const char *cause, const char *text,
		const char *remedy)
{
	if (bytes && listing->count < SKSM_DIAGNOSE_FINDINGS_MAX)
		listing->list[listing->count++] = (struct sksm_finding){
			.cause = cause, .bytes = bytes, .text = text, .remedy = remedy,
		};
}

static int compare_findings(const void *a, const void *b)
{
	uint64_t left = ((const struct sksm_finding *)a)->bytes;
	uint64_t right = ((const struct sksm_finding *)b)->bytes;

	return left > right ? -1 : left < right;
}

static void find_merged(struct listing *listing, const struct sksm_counters *counters)
{
	add(listing, minus(counters->merged, counters->zero), "merged",
	    "is merged with equal pages", NULL);
	add(listing, counters->zero, "zero", "was zeros only, and is the zero page now", NULL);
}

/* What has a twin and is not merged. */
static void find_unmerged(struct listing *listing, const struct sksm_entry *entry,
			  const struct sksm_host *host)
{
	const struct sksm_counters *counters = &entry->record.counters;
	uint64_t waiting = counters->pending;
	uint64_t refused = minus(minus(counters->offered, counters->merged), waiting);
	uint64_t unoffered = minus(counters->duplicate, counters->offered);
	struct sksm_verdict verdict = { 0 };

	if (entry->record.mode == SKSM_MODE_ESTIMATE)
		add(listing, unoffered, "estimate", "has a twin, and was only to be estimated",
		    "unset SKSM_MODE");
	else if (entry->record.engine == SKSM_ENGINE_NONE)
		add(listing, unoffered, "no_engine", "has a twin, and nothing here merges",
		    "sksm-report --check");
	else
		add(listing, unoffered, "not_offered",
		    "has a twin and was not offered: it lies in huge pages, or in pieces for which "
		    "too few mappings are left (vm.max_map_count)",
		    "SKSM_HUGEPAGES=split, or sysctl vm.max_map_count");
	if (entry->life == SKSM_LIFE_RUNNING && sksm_host_ksmd_stands(host, &verdict))
		add(listing, waiting, "ksmd_stopped", "is offered, and nobody runs ksmd",
		    verdict.command);
	else
		add(listing, waiting, "waiting", "is offered and waits for ksmd", NULL);
	add(listing, refused, "refused",
	    "was offered, and the kernel did not merge it: pinned, or changed meanwhile", NULL);
}

static void find_untwinned(struct listing *listing, const struct sksm_entry *entry)
{
	const struct sksm_counters *counters = &entry->record.counters;
	uint64_t shared = minus(counters->invariant, counters->digested);
	uint64_t rest = minus(minus(counters->resident, counters->invariant), counters->hot);
	uint64_t huge = counters->huge_kept < rest ? counters->huge_kept : rest;
	double budget = entry->seconds > 0 ? (double)counters->cpu_ns / 1e9 / entry->seconds : 0;

	add(listing, minus(counters->digested, counters->duplicate), "no_twin",
	    "stays unwritten, and no other page is equal", NULL);
	add(listing, shared, "fork", "is shared by fork already", NULL);
	add(listing, counters->hot, "hot", "is written too often", NULL);
	add(listing, huge, "huge",
	    "lies in transparent huge pages, which were written or not yet looked at",
	    "SKSM_HUGEPAGES=split");
	rest -= huge;
	if (budget > SPENT_BUDGET)
		add(listing, rest, "budget", "waits: the budget of CPU time was spent",
		    "a larger SKSM_CPU_PERCENT");
	else
		add(listing, rest, "young", "was not yet seen unwritten for SKSM_AGE_MS", NULL);
}

/* QEMU's memory is shared where its user asked for it, mostly for vhost-user devices. */
static const char *shared_remedy(const struct sksm_entry *entry)
{
	bool qemu = !strncmp(entry->comm, "qemu", 4) || !strncmp(entry->comm, "kvm", 3);

	return qemu ? "share=off in -object memory-backend-memfd, where no vhost-user device needs it" :
		      NULL;
}

void sksm_diagnose_process(const struct sksm_entry *entry, const struct sksm_host *host,
			   struct sksm_finding ret[SKSM_DIAGNOSE_FINDINGS_MAX], size_t *ret_count)
{
	const struct sksm_counters *counters = &entry->record.counters;
	struct listing listing = { .list = ret };

	find_merged(&listing, counters);
	find_unmerged(&listing, entry, host);
	find_untwinned(&listing, entry);
	add(&listing, counters->sensitive_skipped, "sensitive",
	    "is marked sensitive (mlock, MADV_DONTDUMP, MADV_WIPEONFORK)", "SKSM_SENSITIVE=merge");
	add(&listing, counters->shared_unmergeable, "shared",
	    "is in shared mappings, which no kernel merges", shared_remedy(entry));
	qsort(ret, listing.count, sizeof(*ret), compare_findings);
	*ret_count = listing.count;
}
