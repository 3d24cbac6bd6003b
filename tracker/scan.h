/* SPDX-License-Identifier: MIT */
/*
 * Arming and scanning: userfaultfd WP_ASYNC registration and the PAGEMAP_SCAN ioctl.
 *
 * Each call covers a bounded range, a look by itself and arming by what the caller asks for: the
 * kernel holds the mmap lock for reading all along, and the program's mmap waits. Categories are
 * SKSM_PAGE_IS_*; fs/proc/task_mmu.c of 6.12 is the source of what is said here about them.
 */
#ifndef SKSM_SCAN_H
#define SKSM_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"

struct sksm_sys;

/*
 * Open a userfaultfd with WP_ASYNC (and WP_UNPOPULATED, which it implies). Descriptor or -errno.
 * The descriptor stands for the memory of the process that called: useless after fork.
 */
int sksm_scan_open_uffd(const struct sksm_sys *sys);

/*
 * Register [@start, @end), one or more whole mappings of ours to watch, with the userfaultfd.
 * Registering again what is registered is harmless. 0; -EBUSY where the program's own
 * userfaultfd holds it; -EINVAL where the kind of memory cannot be registered; -ENOMEM.
 */
int sksm_scan_register(const struct sksm_sys *sys, int uffd, uint64_t start, uint64_t end);

/* Take a registration back; unarms the range. 0 or -errno. */
int sksm_scan_unregister(const struct sksm_sys *sys, int uffd, uint64_t start, uint64_t end);

/*
 * What is in memory in [@start, @end): up to @capacity runs of equal categories (PRESENT,
 * SWAPPED, WRITTEN, HUGE, PFNZERO, FILE, WPALLOWED) that are PRESENT or SWAPPED and, where @must
 * is not 0, have all categories in @must. Returns their number or -errno. Nothing at or behind
 * *ret_walked was examined: call again from there until it is @end.
 *
 * FILE is told only with @files: for it the kernel looks at the struct page of each page, which
 * makes a scan about twenty times as slow (45 against 2 ns a page, seen on 6.18).
 */
int sksm_scan_look(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		   uint64_t must, bool files, struct sksm_page_region *runs, int capacity,
		   uint64_t *ret_walked);

/*
 * What in [@start, @end) is not write-protected, holes that have a page table (since some 6.12.y
 * all holes of what is registered) among it: up to @capacity runs. Returns their number or -errno;
 * nothing at or behind *ret_walked was examined. The kernel answers this alone eight times as fast
 * as sksm_scan_look, where next to nothing is found.
 */
int sksm_scan_unarmed(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		      struct sksm_page_region *runs, int capacity, uint64_t *ret_walked);

/* Kinds of page that sksm_scan_arm leaves alone unless told otherwise. */
#define SKSM_ARM_HUGE 1u	/* huge pages: the range must be aligned to 2 MiB, or it splits them */
#define SKSM_ARM_ZERO 2u	/* the zero page: memory that was only read, or merged with it */
#define SKSM_ARM_FILE 4u	/* pages of a mapped file; in anonymous memory it saves the question */

/*
 * Write-protect ("arm") what is present or swapped and not yet protected in [@start, @end), of
 * the usual kind (small, not the zero page, not a page of a mapped file) or of the kinds in
 * @also. Holes stay holes. What is not registered is skipped in silence. Returns the pages armed
 * or -errno. @runs (@capacity of them) is scratch memory.
 */
int64_t sksm_scan_arm(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		      unsigned int also, struct sksm_page_region *runs, int capacity);

/*
 * The same in one call, told page by page: up to @capacity runs of pages that it armed. Returns
 * their number or -errno; nothing at or behind *ret_walked was touched.
 */
int sksm_scan_arm_runs(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		       unsigned int also, struct sksm_page_region *runs, int capacity,
		       uint64_t *ret_walked);

/*
 * Read the /proc/PID/pagemap entries of @pages pages from @start into @ret. 0 or -errno.
 * Bit 56 needs no privilege; frame numbers do.
 */
int sksm_scan_pagemap(const struct sksm_sys *sys, int pagemap_fd, uint64_t start,
		      unsigned int pages, uint64_t *ret);

#endif
