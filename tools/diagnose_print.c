/* SPDX-License-Identifier: MIT */
/* The diagnosis, for people and as JSON. */
#include "diagnose.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose_sites.h"
#include "json.h"
#include "near.h"
#include "text.h"

#include "tracker/abi.h"

/* 4 GiB, of which 800 MiB are needed. */
#define MAX_PAGES (1u << 20)
#define TOP_PLACES 8
#define TOP_WORDS 8

struct look {
	struct sksm_near near;
	struct sksm_site_report *sites;
	pid_t *pids;
	size_t *entries;	/* in the census */
	int *errors;
	size_t count;
};

static void drop_look(struct look *look)
{
	sksm_near_fini(&look->near);
	free(look->pids);
	free(look->entries);
	free(look->errors);
}

static const char *site_of(void *arg, size_t process, uint64_t address, const char *name)
{
	const struct look *look = arg;

	return sksm_diagnose_site_of(look->sites, look->entries[process], address, name);
}

static int look_at_pages(const struct sksm_census *census, struct sksm_site_report *sites,
			 struct look *ret)
{
	struct look look = {
		.sites = sites,
		.pids = calloc(census->count + 1, sizeof(*look.pids)),
		.entries = calloc(census->count + 1, sizeof(*look.entries)),
		.errors = calloc(census->count + 1, sizeof(*look.errors)),
	};
	struct sksm_near_query query = {
		.pids = look.pids, .max_pages = MAX_PAGES, .site_of = site_of, .arg = &look,
	};
	int error = look.pids && look.entries && look.errors ? 0 : -ENOMEM;

	for (size_t i = 0; i < census->count && !error; i++) {
		if (census->list[i].life != SKSM_LIFE_RUNNING)
			continue;
		look.entries[look.count] = i;
		look.pids[look.count++] = census->list[i].pid;
	}
	query.count = look.count;
	if (!error)
		error = sksm_near_find(&look.near, &query, look.errors);
	if (error)
		drop_look(&look);
	else
		*ret = look;
	return error;
}

static uint64_t bytes_of(uint64_t pages)
{
	return pages * SKSM_PAGE_BYTES;
}

static const char *size_of(uint64_t pages, char ret[SKSM_TEXT_SIZE_MAX])
{
	return sksm_text_size(bytes_of(pages), ret);
}

/* The @count greatest of @words, as numbers of words; those of 0 end it. */
static size_t top_words(const uint64_t words[SKSM_NEAR_WORDS], unsigned int *ret, size_t count)
{
	bool taken[SKSM_NEAR_WORDS] = { false };
	size_t found;

	for (found = 0; found < count; found++) {
		unsigned int best = 0;

		for (unsigned int word = 1; word < SKSM_NEAR_WORDS; word++)
			if (!taken[word] && (taken[best] || words[word] > words[best]))
				best = word;
		if (!words[best] || taken[best])
			break;
		taken[best] = true;
		ret[found] = best;
	}
	return found;
}

static void print_process(const struct sksm_entry *entry, const struct sksm_host *host)
{
	struct sksm_finding findings[SKSM_DIAGNOSE_FINDINGS_MAX];
	char size[SKSM_TEXT_SIZE_MAX];
	size_t count, i;

	printf("%s (%" PRIu32 "), %s, %s in memory:\n", entry->comm, entry->record.pid,
	       entry->state, sksm_text_size(entry->record.counters.resident, size));
	if (*entry->dormant)
		printf("  nothing is tracked: %s\n", entry->dormant);
	sksm_diagnose_process(entry, host, findings, &count);
	for (i = 0; i < count; i++) {
		printf("  %7s %s\n", sksm_text_size(findings[i].bytes, size), findings[i].text);
		if (findings[i].remedy)
			printf("          what helps: %s\n", findings[i].remedy);
	}
	if (!count && !*entry->dormant)
		printf("  nothing of it was large enough to be tracked, or it ended before a "
		       "look\n");
}

