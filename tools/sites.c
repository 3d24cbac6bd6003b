/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "frames.h"
#include "tracker/site_file.h"

/* Sites and modules that are known, by what tells them apart. */
struct known {
	UT_hash_handle hh;
	size_t number;
	size_t key_bytes;
	unsigned char key[];
};

struct index {
	struct known *sites;
	struct known *modules;
};

/* A file while it is put together with the rest. */
struct reading {
	struct sksm_site_report *report;
	struct sksm_file_view view;
	size_t process;
	size_t *sites;		/* numbers in the report, of those in the file */
	size_t *modules;
};

/* One more in a list that grows by one: files are small. */
static void *add_one(void *list_at, size_t *count, size_t size)
{
	void *old, *list;

	memcpy(&old, list_at, sizeof(old));
	/* Room doubles at powers of two. */
	if (!(*count & (*count - 1))) {
		list = reallocarray(old, *count ? *count * 2 : 1, size);
		if (!list)
			return NULL;
		memcpy(list_at, &list, sizeof(list));
		old = list;
	}
	memset((char *)old + *count * size, 0, size);
	return (char *)old + (*count)++ * size;
}

static struct known *find_known(struct known *table, const void *key, size_t bytes)
{
	struct known *known;

	HASH_FIND(hh, table, key, bytes, known);
	return known;
}

static int add_known(struct known **table, const void *key, size_t bytes, size_t number)
{
	struct known *known = calloc(1, sizeof(*known) + bytes);

	if (!known)
		return -ENOMEM;
	known->number = number;
	known->key_bytes = bytes;
	memcpy(known->key, key, bytes);
	HASH_ADD(hh, *table, key, bytes, known);
	return 0;
}

static int number_module(struct reading *reading, uint32_t from)
{
	const struct sksm_file_module *module = &reading->view.modules[from];
	struct sksm_site_report *report = reading->report;
	struct index *index = report->index;
	struct known *known = find_known(index->modules, module, sizeof(*module));
	struct sksm_symbol_module *added;

	if (known) {
		reading->modules[from] = known->number;
		return 0;
	}
	reading->modules[from] = report->module_count;
	added = add_one(&report->modules, &report->module_count, sizeof(*added));
	if (!added)
		return -ENOMEM;
	added->path = strdup(module->path);
	added->build_id = malloc(SKSM_BUILD_ID_MAX);
	if (!added->path || !added->build_id)
		return -ENOMEM;
	memcpy(added->build_id, module->build_id, SKSM_BUILD_ID_MAX);
	added->build_id_bytes = module->build_id_bytes;
	return add_known(&index->modules, module, sizeof(*module), reading->modules[from]);
}

static int add_site(struct reading *reading, const struct sksm_file_site *site,
		    const struct sksm_place_frame *frames, size_t *ret_number)
{
	struct sksm_site_report *report = reading->report;
	struct sksm_place_site *added;

	*ret_number = report->site_count;
	added = add_one(&report->sites, &report->site_count, sizeof(*added));
	if (!added)
		return -ENOMEM;
	added->owner = site->owner;
	added->frames = calloc(site->frames ? site->frames : 1, sizeof(*frames));
	if (!added->frames)
		return -ENOMEM;
	if (site->frames)
		memcpy(added->frames, frames, site->frames * sizeof(*frames));
	added->frame_count = site->frames;
	return 0;
}

static int number_site(struct reading *reading, uint32_t from)
{
	const struct sksm_file_site *site = &reading->view.sites[from];
	struct index *index = reading->report->index;
	struct sksm_place_frame key[SKSM_SITE_FRAMES_MAX + 1] = { 0 };
	struct known *known;
	size_t bytes;
	uint32_t i;
	int error;

	if (site->frames > SKSM_SITE_FRAMES_MAX)
		return -EINVAL;
	/* Frames, and behind them what kind it is. */
	for (i = 0; i < site->frames; i++) {
		const struct sksm_file_frame *frame =
			&reading->view.frames[site->first_frame + i];

		key[i].module = frame->module == UINT32_MAX ? UINT64_MAX :
				reading->modules[frame->module];
		key[i].address = frame->address;
	}
	key[site->frames].module = site->owner;
	bytes = (site->frames + 1) * sizeof(key[0]);
	known = find_known(index->sites, key, bytes);
	if (known) {
		reading->sites[from] = known->number;
		return 0;
	}
	error = add_site(reading, site, key, &reading->sites[from]);
	return error ? error : add_known(&index->sites, key, bytes, reading->sites[from]);
}

static bool is_empty(const uint64_t *tally)
{
	int i;

	for (i = 0; i < SKSM_TALLIES; i++)
		if (tally[i])
			return false;
	return true;
}

static void set_measured(uint64_t *tally, const struct sksm_frames_part *part)
{
	tally[SKSM_TALLY_MERGED] = part->merged_bytes;
	tally[SKSM_TALLY_ZERO] = part->zero_bytes;
	tally[SKSM_TALLY_SAVED] = part->saved_bytes;
}

/* What the kernel counted in the mappings of the site @from; all the rest is of unknown memory. */
static void measure_site(const struct reading *reading, uint32_t from, uint64_t *tally)
{
	const struct sksm_entry *entry = &reading->report->census->list[reading->process];
	const struct sksm_file_view *view = &reading->view;
	struct sksm_frames_part sum = { 0 };
	uint32_t i;

	if (!entry->measured || !entry->parts)
		return;
	for (i = 0; i <= view->header.mappings; i++) {
		const struct sksm_frames_part *part = &entry->parts[i];
		bool is_rest = i == view->header.mappings;

		if ((is_rest ? (uint32_t)SKSM_OWNER_UNKNOWN : view->mappings[i].site) != from)
			continue;
		sum.merged_bytes += part->merged_bytes;
		sum.zero_bytes += part->zero_bytes;
		sum.saved_bytes += part->saved_bytes;
	}
	set_measured(tally, &sum);
}

