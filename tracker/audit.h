/* SPDX-License-Identifier: MIT */
/*
 * What only /proc/PID/smaps tells: which mappings carry flags that forbid offering them, and how
 * many mappings share the merged frames. The kernel walks every page table for it (about 10 ns a
 * page), under the mmap lock one mapping at a time, so an audit is made only when it decides
 * something.
 */
#ifndef SKSM_AUDIT_H
#define SKSM_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

struct sksm_sys;
struct sksm_arena;

/* One mapping of smaps, sizes in bytes. */
struct sksm_audit_vma {
	uint64_t start;
	uint64_t end;
	uint64_t rss;
	uint64_t pss;
	uint64_t shared;	/* Shared_Clean + Shared_Dirty */
	uint64_t huge;		/* AnonHugePages */
	uint64_t ksm;		/* pages mapped to merged frames; zero pages not counted */
	bool has_ksm;		/* the kernel prints it (since 6.8) */
	bool anonymous;		/* no file behind it */
	bool mergeable;		/* mg */
	bool foreign;		/* um, uw, ui: registered with a userfaultfd */
	bool stack;		/* nh: a mapping made with MAP_STACK has it (since 6.7), others may */
	bool sensitive;		/* lo (mlock), dd (DONTDUMP), wf (WIPEONFORK), io, pf */
};

/* Merged pages of a mapping save so many bytes. */
typedef void (*sksm_audit_gain_fn)(void *arg, uint64_t start, uint64_t end, uint64_t bytes);

struct sksm_audit {
	struct sksm_ranges sensitive;
	struct sksm_ranges mergeable;
	struct sksm_ranges huge;	/* some huge pages are in there */
	/* Stacks; and the program's userfaultfd's, where ours would not show. */
	struct sksm_ranges foreign;
	bool uffd_is_foreign;	/* we have none: set before the first run */
	int pagemap_fd;		/* likewise; 0: stacks with guard regions are not told */
	bool unmarked;		/* what is not mergeable may be merged too: likewise */
	uint64_t merged_bytes;	/* mapped to merged frames, without zero pages */
	uint64_t saved_bytes;	/* of those, not backed by a frame of their own */
	uint64_t zero_bytes;	/* zero pages that KSM placed */
	uint64_t done_ns;	/* CLOCK_BOOTTIME; 0: never */
	uint64_t cost_ns;	/* CPU time that the last one took; the caller's to fill in */
	sksm_audit_gain_fn gain;	/* called for each that saves something; may be NULL */
	void *gain_arg;
};

/* Read /proc/thread-self/smaps and ksm_stat. 0 or -errno, *audit then being as before. */
int sksm_audit_run(struct sksm_audit *audit, const struct sksm_sys *sys,
		   struct sksm_arena *arena);

/* What this process' ksm_stat has after @name, which ends with a space; 0 without (before 6.1). */
uint64_t sksm_audit_ksm_stat(const struct sksm_sys *sys, const char *name);

void sksm_audit_fini(struct sksm_audit *audit, struct sksm_arena *arena);

/*
 * Take in one line of an smaps file. True where it was the last one of a mapping (VmFlags), and
 * *vma is complete; the next line then starts a new one.
 */
bool sksm_audit_parse_line(const char *line, struct sksm_audit_vma *vma);

#endif
