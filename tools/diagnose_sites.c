/* SPDX-License-Identifier: MIT */
#include "diagnose_sites.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "estimate.h"
#include "text.h"

#define TOP_SITES 8
#define NS_PER_UNDONE ((uint64_t)SKSM_MERGE_NS + SKSM_BREAK_NS)

const char *sksm_diagnose_site_of(struct sksm_site_report *report, size_t process, uint64_t address,
				  const char *name)
{
	const struct sksm_place_row *row = sksm_sites_find(report, process, address);
	enum sksm_owner owner = row ? report->sites[row->site].owner : SKSM_OWNER_UNKNOWN;

	if (owner == SKSM_OWNER_UNKNOWN || (owner != SKSM_OWNER_SITE && *name))
		return NULL;
	return sksm_sites_label(report, row->site);
}

static int compare_sites(const void *a, const void *b, void *arg)
{
	const struct sksm_site_report *report = arg;
	size_t left = *(const size_t *)a, right = *(const size_t *)b;
	uint64_t x = report->sites[left].tally[SKSM_TALLY_BREAKS];
	uint64_t y = report->sites[right].tally[SKSM_TALLY_BREAKS];

	return x != y ? (x > y ? -1 : 1) : left < right ? -1 : left > right;
}

/* The sites that undo merges, as numbers, most first: the caller's. NULL: none, or no memory. */
static size_t *list_sites(struct sksm_site_report *report, size_t *ret_count)
{
	size_t *list = calloc(report->site_count + 1, sizeof(*list)), count = 0;

	for (size_t i = 0; list && i < report->site_count; i++)
		if (report->sites[i].tally[SKSM_TALLY_BREAKS])
			list[count++] = i;
	if (count)
		qsort_r(list, count, sizeof(*list), compare_sites, report);
	*ret_count = count;
	return list;
}

static double seconds_after(const uint64_t *tally)
{
	return (double)tally[SKSM_TALLY_LIVED_MS] / 1000 / (double)tally[SKSM_TALLY_BREAKS];
}

static const char *cost_of(uint64_t undone, char ret[32])
{
	double seconds = (double)undone * NS_PER_UNDONE / 1e9;

	if (seconds < 1)
		snprintf(ret, 32, "%.1f ms", seconds * 1000);
	else
		snprintf(ret, 32, "%.1f s", seconds);
	return ret;
}

void sksm_diagnose_print_undone(struct sksm_site_report *report)
{
	uint64_t all = report->census->total.cow_breaks;
	size_t count, *list = list_sites(report, &count);
	char label[300], size[SKSM_TEXT_SIZE_MAX], cost[32];

	if (all)
		printf("\nMerges undone by writes: %" PRIu64 ", which took about %s of CPU time\n",
		       all, cost_of(all, cost));
	for (size_t i = 0; list && all && i < count && i < TOP_SITES; i++) {
		const uint64_t *tally = report->sites[list[i]].tally;

		sksm_text_clean(label, sizeof(label), sksm_sites_label(report, list[i]));
		printf("  %7" PRIu64 " in memory of %s\n", tally[SKSM_TALLY_BREAKS], label);
		printf("          %.1f s after the merge on average, %s of CPU time; %s is merged\n",
		       seconds_after(tally), cost_of(tally[SKSM_TALLY_BREAKS], cost),
		       sksm_text_size(tally[SKSM_TALLY_MERGED], size));
	}
	free(list);
}

static struct json_object *site_object(struct sksm_site_report *report, size_t number)
{
	const struct sksm_place_site *site = &report->sites[number];
	const uint64_t *tally = site->tally;
	struct json_object *object = json_object_new_object();
	char text[300];

	sksm_text_clean(text, sizeof(text), sksm_sites_label(report, number));
	json_object_object_add(object, "where", json_object_new_string(text));
	json_object_object_add(object, "kind",
			       json_object_new_string(sksm_sites_owner_name(site->owner)));
	json_object_object_add(object, "processes", json_object_new_uint64(site->processes));
	json_object_object_add(object, "count", json_object_new_uint64(tally[SKSM_TALLY_BREAKS]));
	snprintf(text, sizeof(text), "%.3f", seconds_after(tally));
	json_object_object_add(object, "seconds_after",
			       json_object_new_double_s(seconds_after(tally), text));
	json_object_object_add(object, "cost_ns", json_object_new_uint64(
			       tally[SKSM_TALLY_BREAKS] * NS_PER_UNDONE));
	json_object_object_add(object, "merged", json_object_new_uint64(tally[SKSM_TALLY_MERGED]));
	return object;
}

struct json_object *sksm_diagnose_undone_object(struct sksm_site_report *report)
{
	struct json_object *object = json_object_new_object(), *sites = json_object_new_array();
	uint64_t all = report->census->total.cow_breaks;
	size_t count, *list = list_sites(report, &count);

	json_object_object_add(object, "count", json_object_new_uint64(all));
	json_object_object_add(object, "cost_ns", json_object_new_uint64(all * NS_PER_UNDONE));
	for (size_t i = 0; list && i < count; i++)
		json_object_array_add(sites, site_object(report, list[i]));
	json_object_object_add(object, "sites", sites);
	free(list);
	return object;
}
