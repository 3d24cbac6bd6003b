/* SPDX-License-Identifier: MIT */
#include "census.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "sites_read.h"
#include "text.h"

#include "tracker/sys.h"

struct taking {
	struct sksm_census census;
	const struct sksm_census_query *query;
	size_t room;
	int error;
};

static void fill_entry(struct sksm_entry *entry, const struct sksm_place_record *found)
{
	memset(entry, 0, sizeof(*entry));
	entry->record = *found->record;
	sksm_text_clean(entry->comm, sizeof(entry->comm), found->record->comm);
	sksm_text_clean(entry->command, sizeof(entry->command), found->record->command);
	sksm_text_clean(entry->dormant, sizeof(entry->dormant), found->record->dormant);
	snprintf(entry->dir, sizeof(entry->dir), "%s", found->dir);
	snprintf(entry->domain, sizeof(entry->domain), "%s", found->domain);
	snprintf(entry->name, sizeof(entry->name), "%s", found->name);
	entry->owner = found->owner;
	entry->dev = found->dev;
	entry->inode = found->inode;
	entry->mapped = found->mapped;
	entry->engine = sksm_engine_name(found->record->engine);
	entry->tracker = sksm_tracker_name(found->record->tracker);
	entry->mode = sksm_mode_name(found->record->mode);
	entry->trend = sksm_trend_judge(found->record);
}

static void add_entry(const struct sksm_place_record *found, void *arg)
{
	struct taking *taking = arg;
	struct sksm_census *census = &taking->census;

	if (census->count == taking->room) {
		size_t room = taking->room ? taking->room * 2 : 64;
		void *list = reallocarray(census->list, room, sizeof(*census->list));

		if (!list) {
			taking->error = -ENOMEM;
			return;
		}
		census->list = list;
		taking->room = room;
	}
	fill_entry(&census->list[census->count++], found);
}

/* True where @domain is in the ", "-separated @list. */
static bool is_listed(const char *list, const char *domain)
{
	size_t length = strlen(domain);

	while (*list) {
		size_t item = strcspn(list, ",");

		if (item == length && !strncmp(list, domain, length))
			return true;
		list += item;
		list += strspn(list, ", ");
	}
	return false;
}

static void note_domain(const char *dir, const char *domain, void *arg)
{
	struct taking *taking = arg;
	char *others = taking->census.other_domains;
	size_t room = sizeof(taking->census.other_domains), used = strlen(others);

	if (!taking->query->domain || !strcmp(domain, taking->query->domain) ||
	    used + strlen(domain) + 3 > room || is_listed(others, domain))
		return;
	snprintf(others + used, room - used, "%s%s", used ? ", " : "", domain);
}

static int compare_entries(const void *a, const void *b)
{
	const struct sksm_entry *left = a, *right = b;

	if (left->record.pid != right->record.pid)
		return left->record.pid < right->record.pid ? -1 : 1;
	if (left->owner != right->owner)
		return left->owner < right->owner ? -1 : 1;
	return left->record.start_ns < right->record.start_ns ? -1 :
	       left->record.start_ns > right->record.start_ns;
}

