/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#include "tracker/abi.h"

#define DORMANT_LINES 3

static void print_verdict(const struct sksm_verdict *verdict)
{
	if (verdict->command)
		printf("  %s\n", verdict->command);
}

/* Offered pages that nobody merges: the most common surprise. */
static void advise_ksmd(const struct sksm_census *census, const struct sksm_host *host)
{
	uint64_t offered = 0, merged = 0, pending = 0;
	struct sksm_verdict verdict = { 0 };
	size_t i;

	for (i = 0; i < census->count; i++) {
		const struct sksm_entry *entry = &census->list[i];

		if (entry->life != SKSM_LIFE_RUNNING || entry->record.engine != SKSM_ENGINE_KSM)
			continue;
		offered += entry->record.counters.offered / SKSM_PAGE_BYTES;
		merged += entry->record.counters.merged / SKSM_PAGE_BYTES;
		pending += entry->record.counters.pending / SKSM_PAGE_BYTES;
	}
	if (!pending || merged >= offered || !sksm_host_ksmd_stands(host, &verdict))
		return;
	printf("%" PRIu64 " pages offered, %" PRIu64 " merged: %s; run\n", offered, merged,
	       verdict.reason);
	print_verdict(&verdict);
}

/* Twins that were found where merging was not asked for or is not there. */
static void advise_estimate(const struct sksm_census *census, const struct sksm_host *host)
{
	uint64_t by_wish = 0, by_kernel = 0;
	char size[SKSM_TEXT_SIZE_MAX];
	size_t i;

	for (i = 0; i < census->count; i++) {
		const struct sksm_entry *entry = &census->list[i];

		if (entry->record.mode == SKSM_MODE_ESTIMATE)
			by_wish += entry->record.counters.duplicate;
		else if (entry->record.engine == SKSM_ENGINE_NONE)
			by_kernel += entry->record.counters.duplicate;
	}
	if (by_wish)
		printf("%s has a twin; it was only estimated (SKSM_MODE=estimate). To merge, run\n"
		       "  sksm-run COMMAND    (as root, or with ksmd running)\n",
		       sksm_text_size(by_wish, size));
	if (by_kernel) {
		struct sksm_verdict verdict;

		printf("%s has a twin; nothing is merged", sksm_text_size(by_kernel, size));
		if (!sksm_host_can_merge(host, &verdict))
			printf(": %s\n", verdict.reason);
		else
			printf(" by processes with the engine \"none\"\n");
		print_verdict(&verdict);
	}
}

static void tell_dormant(const struct sksm_census *census)
{
	size_t dormant = 0, i;

	for (i = 0; i < census->count; i++) {
		const struct sksm_entry *entry = &census->list[i];

		if (entry->life != SKSM_LIFE_RUNNING || !*entry->dormant)
			continue;
		if (dormant++ < DORMANT_LINES)
			printf("%" PRIu32 " (%s) is dormant: %s\n", entry->record.pid, entry->comm,
			       entry->dormant);
	}
	if (dormant > DORMANT_LINES)
		printf("%zu more are dormant: see sksm-report --columns PID,COMM,DORMANT\n",
		       dormant - DORMANT_LINES);
}

void sksm_report_advice(const struct sksm_census *census, const struct sksm_host *host)
{
	char size[SKSM_TEXT_SIZE_MAX];

	advise_ksmd(census, host);
	advise_estimate(census, host);
	tell_dormant(census);
	if (census->total.shared_unmergeable)
		printf("%s is in shared mappings, which no kernel merges\n",
		       sksm_text_size(census->total.shared_unmergeable, size));
	if (host->left_over)
		printf("a pacer was killed and left its settings in " SKSM_KSMD_ROOT "; run\n"
		       "  as root: sksm-pacer --restore\n");
}
