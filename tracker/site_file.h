/* SPDX-License-Identifier: MIT */
/*
 * The file of call sites of one process, beside its record: PID-START.rec.sites. Two places of
 * SKSM_SITE_FILE_SLOT bytes, written in turn, each as a whole with a checksum, so that a process
 * that is killed while it writes leaves the one before. Readers take the newest that is whole.
 *
 * In a slot, one after the other: header, sites, frames, mappings, modules, names. All numbers are
 * the host's, all counts bounded.
 */
#ifndef SKSM_SITE_FILE_H
#define SKSM_SITE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping.h"

struct sksm_sys;
struct sksm_tracker;

#define SKSM_SITE_FILE_MAGIC 0x3153455449534b53ull	/* "SKSITES1" in memory */
#define SKSM_SITE_FILE_VERSION 2u
#define SKSM_SITE_FILE_SLOT (1u << 20)
#define SKSM_SITE_FILE_SUFFIX ".sites"
#define SKSM_FILE_SITES_MAX 1024u
#define SKSM_FILE_FRAMES_MAX 16384u
#define SKSM_FILE_MAPPINGS_MAX 3072u

struct sksm_file_header {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;		/* of all that follows the header */
	uint64_t checksum;	/* XXH3 of the header with this field 0, and of what follows */
	uint64_t updated_ns;	/* CLOCK_BOOTTIME; the newer slot holds */
	uint64_t start_ns;	/* of the record; and its pid */
	uint32_t pid;
	uint32_t modules;
	uint32_t sites;
	uint32_t frames;
	uint32_t mappings;
	uint32_t name_bytes;
	uint64_t lost;		/* events and stacks there was no room for */
	uint64_t spare[3];
};

struct sksm_file_module {
	uint32_t build_id_bytes;	/* 0: none */
	uint8_t build_id[SKSM_BUILD_ID_MAX];
	char path[SKSM_SITE_PATH_MAX];	/* empty: not known */
};

struct sksm_file_site {
	uint32_t owner;		/* enum sksm_owner; one of each comes first */
	uint32_t frames;
	uint32_t first_frame;
	uint32_t spare;
	uint64_t tally[SKSM_TALLIES];
};

struct sksm_file_frame {
	uint32_t module;	/* index, or UINT32_MAX: @address is one of memory */
	uint32_t spare;
	uint64_t address;	/* in the file, as its symbols count; within the calling instruction */
};

struct sksm_file_mapping {
	uint64_t start;
	uint64_t end;
	uint32_t site;		/* index */
	uint32_t name;		/* offset into the names; 0: none */
	uint64_t tally[SKSM_TALLIES];
};

/* Bytes behind the header, by its counts. */
static inline uint64_t sksm_site_file_bytes(const struct sksm_file_header *header)
{
	return (uint64_t)header->sites * sizeof(struct sksm_file_site) +
	       (uint64_t)header->frames * sizeof(struct sksm_file_frame) +
	       (uint64_t)header->mappings * sizeof(struct sksm_file_mapping) +
	       (uint64_t)header->modules * sizeof(struct sksm_file_module) + header->name_bytes;
}

/* Where the file of the tracker's process is, and what was written last. */
struct sksm_site_file {
	int (*open)(void);	/* a descriptor or -errno; called once, before the first write */
	int fd;			/* -1: not open */
	unsigned int passes;	/* with something to write */
	uint32_t pid;
	uint64_t start_ns;
	unsigned int slot;	/* to be written next */
	uint64_t last_seen;	/* of what the file tells of, as of the last pass */
	uint64_t last_sum;	/* checksum of what was written last, without the time */
};

/*
 * Write what the last pass found, where something changed. Not at the first pass: most processes do
 * not live to see the second, and then there is nothing to tell of them.
 */
void sksm_site_file_write(struct sksm_tracker *tracker);

/* The parts of a slot that was checked, within the caller's data. */
struct sksm_file_view {
	struct sksm_file_header header;
	const struct sksm_file_module *modules;
	const struct sksm_file_site *sites;
	const struct sksm_file_frame *frames;
	const struct sksm_file_mapping *mappings;
	const char *names;
};

/* Point the parts of @view into the slot at @header, by the counts in view->header. */
static inline void sksm_site_file_lay_out(struct sksm_file_view *view,
					  const struct sksm_file_header *header)
{
	view->sites = (const struct sksm_file_site *)(header + 1);
	view->frames = (const struct sksm_file_frame *)(view->sites + view->header.sites);
	view->mappings = (const struct sksm_file_mapping *)(view->frames + view->header.frames);
	view->modules = (const struct sksm_file_module *)(view->mappings + view->header.mappings);
	view->names = (const char *)(view->modules + view->header.modules);
}

/*
 * Find the newest whole slot in the @length bytes at @data (aligned to 8; both slots) of the
 * process (@pid, @start_ns). 0, or -EINVAL and a reason in words. Never trusts a byte: every count,
 * index and offset in what it returns is within its bounds, every string terminated.
 */
int sksm_site_file_decode(struct sksm_file_view *ret, const void *data, size_t length,
			  uint32_t pid, uint64_t start_ns, const char **ret_reason);

#endif