static double span_seconds(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

/* Say what became of each; the entries are sorted. */
static void judge(struct sksm_census *census)
{
	uint64_t now_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	struct sksm_nested nested = { 0 };
	size_t i;

	sksm_nested_read(&nested);
	for (i = 0; i < census->count; i++) {
		struct sksm_entry *entry = &census->list[i];
		const struct sksm_record *record = &entry->record;
		const struct sksm_place_record found = {
			.record = record, .dir = entry->dir, .domain = entry->domain,
			.name = entry->name, .owner = entry->owner, .dev = entry->dev,
			.inode = entry->inode, .mapped = entry->mapped,
		};
		/* Another user's says nothing about this one. */
		bool superseded = i + 1 < census->count && record->pid == entry[1].record.pid &&
				  record->ppid == entry[1].record.ppid &&
				  entry->owner == entry[1].owner;

		entry->life = sksm_process_life(&found, superseded, &nested, &entry->pid);
		entry->state = sksm_life_name(entry->life);
		entry->seconds = span_seconds(record->start_ns, entry->life == SKSM_LIFE_RUNNING ?
					      now_ns : record->updated_ns);
	}
	sksm_nested_fini(&nested);
}

/* Each mapping that is known of is counted by itself. */
static void prepare_parts(struct sksm_entry *entry, struct sksm_frames_process *process)
{
	const struct sksm_file_view *view = entry->sites;
	uint32_t i;

	if (!view)
		return;
	entry->parts = calloc(view->header.mappings + 1, sizeof(*entry->parts));
	if (!entry->parts)
		return;
	for (i = 0; i < view->header.mappings; i++) {
		entry->parts[i].start = view->mappings[i].start;
		entry->parts[i].end = view->mappings[i].end;
	}
	process->parts = entry->parts;
	process->part_count = view->header.mappings + 1;
}

/* Replace the processes' own numbers by the kernel's, for the living ones of one domain. */
static void measure_domain(struct sksm_census *census, const char *domain)
{
	struct sksm_frames_process *list = calloc(census->count, sizeof(*list));
	struct sksm_entry **entries = calloc(census->count, sizeof(*entries));
	size_t count = 0, i;

	for (i = 0; i < census->count && list && entries; i++) {
		if (census->list[i].life != SKSM_LIFE_RUNNING ||
		    strcmp(census->list[i].domain, domain))
			continue;
		list[count].pid = census->list[i].pid;
		prepare_parts(&census->list[i], &list[count]);
		entries[count++] = &census->list[i];
	}
	if (count && !sksm_frames_count(list, count)) {
		for (i = 0; i < count; i++) {
			struct sksm_counters *counters = &entries[i]->record.counters;

			if (!list[i].known)
				continue;
			counters->merged = list[i].merged_bytes;
			counters->debt = list[i].merged_bytes;
			counters->zero = list[i].zero_bytes;
			counters->saved = list[i].saved_bytes;
			entries[i]->measured = true;
		}
	}
	free(list);
	free(entries);
}

/* Domain by domain: a frame counts once within each. */
static void measure(struct sksm_census *census)
{
	size_t i, before;

	for (i = 0; i < census->count; i++) {
		const struct sksm_entry *entry = &census->list[i];

		for (before = 0; before < i; before++)
			if (census->list[before].life == SKSM_LIFE_RUNNING &&
			    !strcmp(census->list[before].domain, entry->domain))
				break;
		if (entry->life == SKSM_LIFE_RUNNING && before == i)
			measure_domain(census, entry->domain);
	}
}

static bool is_among(const struct sksm_entry *entry, const struct sksm_census_query *query)
{
	size_t i;

	for (i = 0; i < query->pid_count; i++)
		if ((pid_t)entry->record.pid == query->pids[i])
			return true;
	return !query->pid_count;
}

static bool is_wanted(const struct sksm_entry *entry, const struct sksm_census_query *query)
{
	bool running = entry->life == SKSM_LIFE_RUNNING;

	return is_among(entry, query) &&
	       (!query->run_id || entry->record.run_id == query->run_id) &&
	       (query->scope == SKSM_CENSUS_ALL || running == (query->scope == SKSM_CENSUS_LIVE));
}

static void free_entry(struct sksm_entry *entry)
{
	free(entry->sites);
	free(entry->parts);
}

static void keep_wanted(struct sksm_census *census, const struct sksm_census_query *query)
{
	size_t kept = 0, i;

	for (i = 0; i < census->count; i++) {
		if (!is_wanted(&census->list[i], query)) {
			free_entry(&census->list[i]);
			continue;
		}
		if (kept != i)
			census->list[kept] = census->list[i];
		census->living += census->list[kept++].life == SKSM_LIFE_RUNNING;
	}
	census->count = kept;
}

/* struct sksm_counters is an array of uint64_t by its format; an absurd number must not wrap. */
static void add_counters(struct sksm_counters *total, const struct sksm_counters *counters)
{
	uint64_t *sums = (uint64_t *)total;
	const uint64_t *values = (const uint64_t *)counters;
	size_t i;

	for (i = 0; i < sizeof(*total) / sizeof(*sums); i++)
		if (__builtin_add_overflow(sums[i], values[i], &sums[i]))
			sums[i] = UINT64_MAX;
}

static void sum_up(struct sksm_census *census, enum sksm_census_scope scope)
{
	bool running_only = census->living > 0 || scope == SKSM_CENSUS_LIVE;
	size_t i;

	for (i = 0; i < census->count; i++) {
		if (running_only && census->list[i].life != SKSM_LIFE_RUNNING)
			continue;
		add_counters(&census->total, &census->list[i].record.counters);
		census->total_count++;
	}
	census->total_of = running_only ? "running" : "finished";
}

static bool is_running(const struct sksm_census *census, pid_t pid)
{
	for (size_t i = 0; i < census->count; i++)
		if (census->list[i].pid == pid && census->list[i].life == SKSM_LIFE_RUNNING)
			return true;
	return false;
}

/* Records that are not mapped do not show in the maps that were searched for them. */
static void leave_out_recorded(struct sksm_census *census)
{
	struct sksm_unrecorded *unrecorded = &census->unrecorded;
	size_t kept = 0, i;

	for (i = 0; i < unrecorded->count; i++)
		if (!is_running(census, unrecorded->list[i].pid))
			unrecorded->list[kept++] = unrecorded->list[i];
	unrecorded->count = kept;
}

int sksm_census_take(struct sksm_census *ret, const struct sksm_places *places,
		     const struct sksm_census_query *query)
{
	struct taking taking = { .query = query };
	const struct sksm_walk walk = {
		.domain = query->domain,
		.clean = query->clean,
		.found = add_entry,
		.domain_seen = note_domain,
		.arg = &taking,
	};
	size_t i;

	taking.census.refused = !sksm_places_walk(places, &walk);
	if (taking.error) {
		sksm_census_fini(&taking.census);
		return taking.error;
	}
	if (taking.census.count)
		qsort(taking.census.list, taking.census.count, sizeof(*taking.census.list),
		      compare_entries);
	judge(&taking.census);
	for (i = 0; i < taking.census.count && query->sites; i++)
		taking.census.list[i].sites = sksm_sites_read(&taking.census.list[i]);
	if (query->scope != SKSM_CENSUS_FINISHED)
		measure(&taking.census);
	if (query->unrecorded)
		taking.error = sksm_unrecorded_find(&taking.census.unrecorded, query->domain);
	leave_out_recorded(&taking.census);
	keep_wanted(&taking.census, query);
	sum_up(&taking.census, query->scope);
	if (taking.error)
		sksm_census_fini(&taking.census);
	*ret = taking.census;
	return taking.error;
}

int sksm_census_look(struct sksm_census *ret, const struct sksm_options *options,
		     const struct sksm_census_query *query)
{
	struct sksm_places places;
	int error;

	/* Who names a directory means that one; a run may have left records under several users. */
	error = sksm_places_find(&places, options->dir, options->dir_given && !query->run_id);
	if (error)
		return error;
	error = sksm_census_take(ret, &places, query);
	sksm_places_fini(&places);
	return error;
}

void sksm_census_fini(struct sksm_census *census)
{
	size_t i;

	for (i = 0; i < census->count; i++)
		free_entry(&census->list[i]);
	free(census->list);
	sksm_unrecorded_fini(&census->unrecorded);
	memset(census, 0, sizeof(*census));
}

/*
 * Remove one file, reached by the same careful steps as for reading; the inode tells that it is
 * still the one that was read.
 */
static bool prune_entry(const struct sksm_entry *entry)
{
	char path[2 * SKSM_PATH_MAX];
	struct stat status;
	bool removed;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/records", entry->dir, entry->domain);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		warn("%s", path);
		return false;
	}
	removed = !fstat(fd, &status) && status.st_uid == entry->owner &&
		  !fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW) &&
		  S_ISREG(status.st_mode) && status.st_uid == entry->owner &&
		  status.st_ino == entry->inode && !unlinkat(fd, entry->name, 0);
	if (!removed)
		warn("%s/%s", path, entry->name);
	else
		sksm_sites_unlink(fd, entry->name);
	close(fd);
	return removed;
}

size_t sksm_census_prune(const struct sksm_census *census)
{
	size_t removed = 0, i;

	for (i = 0; i < census->count; i++)
		if (census->list[i].life != SKSM_LIFE_RUNNING)
			removed += prune_entry(&census->list[i]);
	return removed;
}
