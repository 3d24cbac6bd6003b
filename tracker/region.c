/* SPDX-License-Identifier: MIT */
#include "region.h"

#include <errno.h>
#include <string.h>

#include "abi.h"
#include "arena.h"
#include "scan.h"
#include "sys.h"

/* Refused ranges are tried again after so many refreshes. */
#define RETRY_REFRESHES 64
/* An unreadable mapping of at most this size below another one is the guard of a stack. */
#define GUARD_MAX_BYTES (16u << 10)

bool sksm_ranges_append(struct sksm_ranges *ranges, struct sksm_arena *arena, uint64_t start,
			uint64_t end)
{
	struct sksm_range *list;
	unsigned int capacity;

	if (ranges->count && ranges->list[ranges->count - 1].end == start) {
		ranges->list[ranges->count - 1].end = end;
		return true;
	}
	if (ranges->count == ranges->capacity) {
		capacity = ranges->capacity ? ranges->capacity * 2 : 16;
		list = sksm_arena_alloc(arena, capacity * sizeof(*list));
		if (!list)
			return false;
		if (ranges->count)
			memcpy(list, ranges->list, ranges->count * sizeof(*list));
		sksm_arena_free(arena, ranges->list, ranges->capacity * sizeof(*list));
		ranges->list = list;
		ranges->capacity = capacity;
	}
	ranges->list[ranges->count++] = (struct sksm_range){ start, end };
	return true;
}

void sksm_ranges_free(struct sksm_ranges *ranges, struct sksm_arena *arena)
{
	sksm_arena_free(arena, ranges->list, ranges->capacity * sizeof(*ranges->list));
	memset(ranges, 0, sizeof(*ranges));
}

