/* SPDX-License-Identifier: MIT */
/*
 * Which place in which program made the memory: the files of call sites of the processes of a
 * census (tracker/site_file.h), put together. A site of several processes is one.
 */
#ifndef SKSM_SITES_H
#define SKSM_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "census.h"
#include "symbol.h"
#include "tracker/mapping.h"

struct json_object;

struct sksm_place_frame {
	uint64_t module;	/* index; UINT64_MAX: in no file, @address is one of memory */
	uint64_t address;
};

/* A site, or (without frames) memory of a kind that no hook saw. */
struct sksm_place_site {
	enum sksm_owner owner;
	struct sksm_place_frame *frames;	/* innermost first */
	size_t frame_count;
	struct sksm_symbols *symbols;	/* of each frame, once asked for */
	char *label;			/* for people, once asked for */
	size_t processes;
	uint64_t tally[SKSM_TALLIES];	/* over all processes that the census sums up */
};

/* A site in one process; or, with addresses, a mapping. */
struct sksm_place_row {
	size_t process;		/* in the census */
	size_t site;
	uint64_t start;
	uint64_t end;
	char *name;		/* of the mapping, or NULL */
	uint64_t tally[SKSM_TALLIES];
};

struct sksm_place_rows {
	struct sksm_place_row *list;
	size_t count;
};

struct sksm_site_report {
	const struct sksm_census *census;
	struct sksm_symbol_module *modules;
	size_t module_count;
	struct sksm_place_site *sites;
	size_t site_count;
	struct sksm_place_rows by_site;		/* by process */
	struct sksm_place_rows by_mapping;	/* by process and address */
	size_t unknown;		/* processes without a file, or with one that cannot be used */
	uint64_t lost;		/* what there was no room for in the processes */
	void *index;
};

/* Put together what @census has read (query.sites), and keeps. 0 or -errno. */
int sksm_sites_take(struct sksm_site_report *ret, const struct sksm_census *census);
void sksm_sites_fini(struct sksm_site_report *report);

/* sites_label.c: what is at each frame of a site; NULL without memory. */
const struct sksm_symbols *sksm_sites_symbols(struct sksm_site_report *report, size_t site);

/* sites_label.c: "fill (victim.c:12) < load < main", or "[heap]". */
const char *sksm_sites_label(struct sksm_site_report *report, size_t site);

/* sites_label.c: the mapping that holds @address in a process, NULL: it is not known. */
const struct sksm_place_row *sksm_sites_find(const struct sksm_site_report *report, size_t process,
					     uint64_t address);

/* sites_label.c: a function without the types of its arguments, as C++ has them. */
void sksm_sites_print_name(FILE *out, const char *name);

/* sites_label.c: the name of a kind: "heap"; and of a tally's key in the JSON: "tracked". */
const char *sksm_sites_owner_name(enum sksm_owner owner);
const char *sksm_sites_tally_key(enum sksm_tally tally);

/* The tally called @name (as in the JSON, or UNDONE); -1: there is none. */
int sksm_sites_tally_find(const char *name);

struct sksm_sites_view {
	bool by_mapping;
	bool folded;
	bool raw;		/* bytes instead of sizes for people */
	int sort;		/* enum sksm_tally; -1: the usual order */
	bool ascending;
};

/* sites_table.c: print the table, or folded stacks. 0 or -errno. */
int sksm_sites_table(struct sksm_site_report *report, const struct sksm_sites_view *view);

/* sites_json.c: add "sites" and, where asked for, "mappings" to the object of a process. */
void sksm_sites_json(struct sksm_site_report *report, size_t process, bool mappings,
		     struct json_object *object);

#endif
