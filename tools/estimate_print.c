/* SPDX-License-Identifier: MIT */
#include "estimate.h"

#include <json-c/json.h>
#include <stdio.h>

#include "json.h"
#include "text.h"

static const char *const kind_names[SKSM_ESTIMATE_KINDS] = { "zero", "many", "diverse" };

static void print_processes(const struct sksm_estimate *estimate)
{
	char text[5][SKSM_TEXT_SIZE_MAX];
	size_t i;

	printf("%7s %-15s %8s %5s %9s %5s %5s\n", "PID", "COMM", "RESIDENT", "CALM", "DUPLICATE",
	       "HUGE", "SAVED");
	for (i = 0; i < estimate->count; i++) {
		const struct sksm_estimate_process *process = &estimate->processes[i];
		const struct sksm_estimate_sizes *sizes = &process->sizes;

		if (process->gone)
			printf("%7d %-15s ended meanwhile\n", (int)process->pid, process->comm);
		else
			printf("%7d %-15s %8s %5s %9s %5s %5s\n", (int)process->pid, process->comm,
			       sksm_text_size(sizes->resident, text[0]),
			       sksm_text_size(sizes->calm, text[1]),
			       sksm_text_size(sizes->duplicate, text[2]),
			       sksm_text_size(sizes->huge_kept, text[3]),
			       sksm_text_size(sizes->saved, text[4]));
	}
}

static void print_kinds(const struct sksm_estimate *estimate)
{
	static const char *const texts[SKSM_ESTIMATE_KINDS] = {
		[SKSM_ESTIMATE_ZERO] = "pages of zeros",
		[SKSM_ESTIMATE_MANY_TIMES] = "many times",
		[SKSM_ESTIMATE_DIVERSE] = "a few times",
	};
	char size[SKSM_TEXT_SIZE_MAX];
	int i;

	for (i = 0; i < SKSM_ESTIMATE_KINDS; i++) {
		if (!estimate->contents_by_kind[i])
			continue;
		printf("    %5s by ", sksm_text_size(estimate->saved_by_kind[i], size));
		if (i != SKSM_ESTIMATE_ZERO)
			printf("%llu content%s ",
			       (unsigned long long)estimate->contents_by_kind[i],
			       estimate->contents_by_kind[i] == 1 ? " that is there" :
			       "s that are there");
		printf("%s\n", texts[i]);
	}
}

int sksm_estimate_print(const struct sksm_estimate *estimate)
{
	char saved[SKSM_TEXT_SIZE_MAX], size[SKSM_TEXT_SIZE_MAX];

	print_processes(estimate);
	printf("\nwould be freed: %s\n", sksm_text_size(estimate->total.saved, saved));
	print_kinds(estimate);
	if (estimate->merged_already)
		printf("merged already: %s\n", sksm_text_size(estimate->merged_already, size));
	printf("how soon:       in about %.0f s\n", estimate->seconds);
	printf("cost:           %llu digests, %llu merges; %.2f s of CPU in the programs, %.2f s "
	       "in ksmd; %s of memory\n", (unsigned long long)estimate->digests,
	       (unsigned long long)estimate->merges, (double)estimate->cpu_ns / 1e9,
	       (double)estimate->ksmd_cpu_ns / 1e9, sksm_text_size(estimate->own, size));
	printf("COW breaks:     %.1f a second\n", estimate->breaks_per_second);
	printf("%s\n", estimate->verdict);
	if (estimate->go && estimate->obstacle.reason)
		printf("but not here and now: %s%s\n", estimate->obstacle.reason,
		       estimate->obstacle.command ? "; run" : "");
	if (estimate->go && estimate->obstacle.command)
		printf("  %s\n", estimate->obstacle.command);
	return 0;
}

static void put(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

static void put_seconds(struct json_object *object, const char *key, double seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds);
	json_object_object_add(object, key, json_object_new_double_s(seconds, text));
}

static void put_sizes(struct json_object *object, const struct sksm_estimate_sizes *sizes)
{
	put(object, "resident", sizes->resident);
	put(object, "calm", sizes->calm);
	put(object, "duplicate", sizes->duplicate);
	put(object, "huge_kept", sizes->huge_kept);
	put(object, "saved", sizes->saved);
}

static struct json_object *processes_array(const struct sksm_estimate *estimate)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < estimate->count; i++) {
		const struct sksm_estimate_process *process = &estimate->processes[i];
		struct json_object *object = json_object_new_object();

		put(object, "pid", (uint64_t)process->pid);
		json_object_object_add(object, "comm", json_object_new_string(process->comm));
		json_object_object_add(object, "gone", json_object_new_boolean(process->gone));
		put_sizes(object, &process->sizes);
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *total_object(const struct sksm_estimate *estimate)
{
	struct json_object *object = json_object_new_object(), *kinds = json_object_new_object();
	int i;

	put_sizes(object, &estimate->total);
	put(object, "merged_already", estimate->merged_already);
	for (i = 0; i < SKSM_ESTIMATE_KINDS; i++) {
		struct json_object *kind = json_object_new_object();

		put(kind, "saved", estimate->saved_by_kind[i]);
		put(kind, "contents", estimate->contents_by_kind[i]);
		json_object_object_add(kinds, kind_names[i], kind);
	}
	json_object_object_add(object, "kinds", kinds);
	return object;
}

static struct json_object *cost_object(const struct sksm_estimate *estimate)
{
	struct json_object *object = json_object_new_object();

	put(object, "digests", estimate->digests);
	put(object, "merges", estimate->merges);
	put(object, "cpu_ns", estimate->cpu_ns);
	put(object, "ksmd_cpu_ns", estimate->ksmd_cpu_ns);
	put(object, "own", estimate->own);
	put_seconds(object, "seconds", estimate->seconds);
	put_seconds(object, "cow_breaks_per_second", estimate->breaks_per_second);
	return object;
}

int sksm_estimate_json(const struct sksm_estimate *estimate)
{
	struct json_object *report = json_object_new_object();

	json_object_object_add(report, "schema", json_object_new_string("sksm-estimate/1"));
	json_object_object_add(report, "version", json_object_new_string(SKSM_VERSION));
	put_seconds(report, "interval_seconds", estimate->interval_seconds);
	json_object_object_add(report, "processes", processes_array(estimate));
	json_object_object_add(report, "total", total_object(estimate));
	json_object_object_add(report, "cost", cost_object(estimate));
	json_object_object_add(report, "go", json_object_new_boolean(estimate->go));
	json_object_object_add(report, "verdict", json_object_new_string(estimate->verdict));
	json_object_object_add(report, "obstacle", sksm_json_text(estimate->obstacle.reason));
	json_object_object_add(report, "command", sksm_json_text(estimate->obstacle.command));
	return sksm_json_print(report);
}
