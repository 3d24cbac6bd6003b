/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "text.h"

static void add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static struct json_object *text_or_null(const char *text)
{
	return text && *text ? json_object_new_string(text) : NULL;
}

static void add_tally(struct json_object *object, const uint64_t *tally)
{
	int i;

	for (i = 0; i < SKSM_TALLIES; i++)
		add(object, sksm_sites_tally_key(i), json_object_new_uint64(tally[i]));
}

static struct json_object *build_id(const struct sksm_symbol_module *module)
{
	char text[2 * SKSM_BUILD_ID_MAX + 1] = "";
	unsigned int i;

	for (i = 0; i < module->build_id_bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", module->build_id[i]);
	return text_or_null(text);
}

static struct json_object *functions(const struct sksm_symbols *symbols)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < symbols->count; i++) {
		const struct sksm_symbol *symbol = &symbols->list[i];
		struct json_object *object;

		if (!symbol->function)
			continue;
		object = json_object_new_object();
		add(object, "function", json_object_new_string(symbol->function));
		add(object, "file", text_or_null(symbol->file));
		add(object, "line", symbol->line ? json_object_new_uint64(symbol->line) : NULL);
		add(object, "inlined", json_object_new_boolean(symbol->inlined));
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *frames(struct sksm_site_report *report, size_t number)
{
	const struct sksm_symbols *symbols = sksm_sites_symbols(report, number);
	const struct sksm_place_site *site = &report->sites[number];
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; symbols && i < site->frame_count; i++) {
		const struct sksm_place_frame *frame = &site->frames[i];
		struct json_object *object = json_object_new_object();
		bool known = frame->module < report->module_count;
		const struct sksm_symbol_module *module =
			known ? &report->modules[frame->module] : NULL;
		char place[300] = "?", path[SKSM_SITE_PATH_MAX];

		if (known)
			sksm_symbol_place(module, frame->address, place, sizeof(place));
		sksm_text_clean(path, sizeof(path), known ? module->path : "");
		add(object, "place", json_object_new_string(place));
		add(object, "module", text_or_null(path));
		add(object, "build_id", known ? build_id(module) : NULL);
		add(object, "offset", json_object_new_uint64(frame->address));
		add(object, "functions", functions(&symbols[i]));
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *row_object(struct sksm_site_report *report,
				      const struct sksm_place_row *row)
{
	const struct sksm_place_site *site = &report->sites[row->site];
	struct json_object *object = json_object_new_object();

	add(object, "kind", json_object_new_string(sksm_sites_owner_name(site->owner)));
	add(object, "label", json_object_new_string(sksm_sites_label(report, row->site)));
	return object;
}

static struct json_object *mapping_object(struct sksm_site_report *report,
					  const struct sksm_place_row *row)
{
	struct json_object *object = row_object(report, row);
	char text[300];

	snprintf(text, sizeof(text), "0x%" PRIx64, row->start);
	add(object, "start", json_object_new_string(text));
	snprintf(text, sizeof(text), "0x%" PRIx64, row->end);
	add(object, "end", json_object_new_string(text));
	sksm_text_clean(text, sizeof(text), row->name ? row->name : "");
	add(object, "name", text_or_null(text));
	add_tally(object, row->tally);
	return object;
}

void sksm_sites_json(struct sksm_site_report *report, size_t process, bool mappings,
		     struct json_object *object)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < report->by_site.count; i++) {
		const struct sksm_place_row *row = &report->by_site.list[i];
		struct json_object *site;

		if (row->process != process)
			continue;
		site = row_object(report, row);
		add(site, "frames", frames(report, row->site));
		add_tally(site, row->tally);
		json_object_array_add(array, site);
	}
	add(object, "sites", array);
	if (!mappings)
		return;
	array = json_object_new_array();
	for (i = 0; i < report->by_mapping.count; i++)
		if (report->by_mapping.list[i].process == process)
			json_object_array_add(array,
					      mapping_object(report, &report->by_mapping.list[i]));
	add(object, "mappings", array);
}