/* The first range that ends behind @address, or ranges->count. */
static unsigned int find_behind(const struct sksm_ranges *ranges, uint64_t address)
{
	unsigned int low = 0, high = ranges->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (ranges->list[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool sksm_ranges_clip(const struct sksm_ranges *ranges, uint64_t start, uint64_t end,
		      struct sksm_range *ret)
{
	unsigned int i = find_behind(ranges, start);

	if (start >= end || i == ranges->count || ranges->list[i].start >= end)
		return false;
	ret->start = ranges->list[i].start > start ? ranges->list[i].start : start;
	ret->end = ranges->list[i].end < end ? ranges->list[i].end : end;
	return true;
}

bool sksm_ranges_overlap(const struct sksm_ranges *ranges, uint64_t start, uint64_t end)
{
	unsigned int i = find_behind(ranges, start);

	return i < ranges->count && ranges->list[i].start < end;
}

bool sksm_regions_backed(const struct sksm_regions *regions, uint64_t start, uint64_t end)
{
	return sksm_ranges_overlap(&regions->backed, start, end);
}

int sksm_regions_open(struct sksm_regions *regions, const struct sksm_sys *sys,
		      struct sksm_arena *arena, const struct sksm_options *options, bool text)
{
	memset(regions, 0, sizeof(*regions));
	regions->sys = sys;
	regions->arena = arena;
	regions->options = options;
	regions->max_bytes = UINT64_MAX;
	return sksm_map_open(&regions->map, sys, text);
}

void sksm_regions_close(struct sksm_regions *regions)
{
	sksm_map_close(&regions->map);
	sksm_ranges_free(&regions->watched, regions->arena);
	sksm_ranges_free(&regions->backed, regions->arena);
	sksm_ranges_free(&regions->refused, regions->arena);
	sksm_ranges_free(&regions->shared, regions->arena);
}

static unsigned int track_bit(enum sksm_vma_kind kind)
{
	switch (kind) {
	case SKSM_VMA_ANON:
		return SKSM_TRACK_ANON;
	case SKSM_VMA_MEMFD:
		return SKSM_TRACK_MEMFD;
	case SKSM_VMA_FILE:
		return SKSM_TRACK_FILE;
	default:
		return 0;
	}
}

bool sksm_region_eligible(const struct sksm_options *options, const struct sksm_vma *vma,
			  const struct sksm_vma *before)
{
	if (!vma->readable || !(options->track & track_bit(vma->kind)))
		return false;
	/* Copied pages of a private file mapping come to be only where it is writable. */
	if (vma->kind == SKSM_VMA_FILE && !vma->writable)
		return false;
	/* A thread's stack: guard page below. Nothing else in the map tells it. */
	if (vma->kind == SKSM_VMA_ANON && before->end == vma->start && !before->readable &&
	    before->end - before->start <= GUARD_MAX_BYTES && before->end != before->start)
		return false;
	return true;
}

/* The lists of a refresh under way, and the run of like mappings that is being joined. */
struct reading {
	struct sksm_regions *regions;
	struct sksm_ranges watched;
	struct sksm_ranges backed;
	struct sksm_ranges shared;
	uint64_t start;
	uint64_t end;
	enum sksm_vma_kind kind;
	bool is_shared;
	bool failed;
};

/* Append [start, end) but for what was refused and what is our own. */
static void append_allowed(struct reading *reading, uint64_t start, uint64_t end)
{
	const struct sksm_ranges *refused = &reading->regions->refused;
	unsigned int i = find_behind(refused, start);

	for (; i < refused->count && refused->list[i].start < end; i++) {
		if (refused->list[i].start > start &&
		    !sksm_ranges_append(&reading->watched, reading->regions->arena, start,
					refused->list[i].start))
			reading->failed = true;
		start = refused->list[i].end;
	}
	if (start < end &&
	    !sksm_ranges_append(&reading->watched, reading->regions->arena, start, end))
		reading->failed = true;
}

/* A run of like mappings, or what is wanted of it. */
static void take_run(struct reading *reading, uint64_t start, uint64_t end)
{
	if ((!reading->regions->only &&
	     end - start < reading->regions->options->threshold_bytes) ||
	    (!reading->is_shared && end - start > reading->regions->max_bytes))
		return;
	if (!reading->is_shared && reading->kind != SKSM_VMA_ANON &&
	    !sksm_ranges_append(&reading->backed, reading->regions->arena, start, end))
		reading->failed = true;
	if (!reading->is_shared)
		append_allowed(reading, start, end);
	else if (!sksm_ranges_append(&reading->shared, reading->regions->arena, start, end))
		reading->failed = true;
}

static void end_run(struct reading *reading)
{
	const struct sksm_ranges *only = reading->regions->only;
	uint64_t start = reading->start, end = reading->end;
	struct sksm_range part;

	reading->start = reading->end = 0;
	if (!only) {
		take_run(reading, start, end);
		return;
	}
	for (; sksm_ranges_clip(only, start, end, &part); start = part.end)
		take_run(reading, part.start, part.end);
}

static void add_vma(struct reading *reading, const struct sksm_vma *vma)
{
	/* Ours never share a mapping with the program's: they are wiped on fork. */
	if (sksm_arena_overlap(reading->regions->arena, vma->start, vma->end))
		return;
	if (reading->end != vma->start || reading->kind != vma->kind ||
	    reading->is_shared != vma->shared) {
		end_run(reading);
		reading->start = vma->start;
		reading->kind = vma->kind;
		reading->is_shared = vma->shared;
	}
	reading->end = vma->end;
}

static int read_map(struct reading *reading)
{
	struct sksm_regions *regions = reading->regions;
	struct sksm_vma vma, before = { 0 };
	unsigned int mappings = 0;
	int more = sksm_map_rewind(&regions->map);

	if (more < 0)
		return more;
	while ((more = sksm_map_next(&regions->map, &vma)) > 0) {
		bool eligible = sksm_region_eligible(regions->options, &vma, &before);

		if (eligible)
			add_vma(reading, &vma);
		if (regions->see)
			regions->see(regions->see_arg, &vma, eligible);
		before = vma;
		mappings++;
	}
	end_run(reading);
	if (more == 0)
		regions->mappings = mappings;
	return reading->failed ? -ENOMEM : more;
}

/* Call @visit for each part of @from that @but does not cover. */
static void subtract(const struct sksm_ranges *from, const struct sksm_ranges *but,
		     sksm_regions_gone_fn visit, void *arg)
{
	for (unsigned int i = 0; i < from->count; i++) {
		uint64_t start = from->list[i].start, end = from->list[i].end;
		unsigned int j = find_behind(but, start);

		for (; j < but->count && but->list[j].start < end; j++) {
			if (but->list[j].start > start)
				visit(arg, start, but->list[j].start);
			start = but->list[j].end;
		}
		if (start < end)
			visit(arg, start, end);
	}
}

struct registering {
	struct sksm_regions *regions;
	int uffd;
	struct sksm_ranges failed;
};

/* Mapping by mapping, so that one that cannot be registered does not keep out its neighbours. */
static void register_pieces(struct registering *work, uint64_t start, uint64_t end)
{
	struct sksm_regions *regions = work->regions;
	struct sksm_vma vma;

	if (sksm_map_rewind(&regions->map) < 0)
		return;
	while (sksm_map_next(&regions->map, &vma) > 0 && vma.start < end) {
		uint64_t from = vma.start > start ? vma.start : start;
		uint64_t to = vma.end < end ? vma.end : end;
		int error = from < to ? sksm_scan_register(regions->sys, work->uffd, from, to) : 0;

		/* Short of memory: not the fault of this mapping, it is tried again. */
		if (error && error != -ENOMEM)
			sksm_ranges_append(&work->failed, regions->arena, from, to);
	}
}

static void register_range(void *arg, uint64_t start, uint64_t end)
{
	struct registering *work = arg;

	if (work->uffd < 0)
		return;
	if (sksm_scan_register(work->regions->sys, work->uffd, start, end))
		register_pieces(work, start, end);
}

/* Merge two ascending lists into a new one. */
static void merge_ranges(struct sksm_ranges *into, const struct sksm_ranges *more,
			 struct sksm_arena *arena)
{
	struct sksm_ranges all = { 0 };
	unsigned int i = 0, j = 0;

	while (i < into->count || j < more->count) {
		const struct sksm_range *next;

		if (j == more->count ||
		    (i < into->count && into->list[i].start < more->list[j].start))
			next = &into->list[i++];
		else
			next = &more->list[j++];
		/* Overlaps come from a map that changed while it was read. */
		if (all.count && next->start < all.list[all.count - 1].end) {
			if (next->end > all.list[all.count - 1].end)
				all.list[all.count - 1].end = next->end;
		} else if (!sksm_ranges_append(&all, arena, next->start, next->end)) {
			break;
		}
	}
	sksm_ranges_free(into, arena);
	*into = all;
}

struct keeping {
	struct sksm_ranges ranges;
	struct sksm_arena *arena;
};

static void keep_range(void *arg, uint64_t start, uint64_t end)
{
	struct keeping *keeping = arg;

	sksm_ranges_append(&keeping->ranges, keeping->arena, start, end);
}

int sksm_regions_refresh(struct sksm_regions *regions, int uffd, sksm_regions_gone_fn gone,
			 void *arg)
{
	struct registering work = { .regions = regions, .uffd = uffd };
	struct reading reading = { .regions = regions };
	struct sksm_ranges old;
	int error;

	if (++regions->refused_age >= RETRY_REFRESHES) {
		sksm_ranges_free(&regions->refused, regions->arena);
		regions->refused_age = 0;
	}
	error = read_map(&reading);
	if (error) {
		sksm_ranges_free(&reading.watched, regions->arena);
		sksm_ranges_free(&reading.backed, regions->arena);
		sksm_ranges_free(&reading.shared, regions->arena);
		return error;
	}
	old = regions->watched;
	regions->watched = reading.watched;
	subtract(&old, &regions->watched, gone, arg);
	subtract(&regions->watched, &old, register_range, &work);
	sksm_ranges_free(&old, regions->arena);
	sksm_ranges_free(&regions->backed, regions->arena);
	regions->backed = reading.backed;
	sksm_ranges_free(&regions->shared, regions->arena);
	regions->shared = reading.shared;
	if (work.failed.count) {
		struct keeping keeping = { .arena = regions->arena };

		/* Not ours: neither looked at nor armed, not even in this pass. */
		subtract(&regions->watched, &work.failed, keep_range, &keeping);
		sksm_ranges_free(&regions->watched, regions->arena);
		regions->watched = keeping.ranges;
		merge_ranges(&regions->refused, &work.failed, regions->arena);
		sksm_ranges_free(&work.failed, regions->arena);
	}
	regions->tracked_bytes = 0;
	for (unsigned int i = 0; i < regions->watched.count; i++)
		regions->tracked_bytes += regions->watched.list[i].end -
					  regions->watched.list[i].start;
	return 0;
}

int sksm_regions_reregister(struct sksm_regions *regions, int uffd, uint64_t start, uint64_t end)
{
	struct registering work = { .regions = regions, .uffd = uffd };
	int error = sksm_scan_register(regions->sys, uffd, start, end);

	if (!error || error == -ENOMEM)
		return error;
	register_pieces(&work, start, end);
	if (!work.failed.count)
		return 0;
	merge_ranges(&regions->refused, &work.failed, regions->arena);
	sksm_ranges_free(&work.failed, regions->arena);
	return -EBUSY;
}