static void print_contents(const struct sksm_near *near)
{
	char a[SKSM_TEXT_SIZE_MAX], b[SKSM_TEXT_SIZE_MAX], c[SKSM_TEXT_SIZE_MAX];

	printf("\nContents of %s that may be merged:\n", size_of(near->pages, a));
	printf("  %7s are zeros\n", size_of(near->zero_pages, a));
	printf("  %7s hold %" PRIu64 " contents that are there %d times or more (%s would do)\n",
	       size_of(near->many_pages, a), near->many_contents, SKSM_NEAR_MANY,
	       size_of(near->many_contents, b));
	printf("  %7s hold %" PRIu64 " contents that are there a few times (%s would do)\n",
	       size_of(near->few_pages, a), near->few_contents, size_of(near->few_contents, c));
	for (size_t i = 0; i < SKSM_NEAR_TOP && near->top[i].copies; i++)
		printf("          %" PRIu64 " copies, one of them in %s\n", near->top[i].copies,
		       near->top[i].label);
	if (near->left_out)
		printf("  %7s were too much to look at\n", size_of(near->left_out, a));
}

static void print_place(const struct sksm_near_place *place)
{
	unsigned int words[TOP_WORDS], cause = 0;
	char size[SKSM_TEXT_SIZE_MAX];
	size_t count;

	for (unsigned int i = 1; i < SKSM_NEAR_CAUSES; i++)
		if (place->by_cause[i] > place->by_cause[cause])
			cause = i;
	printf("  %7s in %s, mostly for %s\n", size_of(place->pages, size), place->label,
	       sksm_near_cause_text((enum sksm_near_cause)cause));
	count = top_words(place->words, words, TOP_WORDS);
	printf("          at byte");
	for (size_t i = 0; i < count; i++)
		printf("%s %u (%" PRIu64 " %%)", i ? "," : "", words[i] * 8,
		       place->words[words[i]] * 100 / place->pages);
	printf("\n");
}

static void print_near(const struct sksm_near *near)
{
	char size[SKSM_TEXT_SIZE_MAX];

	printf("\nNear misses: %s would have a twin but for pointers or a few bytes\n",
	       size_of(near->near_pages, size));
	for (unsigned int i = 0; i < SKSM_NEAR_CAUSES; i++)
		if (near->by_cause[i])
			printf("  %7s for %s\n", size_of(near->by_cause[i], size),
			       sksm_near_cause_text((enum sksm_near_cause)i));
	for (size_t i = 0; i < near->place_count && i < TOP_PLACES; i++)
		print_place(&near->places[i]);
}

static void print_text(const struct sksm_census *census, const struct sksm_host *host,
		       const struct look *look)
{
	for (size_t i = 0; i < census->count; i++)
		print_process(&census->list[i], host);
	for (size_t i = 0; i < look->count; i++)
		if (look->errors[i])
			printf("the pages of %d cannot be read: %s\n", (int)look->pids[i],
			       strerror(-look->errors[i]));
	sksm_diagnose_print_undone(look->sites);
	if (!look->near.pages)
		return;
	print_contents(&look->near);
	print_near(&look->near);
}

static void put(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

static struct json_object *process_json(const struct sksm_entry *entry,
					const struct sksm_host *host)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	struct sksm_finding findings[SKSM_DIAGNOSE_FINDINGS_MAX];
	size_t count;

	put(object, "pid", entry->record.pid);
	json_object_object_add(object, "comm", json_object_new_string(entry->comm));
	json_object_object_add(object, "state", json_object_new_string(entry->state));
	json_object_object_add(object, "dormant", sksm_json_text(*entry->dormant ? entry->dormant :
							       NULL));
	put(object, "resident", entry->record.counters.resident);
	sksm_diagnose_process(entry, host, findings, &count);
	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "cause", json_object_new_string(findings[i].cause));
		put(one, "bytes", findings[i].bytes);
		json_object_object_add(one, "text", json_object_new_string(findings[i].text));
		json_object_object_add(one, "remedy", sksm_json_text(findings[i].remedy));
		json_object_array_add(list, one);
	}
	json_object_object_add(object, "findings", list);
	return object;
}

static struct json_object *contents_json(const struct sksm_near *near)
{
	struct json_object *object = json_object_new_object(), *top = json_object_new_array();

