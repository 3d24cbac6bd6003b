/* SPDX-License-Identifier: MIT */
/*
 * Regions: the ranges of memory that are watched, brought in step with the kernel's map at each
 * pass. Neighbouring mappings of one kind count as one region, since our own marks (MERGEABLE)
 * cut mappings that the program sees as one.
 */
#ifndef SKSM_REGION_H
#define SKSM_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"
#include "options.h"

struct sksm_sys;
struct sksm_arena;

struct sksm_range {
	uint64_t start;
	uint64_t end;
};

struct sksm_ranges {
	struct sksm_range *list;	/* ascending, disjoint */
	unsigned int count;
	unsigned int capacity;
};

/* Add behind the last range, joining it where they touch. False without memory. */
bool sksm_ranges_append(struct sksm_ranges *ranges, struct sksm_arena *arena, uint64_t start,
			uint64_t end);
void sksm_ranges_free(struct sksm_ranges *ranges, struct sksm_arena *arena);

/* The first of @ranges that overlaps [@start, @end), cut to that. False: none does. */
bool sksm_ranges_clip(const struct sksm_ranges *ranges, uint64_t start, uint64_t end,
		      struct sksm_range *ret);

/* True where @ranges overlap [@start, @end). */
bool sksm_ranges_overlap(const struct sksm_ranges *ranges, uint64_t start, uint64_t end);

/* A mapping was met, whatever its kind; @eligible: it may be watched. */
typedef void (*sksm_regions_see_fn)(void *arg, const struct sksm_vma *vma, bool eligible);

struct sksm_regions {
	const struct sksm_sys *sys;
	struct sksm_arena *arena;
	const struct sksm_options *options;
	struct sksm_map map;
	struct sksm_ranges watched;	/* registered with our userfaultfd */
	struct sksm_ranges backed;	/* of those, mappings of files: pages may be the file's */
	struct sksm_ranges refused;	/* could not be: another userfaultfd, an odd kind */
	struct sksm_ranges shared;	/* MAP_SHARED memory that would be watched were it private */
	const struct sksm_ranges *only;	/* NULL: all; else these, however small */
	uint64_t tracked_bytes;
	uint64_t max_bytes;		/* larger ranges are not watched; from open on no limit */
	unsigned int mappings;		/* of the whole process, at the last refresh */
	unsigned int refused_age;	/* refreshes since the refused were last tried */
	sksm_regions_see_fn see;	/* called for each mapping as the map is read; may be NULL */
	void *see_arg;
};

/* 0 or -errno. @text: as for sksm_map_open. */
int sksm_regions_open(struct sksm_regions *regions, const struct sksm_sys *sys,
		      struct sksm_arena *arena, const struct sksm_options *options, bool text);
void sksm_regions_close(struct sksm_regions *regions);

/* A range is no longer watched, for whatever reason. */
typedef void (*sksm_regions_gone_fn)(void *arg, uint64_t start, uint64_t end);

/*
 * Read the map, register what is new, call @gone for what is not there any more. On -errno the
 * regions stay as they were.
 */
int sksm_regions_refresh(struct sksm_regions *regions, int uffd, sksm_regions_gone_fn gone,
			 void *arg);

/*
 * A scan saw that the kernel no longer has [@start, @end) registered (remapped since the last
 * refresh). Registers it anew; mappings where that fails count as refused: -EBUSY.
 * 0 where all went well; -ENOMEM: nothing was done, try again.
 */
int sksm_regions_reregister(struct sksm_regions *regions, int uffd, uint64_t start, uint64_t end);

/*
 * What to tell sksm_scan_look and sksm_scan_arm about files in [@start, @end): may there be any?
 */
bool sksm_regions_backed(const struct sksm_regions *regions, uint64_t start, uint64_t end);

/*
 * True where @vma may be watched by its kind and permissions alone; @before is the mapping
 * below it (start == end: none).
 */
bool sksm_region_eligible(const struct sksm_options *options, const struct sksm_vma *vma,
			  const struct sksm_vma *before);

#endif
