/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "json.h"

/* json-c takes over @value; out of memory shows as a NULL here and as null in the output. */
static void add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static struct json_object *text_or_null(const char *text)
{
	return text && *text ? json_object_new_string(text) : NULL;
}

static struct json_object *capability(bool available, const char *reason, const char *command)
{
	struct json_object *object = json_object_new_object();

	add(object, "available", json_object_new_boolean(available));
	add(object, "reason", text_or_null(available ? NULL : reason));
	add(object, "command", text_or_null(available ? NULL : command));
	return object;
}

static struct json_object *capabilities(const struct sksm_host *host)
{
	struct json_object *object = json_object_new_object();
	struct sksm_examination examination;
	size_t i;

	sksm_doctor_examine(&examination, host);
	for (i = 0; i < examination.count; i++) {
		const struct sksm_symptom *symptom = &examination.list[i];

		add(object, symptom->name,
		    capability(symptom->works, symptom->reason, symptom->command));
	}
	add(object, "merge", capability(examination.can_merge, examination.verdict.reason,
					examination.verdict.command));
	return object;
}

static struct json_object *ksm_state(const struct sksm_host *host)
{
	static const char *const counters[] = {
		"smart_scan", "max_page_sharing", "full_scans", "pages_shared", "pages_sharing",
		"pages_unshared", "pages_volatile", "pages_scanned", "ksm_zero_pages",
	};
	struct json_object *object;
	size_t i;
	int j;

	if (!host->has_ksm)
		return NULL;
	object = json_object_new_object();
	for (j = 0; j < SKSM_KSMD_SETTINGS; j++) {
		const char *value = host->settings.value[j];

		if (j == SKSM_KSMD_ADVISOR_MODE || !*value)
			add(object, sksm_ksmd_name(j), text_or_null(value));
		else
			add(object, sksm_ksmd_name(j),
			    json_object_new_uint64(strtoull(value, NULL, 10)));
	}
	for (i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		add(object, counters[i],
		    json_object_new_uint64(sksm_ksmd_counter(counters[i])));
	add(object, "ksmd_cpu_ns", json_object_new_uint64(host->ksmd_cpu_ns));
	add(object, "pacer_pid", host->pacer ? json_object_new_int64(host->pacer) : NULL);
	return object;
}

static struct json_object *host_object(const struct sksm_host *host)
{
	enum sksm_tracker_kind tracker = sksm_probe_tracker(&host->probe, &host->options);
	struct json_object *object = json_object_new_object();

	add(object, "kernel", json_object_new_string(host->kernel.release));
	add(object, "engine", json_object_new_string(sksm_engine_name(host->engine)));
	add(object, "tracker", json_object_new_string(sksm_tracker_name(tracker)));
	add(object, "capabilities", capabilities(host));
	add(object, "ksm", ksm_state(host));
	return object;
}

static struct json_object *cell_value(const struct sksm_column *column,
				      const struct sksm_entry *entry)
{
	char cell[SKSM_COLUMN_CELL_MAX];
	const char *text = sksm_column_cell(column, entry, true, cell);

	switch (column->kind) {
	case SKSM_COLUMN_NUMBER32:
		return json_object_new_uint64(strtoull(text, NULL, 10));
	case SKSM_COLUMN_SECONDS:
		return json_object_new_double_s(entry->seconds, text);
	case SKSM_COLUMN_REASON:
		return text_or_null(text);
	case SKSM_COLUMN_TREND:
		return text_or_null(sksm_trend_name(entry->trend.kind));
	case SKSM_COLUMN_WORD:
	case SKSM_COLUMN_TEXT:
		return json_object_new_string(text);
	default:
		return json_object_new_uint64(sksm_column_sum(column, &entry->record.counters));
	}
}

static struct json_object *left_seconds(const struct sksm_trend *trend)
{
	char text[32];