static int add_site_rows(struct reading *reading)
{
	struct sksm_site_report *report = reading->report;
	const struct sksm_file_view *view = &reading->view;
	uint64_t tally[SKSM_TALLIES];
	struct sksm_place_row *row;
	uint32_t i;

	for (i = 0; i < view->header.sites; i++) {
		memcpy(tally, view->sites[i].tally, sizeof(tally));
		measure_site(reading, i, tally);
		if (is_empty(tally))
			continue;
		row = add_one(&report->by_site.list, &report->by_site.count, sizeof(*row));
		if (!row)
			return -ENOMEM;
		row->process = reading->process;
		row->site = reading->sites[i];
		memcpy(row->tally, tally, sizeof(row->tally));
	}
	return 0;
}

static int add_mapping_rows(struct reading *reading)
{
	struct sksm_site_report *report = reading->report;
	const struct sksm_entry *entry = &report->census->list[reading->process];
	const struct sksm_file_view *view = &reading->view;
	struct sksm_place_row *row;
	uint32_t i;

	for (i = 0; i < view->header.mappings; i++) {
		const struct sksm_file_mapping *mapping = &view->mappings[i];

		row = add_one(&report->by_mapping.list, &report->by_mapping.count, sizeof(*row));
		if (!row)
			return -ENOMEM;
		row->process = reading->process;
		row->site = reading->sites[mapping->site];
		row->start = mapping->start;
		row->end = mapping->end;
		row->name = mapping->name ? strdup(view->names + mapping->name) : NULL;
		memcpy(row->tally, mapping->tally, sizeof(row->tally));
		if (entry->measured && entry->parts)
			set_measured(row->tally, &entry->parts[i]);
	}
	return 0;
}

/* Take in the file that is in @reading->view. */
static int take_in(struct reading *reading)
{
	const struct sksm_file_header *header = &reading->view.header;
	int error = 0;
	uint32_t i;

	reading->sites = calloc(header->sites + 1, sizeof(*reading->sites));
	reading->modules = calloc(header->modules + 1, sizeof(*reading->modules));
	if (!reading->sites || !reading->modules)
		error = -ENOMEM;
	for (i = 0; i < header->modules && !error; i++)
		error = number_module(reading, i);
	for (i = 0; i < header->sites && !error; i++)
		error = number_site(reading, i);
	if (!error)
		error = add_site_rows(reading);
	if (!error)
		error = add_mapping_rows(reading);
	reading->report->lost += header->lost;
	free(reading->sites);
	free(reading->modules);
	return error;
}

static int read_process(struct sksm_site_report *report, size_t process)
{
	const struct sksm_entry *entry = &report->census->list[process];
	struct reading reading = { .report = report, .process = process };

	if (!entry->sites) {
		report->unknown++;
		return 0;
	}
	reading.view = *entry->sites;
	return take_in(&reading);
}

/* Sums over the processes that the census sums up. */
static void sum_up(struct sksm_site_report *report)
{
	const struct sksm_census *census = report->census;
	bool running_only = census->total_count < census->count;
	size_t i;
	int j;

	for (i = 0; i < report->by_site.count; i++) {
		const struct sksm_place_row *row = &report->by_site.list[i];
		struct sksm_place_site *site = &report->sites[row->site];

		if (running_only && census->list[row->process].life != SKSM_LIFE_RUNNING)
			continue;
		site->processes++;
		for (j = 0; j < SKSM_TALLIES; j++)
			site->tally[j] += row->tally[j];
	}
}

int sksm_sites_take(struct sksm_site_report *ret, const struct sksm_census *census)
{
	int error = 0;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	ret->census = census;
	ret->index = calloc(1, sizeof(struct index));
	if (!ret->index)
		error = -ENOMEM;
	for (i = 0; i < census->count && !error; i++)
		error = read_process(ret, i);
	if (error)
		sksm_sites_fini(ret);
	else
		sum_up(ret);
	return error;
}

static void free_known(struct known **table)
{
	struct known *known, *next;

	HASH_ITER(hh, *table, known, next) {
		HASH_DEL(*table, known);
		free(known);
	}
}

static void free_rows(struct sksm_place_rows *rows)
{
	size_t i;

	for (i = 0; i < rows->count; i++)
		free(rows->list[i].name);
	free(rows->list);
}

void sksm_sites_fini(struct sksm_site_report *report)
{
	struct index *index = report->index;
	size_t i, j;

	for (i = 0; i < report->site_count; i++) {
		struct sksm_place_site *site = &report->sites[i];

		for (j = 0; site->symbols && j < site->frame_count; j++)
			sksm_symbols_fini(&site->symbols[j]);
		free(site->symbols);
		free(site->frames);
		free(site->label);
	}
	for (i = 0; i < report->module_count; i++)
		sksm_symbol_module_fini(&report->modules[i]);
	free_rows(&report->by_site);
	free_rows(&report->by_mapping);
	if (index) {
		free_known(&index->sites);
		free_known(&index->modules);
	}
	free(index);
	free(report->sites);
	free(report->modules);
	memset(report, 0, sizeof(*report));
}
