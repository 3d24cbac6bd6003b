/* SPDX-License-Identifier: MIT */
/* Writing the file of call sites. */
#include "site_file.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fmt.h"
#include "sys.h"
#include "tracker.h"

#define NAMES_EVERY_PASSES 16

/* A slot that is being made, and what of the tracker's has been given which number in it. */
struct writing {
	struct sksm_tracker *tracker;
	struct sksm_file_header *header;
	struct sksm_file_module *modules;
	struct sksm_file_site *sites;
	struct sksm_file_frame *frames;
	struct sksm_file_mapping *mappings;
	uint32_t *site_of;		/* of a stack, by its id */
	uint32_t module_of[SKSM_SITE_MODULES + 1];
};

/* The program's own path is not among what the loader knows, and others may be relative. */
static void fill_path(struct writing *w, struct sksm_file_module *to,
		      const struct sksm_site_module *from)
{
	static const char deleted[] = " (deleted)";
	struct sksm_fmt fmt = sksm_fmt_start(to->path, sizeof(to->path));

	if (from->path[0] == '/') {
		sksm_fmt_str(&fmt, from->path);
		return;
	}
	sksm_fmt_str(&fmt, sksm_map_name_at(&w->tracker->regions.map, from->base));
	/* Whether it is still there, and still the same, is seen when it is looked into. */
	if (fmt.length >= sizeof(deleted) &&
	    strcmp(to->path + fmt.length - (sizeof(deleted) - 1), deleted) == 0)
		to->path[fmt.length - (sizeof(deleted) - 1)] = '\0';
}

static uint32_t number_module(struct writing *w, unsigned int from)
{
	const struct sksm_site_module *module;
	struct sksm_file_module *to;

	if (from >= SKSM_SITE_MODULES)
		return UINT32_MAX;
	if (w->module_of[from])
		return w->module_of[from] - 1;
	module = &w->tracker->mappings.sites->modules[from];
	to = &w->modules[w->header->modules];
	to->build_id_bytes = module->build_id_bytes;
	memcpy(to->build_id, module->build_id, sizeof(to->build_id));
	fill_path(w, to, module);
	w->module_of[from] = ++w->header->modules;
	return w->header->modules - 1;
}

/* The number of a stack's site; where there is no room for more, that of unknown memory. */
static uint32_t number_stack(struct writing *w, uint64_t id)
{
	const struct sksm_site_stack *stack = sksm_site_get(w->tracker->mappings.sites, id);
	struct sksm_file_header *header = w->header;
	struct sksm_file_site *site;

	if (w->site_of[id])
		return w->site_of[id];
	if (header->sites == SKSM_FILE_SITES_MAX ||
	    header->frames + stack->count > SKSM_FILE_FRAMES_MAX)
		return SKSM_OWNER_UNKNOWN;
	site = &w->sites[header->sites];
	site->owner = SKSM_OWNER_SITE;
	site->first_frame = header->frames;
	site->frames = (uint32_t)stack->count;
	for (uint64_t i = 0; i < stack->count; i++) {
		struct sksm_file_frame *frame = &w->frames[header->frames++];

		frame->module = number_module(w, sksm_site_frame_module(stack->frame[i]));
		frame->address = sksm_site_frame_offset(stack->frame[i]);
	}
	w->site_of[id] = header->sites;
	return header->sites++;
}

/* Everything but the counts, which sites keep themselves for what is gone. */
static void add_tally(uint64_t *to, const uint64_t *from)
{
	for (unsigned int i = 0; i < SKSM_TALLY_WRITES; i++)
		to[i] += from[i];
}

static void add_mappings(struct writing *w)
{
	const struct sksm_mappings *mappings = &w->tracker->mappings;

	for (unsigned int i = 0; i < mappings->count; i++) {
		const struct sksm_mapping *from = &mappings->list[i];
		struct sksm_file_mapping *to = &w->mappings[w->header->mappings];
		uint32_t site = from->stack ? number_stack(w, from->stack) : from->owner;

		add_tally(w->sites[site].tally, from->tally);
		if (w->header->mappings == SKSM_FILE_MAPPINGS_MAX)
			continue;
		to->start = from->start;
		to->end = from->end;
		to->site = site;
		to->name = from->name;
		memcpy(to->tally, from->tally, sizeof(to->tally));
		w->header->mappings++;
	}
}

/* What was written and undone, also where nothing is mapped any more. */
static void add_counts(struct writing *w)
{
	const struct sksm_mappings *mappings = &w->tracker->mappings;
	struct sksm_sites *sites = mappings->sites;

	for (unsigned int i = 0; i < SKSM_OWNERS; i++) {
		w->sites[i].tally[SKSM_TALLY_WRITES] = sites->writes[i];
		w->sites[i].tally[SKSM_TALLY_BREAKS] = sites->breaks[i];
		w->sites[i].tally[SKSM_TALLY_LIVED_MS] = sites->lived_ms[i];
	}
	for (unsigned int i = 0; i < SKSM_SITE_SLOTS; i++) {
		uint32_t id = __atomic_load_n(&sites->slots[i], __ATOMIC_ACQUIRE), number;
		const struct sksm_site_stack *stack = sksm_site_get(sites, id);

		if (!id || (!stack->writes && !w->site_of[id]))
			continue;
		number = number_stack(w, id);
		w->sites[number].tally[SKSM_TALLY_WRITES] += stack->writes;
		w->sites[number].tally[SKSM_TALLY_BREAKS] += stack->breaks;
		w->sites[number].tally[SKSM_TALLY_LIVED_MS] += stack->lived_ms;
	}
}