	if (trend->left_seconds < 0)
		return NULL;
	snprintf(text, sizeof(text), "%.0f", trend->left_seconds);
	return json_object_new_double_s(trend->left_seconds, text);
}

/* Of a process: its counters over its life, oldest first. */
static struct json_object *history_array(const struct sksm_record *record)
{
	struct json_object *array = json_object_new_array();
	uint32_t i;

	for (i = 0; i < record->history.count; i++) {
		const struct sksm_sample *sample = &record->history.list[i];
		struct json_object *one = json_object_new_object();
		char text[32];

		snprintf(text, sizeof(text), "%.3f",
			 (double)(sample->at_ns - record->start_ns) / 1e9);
		add(one, "seconds", json_object_new_double_s(strtod(text, NULL), text));
		add(one, "saved", json_object_new_uint64(sample->saved));
		add(one, "duplicate", json_object_new_uint64(sample->duplicate));
		add(one, "offered", json_object_new_uint64(sample->offered));
		add(one, "merged", json_object_new_uint64(sample->merged));
		add(one, "writes_seen", json_object_new_uint64(sample->writes_seen));
		add(one, "cow_breaks", json_object_new_uint64(sample->cow_breaks));
		add(one, "cpu_ns", json_object_new_uint64(sample->cpu_ns));
		json_object_array_add(array, one);
	}
	return array;
}

static struct json_object *process_object(const struct sksm_entry *entry)
{
	struct json_object *object = json_object_new_object();
	size_t i;

	for (i = 0; i < sksm_column_count; i++)
		add(object, sksm_columns[i].key, cell_value(&sksm_columns[i], entry));
	add(object, "ppid", json_object_new_uint64(entry->record.ppid));
	add(object, "started_ns", json_object_new_uint64(entry->record.start_realtime_ns));
	add(object, "measured", json_object_new_boolean(entry->measured));
	add(object, "trend_left_seconds", left_seconds(&entry->trend));
	add(object, "history", history_array(&entry->record));
	return object;
}

static struct json_object *unrecorded_array(const struct sksm_unrecorded *unrecorded)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < unrecorded->count; i++) {
		struct json_object *object = json_object_new_object();

		add(object, "pid", json_object_new_int(unrecorded->list[i].pid));
		add(object, "comm", json_object_new_string(unrecorded->list[i].comm));
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *total_object(const struct sksm_census *census,
					const struct sksm_host *host)
{
	struct json_object *object = json_object_new_object();
	size_t i;

	add(object, "of", json_object_new_string(census->total_of));
	add(object, "processes", json_object_new_uint64(census->total_count));
	for (i = 0; i < sksm_column_count; i++)
		if (sksm_column_is_summed(&sksm_columns[i]))
			add(object, sksm_columns[i].key,
			    json_object_new_uint64(sksm_column_sum(&sksm_columns[i],
								   &census->total)));
	add(object, "pacer_cpu_ns", json_object_new_uint64(host->stats.pacer_cpu_ns));
	add(object, "ksmd_cpu_ns", json_object_new_uint64(host->stats.ksmd_cpu_ns));
	return object;
}

struct json_object *sksm_report_object(const struct sksm_census *census,
				       const struct sksm_host *host,
				       struct sksm_site_report *sites, bool mappings)
{
	struct json_object *report = json_object_new_object();
	struct json_object *processes = json_object_new_array();
	size_t i;

	add(report, "schema", json_object_new_string("sksm-report/1"));
	add(report, "version", json_object_new_string(SKSM_VERSION));
	add(report, "host", host_object(host));
	for (i = 0; i < census->count; i++) {
		struct json_object *process = process_object(&census->list[i]);

		if (sites)
			sksm_sites_json(sites, i, mappings, process);
		json_object_array_add(processes, process);
	}
	add(report, "processes", processes);
	add(report, "unrecorded", unrecorded_array(&census->unrecorded));
	add(report, "total", total_object(census, host));
	return report;
}

int sksm_report_json(const struct sksm_census *census, const struct sksm_host *host,
		     struct sksm_site_report *sites, bool mappings)
{
	struct json_object *report = sksm_report_object(census, host, sites, mappings);

	return sksm_json_print(report);
}
