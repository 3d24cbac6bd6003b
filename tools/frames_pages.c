/* SPDX-License-Identifier: MIT */
#include "frames_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tracker/abi.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define KPF_KSM 21
#define KPF_ZERO_PAGE 24
#define PFN_MASK ((1ull << 55) - 1)

#define REGIONS 1024u		/* per PAGEMAP_SCAN */
#define FLAGS_GAP 64u		/* read over holes of so many frames rather than call again */

int sksm_frames_compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

int sksm_frames_check_flags(int kpageflags)
{
	volatile char *page = mmap(NULL, SKSM_PAGE_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), error = -EPERM;
	uint64_t entry = 0, flags;

	if (page != MAP_FAILED && pagemap >= 0) {
		page[0] = 1;
		if (pread(pagemap, &entry, sizeof(entry),
			  (off_t)((uintptr_t)page / SKSM_PAGE_BYTES * sizeof(entry))) < 0)
			entry = 0;
		if ((entry & PFN_MASK) &&
		    pread(kpageflags, &flags, sizeof(flags),
			  (off_t)((entry & PFN_MASK) * sizeof(flags))) == sizeof(flags))
			error = flags & (1ull << KPF_KSM) ? -EOPNOTSUPP : 0;
	}
	if (pagemap >= 0)
		close(pagemap);
	if (page != MAP_FAILED)
		munmap((void *)page, SKSM_PAGE_BYTES);
	return error;
}

static int add_mapping(struct sksm_frames_count *count, uint64_t pfn, size_t part)
{
	if (count->used == count->room) {
		size_t room = count->room ? count->room * 2 : 4096;
		void *list = reallocarray(count->mappings, room, sizeof(*count->mappings));

		if (!list)
			return -ENOMEM;
		count->mappings = list;
		count->room = room;
	}
	count->mappings[count->used++] = SKSM_FRAMES_PACK(pfn, part);
	return 0;
}

/* Look up the sorted frames count->entries[from..to), which are close to one another. */
static int classify_run(struct sksm_frames_count *count, struct sksm_frames_target *target,
			size_t from, size_t to)
{
	uint64_t first = count->entries[from];
	size_t frames = (size_t)(count->entries[to - 1] - first) + 1, i;
	struct sksm_frames_part *part = count->parts[target->part];
	ssize_t length = pread(count->kpageflags, count->flags, frames * sizeof(uint64_t),
			       (off_t)(first * sizeof(uint64_t)));
	int error = 0;

	if (length < 0)
		return -errno;
	for (i = from; i < to && !error; i++) {
		uint64_t offset = count->entries[i] - first;

		if (offset >= (uint64_t)length / sizeof(uint64_t))
			continue;
		if (count->flags[offset] & (1ull << KPF_ZERO_PAGE)) {
			target->zero_pages++;
			part->zero_bytes += SKSM_PAGE_BYTES;
		} else if (count->flags[offset] & (1ull << KPF_KSM)) {
			part->merged_bytes += SKSM_PAGE_BYTES;
			error = add_mapping(count, count->entries[i], target->part);
		}
	}
	return error;
}

/* The first @pages of count->entries are frame numbers, in the order of the addresses. */
static int classify(struct sksm_frames_count *count, struct sksm_frames_target *target,
		    size_t pages)
{
	size_t from = 0, to;
	int error = 0;

	qsort(count->entries, pages, sizeof(uint64_t), sksm_frames_compare);
	while (from < pages && !error) {
		const uint64_t *entries = count->entries;

		for (to = from + 1; to < pages; to++)
			if (entries[to] - entries[to - 1] > FLAGS_GAP ||
			    entries[to] - entries[from] >= SKSM_FRAMES_FLAGS_BATCH)
				break;
		error = classify_run(count, target, from, to);
		from = to;
	}
	return error;
}

static int count_populated(struct sksm_frames_count *count, struct sksm_frames_target *target,
			   uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t pages = (end - start) / SKSM_PAGE_BYTES, i;
		size_t frames = 0;
		ssize_t length;
		int error;

		if (pages > SKSM_FRAMES_BATCH_PAGES)
			pages = SKSM_FRAMES_BATCH_PAGES;
		length = pread(target->pagemap, count->entries, pages * sizeof(uint64_t),
			       (off_t)(start / SKSM_PAGE_BYTES * sizeof(uint64_t)));
		if (length <= 0)
			return length < 0 ? -errno : -ESRCH;
		pages = (uint64_t)length / sizeof(uint64_t);
		for (i = 0; i < pages; i++) {
			uint64_t entry = count->entries[i];

			if (!(entry & SKSM_PM_PRESENT))
				continue;
			/* Without CAP_SYS_ADMIN the kernel shows zero for each frame. */
			if (!(entry & PFN_MASK))
				return -EPERM;
			count->entries[frames++] = entry & PFN_MASK;
		}
		error = classify(count, target, frames);
		if (error)
			return error;
		start += pages * SKSM_PAGE_BYTES;
	}
	return 0;
}

/*
 * PAGEMAP_SCAN skips the holes of sparse mappings, which can be terabytes, and huge pages, which
 * are never merged. Kernels before 6.7 have none: then every entry is read.
 */
int sksm_frames_range(struct sksm_frames_count *count, struct sksm_frames_target *target,
		      const struct sksm_smaps_range *range)
{
	struct sksm_page_region regions[REGIONS];
	struct sksm_pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = range->start,
		.end = range->end,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_inverted = SKSM_PAGE_IS_HUGE,
		.category_mask = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_HUGE,
		.return_mask = SKSM_PAGE_IS_PRESENT,
	};

	while (scan.start < scan.end) {
		int found = ioctl(target->pagemap, SKSM_PAGEMAP_SCAN, &scan), i, error;

		if (found < 0 && (errno == ENOTTY || errno == EINVAL))
			return count_populated(count, target, scan.start, scan.end);
		if (found < 0)
			return -errno;
		for (i = 0; i < found; i++) {
			error = count_populated(count, target, regions[i].start, regions[i].end);
			if (error)
				return error;
		}
		if (scan.walk_end <= scan.start)
			return -ESRCH;
		scan.start = scan.walk_end;
	}
	return 0;
}
