/* SPDX-License-Identifier: MIT */
/* Between the halves of frames.c: pages are counted by part; what is saved is shared out. */
#ifndef SKSM_FRAMES_PAGES_H
#define SKSM_FRAMES_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "frames.h"
#include "smaps.h"

#define SKSM_FRAMES_BATCH_PAGES 65536u	/* pagemap entries per read: 512 KiB */
#define SKSM_FRAMES_FLAGS_BATCH 8192u

/* One mapping of a merged frame, packed so that sorting sorts by frame. */
#define SKSM_FRAMES_PACK(pfn, part) ((pfn) << 20 | (part))
#define SKSM_FRAMES_PACKED_PFN(entry) ((entry) >> 20)
#define SKSM_FRAMES_PACKED_PART(entry) ((entry) & 0xfffff)
#define SKSM_FRAMES_PARTS_MAX 0xfffff

struct sksm_frames_count {
	int kpageflags;
	uint64_t *mappings;	/* packed; of every process so far */
	size_t used;
	size_t room;
	struct sksm_frames_part **parts;	/* of all processes */
	size_t part_count;
	uint64_t entries[SKSM_FRAMES_BATCH_PAGES];
	uint64_t flags[SKSM_FRAMES_FLAGS_BATCH];
};

/* A process while its pages are counted. */
struct sksm_frames_target {
	size_t part;		/* that what is read now belongs to */
	int pagemap;
	uint64_t zero_pages;	/* mappings of the zero page in mergeable ranges */
};

/* See sksm_frames_able: a page of our own, which is not merged, must not seem to be. */
int sksm_frames_check_flags(int kpageflags);

/* Order of uint64_t, for qsort. */
int sksm_frames_compare(const void *a, const void *b);

/* Count the pages of @range, all of target->part. 0 or -errno. */
int sksm_frames_range(struct sksm_frames_count *count, struct sksm_frames_target *target,
		      const struct sksm_smaps_range *range);

#endif