static size_t room_bytes(void)
{
	return sizeof(struct sksm_file_header) +
	       SKSM_FILE_SITES_MAX * sizeof(struct sksm_file_site) +
	       SKSM_FILE_FRAMES_MAX * sizeof(struct sksm_file_frame) +
	       SKSM_FILE_MAPPINGS_MAX * sizeof(struct sksm_file_mapping) +
	       SKSM_SITE_MODULES * sizeof(struct sksm_file_module) +
	       SKSM_SITE_WORDS * sizeof(uint32_t);
}

/* Only what is filled is ever touched. */
static void lay_out(struct writing *w, void *room)
{
	w->header = room;
	w->sites = (struct sksm_file_site *)(w->header + 1);
	w->frames = (struct sksm_file_frame *)(w->sites + SKSM_FILE_SITES_MAX);
	w->mappings = (struct sksm_file_mapping *)(w->frames + SKSM_FILE_FRAMES_MAX);
	w->modules = (struct sksm_file_module *)(w->mappings + SKSM_FILE_MAPPINGS_MAX);
	w->site_of = (uint32_t *)(w->modules + SKSM_SITE_MODULES);
}

static void fill_slot(struct writing *w)
{
	const struct sksm_mappings *mappings = &w->tracker->mappings;
	const struct sksm_site_file *file = &w->tracker->site_file;
	struct sksm_file_header *header = w->header;

	header->magic = SKSM_SITE_FILE_MAGIC;
	header->version = SKSM_SITE_FILE_VERSION;
	header->pid = file->pid;
	header->start_ns = file->start_ns;
	header->lost = mappings->sites->lost;
	header->sites = SKSM_OWNERS;
	for (unsigned int i = 0; i < SKSM_OWNERS; i++)
		w->sites[i].owner = i;
	add_mappings(w);
	add_counts(w);
	header->name_bytes = mappings->names_used;
	header->bytes = (uint32_t)sksm_site_file_bytes(header);
}

static char *put(char *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
	return to + bytes;
}

/* All parts in a row at @out. */
static void pack_slot(const struct writing *w, char *out)
{
	const struct sksm_file_header *header = w->header;

	out = put(out, header, sizeof(*header));
	out = put(out, w->sites, header->sites * sizeof(*w->sites));
	out = put(out, w->frames, header->frames * sizeof(*w->frames));
	out = put(out, w->mappings, header->mappings * sizeof(*w->mappings));
	out = put(out, w->modules, header->modules * sizeof(*w->modules));
	put(out, w->tracker->mappings.names, header->name_bytes);
}

/* One write for the whole slot; where it is cut short, the other slot still holds. */
static void write_slot(struct sksm_tracker *tracker, struct sksm_file_header *out, size_t bytes)
{
	struct sksm_site_file *file = &tracker->site_file;
	uint64_t sum = XXH3_64bits(out, bytes);

	if (sum == file->last_sum)
		return;
	out->updated_ns = tracker->now_ns;
	out->checksum = XXH3_64bits(out, bytes);
	if (sksm_call4(SYS_pwrite64, file->fd, out, bytes,
		       file->slot * SKSM_SITE_FILE_SLOT) != (long)bytes)
		return;
	file->slot = !file->slot;
	file->last_sum = sum;
}

static bool has_file(struct sksm_site_file *file)
{
	if (++file->passes == 2 && file->open)
		file->fd = file->open();
	return file->fd >= 0;
}

/*
 * Making the file to find it equal costs as much as a short pass. Names that the program gives to
 * its memory are all that does not show here; they are seen some passes later.
 */
static bool has_changed(struct sksm_tracker *tracker)
{
	const struct sksm_counters *counters = &tracker->counters;
	const uint64_t seen[] = {
		tracker->blocks.changes, counters->tracked, counters->merged, counters->zero,
		counters->saved, counters->writes_seen, counters->cow_breaks,
		tracker->mappings.sites->sequence, tracker->audit.done_ns,
		tracker->site_file.passes / NAMES_EVERY_PASSES,
	};
	uint64_t sum = XXH3_64bits(seen, sizeof(seen));
	bool changed = sum != tracker->site_file.last_seen;

	tracker->site_file.last_seen = sum;
	return changed;
}

void sksm_site_file_write(struct sksm_tracker *tracker)
{
	struct writing w = { .tracker = tracker };
	struct sksm_arena *arena = &tracker->arena;
	void *room, *out;
	size_t bytes;

	if (!tracker->mappings.fresh || !has_file(&tracker->site_file) || !has_changed(tracker))
		return;
	sksm_tally_pass(tracker);
	room = sksm_arena_alloc(arena, room_bytes());
	if (!room)
		return;
	lay_out(&w, room);
	fill_slot(&w);
	bytes = sizeof(*w.header) + w.header->bytes;
	out = sksm_arena_alloc(arena, bytes);
	if (out) {
		pack_slot(&w, out);
		write_slot(tracker, out, bytes);
	}
	sksm_arena_free(arena, out, bytes);
	sksm_arena_free(arena, room, room_bytes());
}
