/* SPDX-License-Identifier: MIT */
/*
 * Mappings: what is watched, cut where another call site begins or another kind of memory, and what
 * became of the pages of each. Made anew at each pass, from the kernel's map and the log of the
 * hooks (site.h); what no hook saw is told by what it is.
 */
#ifndef SKSM_MAPPING_H
#define SKSM_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "region.h"
#include "site.h"

struct sksm_tracker;

/* What is counted. Part of the format of the file; bytes, but for the last three. */
enum sksm_tally {
	SKSM_TALLY_TRACKED,
	SKSM_TALLY_RESIDENT,
	SKSM_TALLY_INVARIANT,
	SKSM_TALLY_DUPLICATE,
	SKSM_TALLY_OFFERED,
	SKSM_TALLY_MERGED,
	SKSM_TALLY_ZERO,
	SKSM_TALLY_SAVED,
	SKSM_TALLY_WRITES,	/* faults that arming caused */
	SKSM_TALLY_BREAKS,	/* merges undone by a write */
	SKSM_TALLY_LIVED_MS,	/* how long these had lasted, summed */
	SKSM_TALLIES
};

/* A part of the map by kind and name, before call sites are considered. */
struct sksm_label {
	uint64_t start;
	uint64_t end;
	uint32_t name;		/* in sksm_mappings.names; 0: none */
	uint8_t owner;
};

struct sksm_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t stack;		/* id in sksm_sites, for OWNER_SITE */
	uint32_t name;
	uint8_t owner;
	uint64_t gain;		/* bytes that its merged pages save, as of the last audit */
	uint64_t tally[SKSM_TALLIES];
};

#define SKSM_MAPPINGS_MAX 8192
#define SKSM_NAMES_MAX 65536

struct sksm_mappings {
	struct sksm_arena *arena;
	struct sksm_sites *sites;	/* NULL: attribution is off */
	struct sksm_label *labels;	/* while the map is read */
	unsigned int label_count;
	unsigned int label_capacity;
	struct sksm_mapping *list;	/* ascending, disjoint; of what is watched */
	unsigned int count;
	unsigned int capacity;
	char *names;
	unsigned int names_used;
	unsigned int names_capacity;
	struct sksm_ranges mapped;	/* by anything */
	struct sksm_vma before;
	uint32_t before_name;
	bool fresh;		/* the list is that of the current pass */
};

/* Before the map is read: take in what the hooks noted. Without @sites nothing is done, ever. */
void sksm_mappings_begin(struct sksm_mappings *mappings);

/* sksm_regions_see_fn; @arg is the mappings. */
void sksm_mappings_see(void *arg, const struct sksm_vma *vma, bool eligible);

/* After it was read: the list, for what is @watched. */
void sksm_mappings_end(struct sksm_mappings *mappings, const struct sksm_ranges *watched);

void sksm_mappings_free(struct sksm_mappings *mappings);

/* The mapping that holds @address, or NULL. */
struct sksm_mapping *sksm_mappings_find(const struct sksm_mappings *mappings, uint64_t address);

/* The first mapping that ends behind @address; mappings->count where there is none. */
unsigned int sksm_mappings_behind(const struct sksm_mappings *mappings, uint64_t address);

/* A write to an armed page at @address was seen; @broke: it was merged, for about @lived_ms. */
void sksm_mappings_note_write(struct sksm_mappings *mappings, uint64_t address, bool broke,
			      uint64_t lived_ms);

/* sksm_audit_gain_fn; @arg is the mappings. */
void sksm_mappings_gain(void *arg, uint64_t start, uint64_t end, uint64_t bytes);
void sksm_mappings_clear_gains(struct sksm_mappings *mappings);

/* tally.c: count the pages of each mapping. After the counters of the pass. */
void sksm_tally_pass(struct sksm_tracker *tracker);

/*
 * tally.c: deal @total out by @weight, no share above its @cap; the shares sum up to @total where
 * the caps do not forbid it. Whole pages where all arguments are.
 */
void sksm_tally_deal(uint64_t total, const uint64_t *weight, const uint64_t *cap,
		     unsigned int count, uint64_t *ret);

#endif