	put(object, "looked_at", bytes_of(near->pages - near->left_out));
	put(object, "left_out", bytes_of(near->left_out));
	put(object, "zero", bytes_of(near->zero_pages));
	put(object, "many", bytes_of(near->many_pages));
	put(object, "many_contents", near->many_contents);
	put(object, "few", bytes_of(near->few_pages));
	put(object, "few_contents", near->few_contents);
	for (size_t i = 0; i < SKSM_NEAR_TOP && near->top[i].copies; i++) {
		struct json_object *one = json_object_new_object();

		put(one, "copies", near->top[i].copies);
		json_object_object_add(one, "where", json_object_new_string(near->top[i].label));
		json_object_array_add(top, one);
	}
	json_object_object_add(object, "top", top);
	return object;
}

static struct json_object *near_numbers(uint64_t pages, const uint64_t by_cause[SKSM_NEAR_CAUSES],
					const uint64_t words[SKSM_NEAR_WORDS])
{
	struct json_object *object = json_object_new_object(), *causes = json_object_new_object();
	struct json_object *offsets = json_object_new_array();
	unsigned int top[SKSM_NEAR_WORDS];
	size_t count = top_words(words, top, SKSM_NEAR_WORDS);

	put(object, "bytes", bytes_of(pages));
	for (unsigned int i = 0; i < SKSM_NEAR_CAUSES; i++)
		put(causes, sksm_near_cause_name((enum sksm_near_cause)i), bytes_of(by_cause[i]));
	json_object_object_add(object, "causes", causes);
	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_new_object();

		put(one, "offset", top[i] * 8);
		put(one, "pages", words[top[i]]);
		json_object_array_add(offsets, one);
	}
	json_object_object_add(object, "offsets", offsets);
	return object;
}

static struct json_object *near_json(const struct sksm_near *near)
{
	struct json_object *object = near_numbers(near->near_pages, near->by_cause, near->words);
	struct json_object *places = json_object_new_array();

	for (size_t i = 0; i < near->place_count; i++) {
		const struct sksm_near_place *place = &near->places[i];
		struct json_object *one = near_numbers(place->pages, place->by_cause,
						       place->words);

		json_object_object_add(one, "where", json_object_new_string(place->label));
		json_object_array_add(places, one);
	}
	json_object_object_add(object, "places", places);
	return object;
}

static struct json_object *diagnosis_json(const struct sksm_census *census,
					  const struct sksm_host *host, const struct look *look)
{
	struct json_object *report = json_object_new_object();
	struct json_object *processes = json_object_new_array(), *unread = json_object_new_array();

	json_object_object_add(report, "schema", json_object_new_string("sksm-diagnosis/1"));
	for (size_t i = 0; i < census->count; i++)
		json_object_array_add(processes, process_json(&census->list[i], host));
	json_object_object_add(report, "processes", processes);
	for (size_t i = 0; i < look->count; i++)
		if (look->errors[i])
			json_object_array_add(unread, json_object_new_int(look->pids[i]));
	json_object_object_add(report, "unread", unread);
	json_object_object_add(report, "undone", sksm_diagnose_undone_object(look->sites));
	json_object_object_add(report, "contents", contents_json(&look->near));
	json_object_object_add(report, "near", near_json(&look->near));
	return report;
}

int sksm_diagnosis_object(const struct sksm_census *census, const struct sksm_host *host,
			  struct sksm_site_report *sites, struct json_object **ret)
{
	struct look look;
	int error = look_at_pages(census, sites, &look);

	if (error)
		return error;
	*ret = diagnosis_json(census, host, &look);
	drop_look(&look);
	return 0;
}

static int print_json(const struct sksm_census *census, const struct sksm_host *host,
		      struct sksm_site_report *sites)
{
	struct json_object *report;
	int error = sksm_diagnosis_object(census, host, sites, &report);

	if (error)
		return error;
	return sksm_json_print(report);
}

int sksm_diagnose(const struct sksm_census *census, const struct sksm_host *host, bool json)
{
	struct sksm_site_report sites;
	struct look look;
	int error = sksm_sites_take(&sites, census);

	if (error)
		return error;
	if (json) {
		error = print_json(census, host, &sites);
	} else {
		error = look_at_pages(census, &sites, &look);
		if (!error) {
			print_text(census, host, &look);
			drop_look(&look);
		}
	}
	sksm_sites_fini(&sites);
	return error;
}
