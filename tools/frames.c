/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "process.h"
#include "smaps.h"

#include "tracker/abi.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define KPF_KSM 21
#define KPF_ZERO_PAGE 24
#define PFN_MASK ((1ull << 55) - 1)

#define BATCH_PAGES 65536u	/* pagemap entries per read: 512 KiB */
#define REGIONS 1024u		/* per PAGEMAP_SCAN */
#define FLAGS_GAP 64u		/* read over holes of so many frames rather than call again */
#define FLAGS_BATCH 8192u

/* One mapping of a merged frame, packed so that sorting sorts by frame. */
#define PACK(pfn, process) ((pfn) << 20 | (process))
#define PACKED_PFN(entry) ((entry) >> 20)
#define PACKED_PROCESS(entry) ((entry) & 0xfffff)
#define PROCESSES_MAX 0xfffff

struct count {
	int kpageflags;
	uint64_t *mappings;	/* packed; of every process so far */
	size_t used;
	size_t room;
	uint64_t entries[BATCH_PAGES];
	uint64_t flags[FLAGS_BATCH];
};

/* A process while its pages are counted. */
struct target {
	size_t index;
	int pagemap;
	uint64_t zero_pages;	/* mappings of the zero page in mergeable ranges */
};

static int compare_numbers(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static int add_mapping(struct count *count, uint64_t pfn, size_t process)
{
	if (count->used == count->room) {
		size_t room = count->room ? count->room * 2 : 4096;
		void *list = reallocarray(count->mappings, room, sizeof(*count->mappings));

		if (!list)
			return -ENOMEM;
		count->mappings = list;
		count->room = room;
	}
	count->mappings[count->used++] = PACK(pfn, process);
	return 0;
}

/* Look up the sorted frames count->entries[from..to), which are close to one another. */
static int classify_run(struct count *count, struct target *target, size_t from, size_t to)
{
	uint64_t first = count->entries[from];
	size_t frames = (size_t)(count->entries[to - 1] - first) + 1, i;
	ssize_t length = pread(count->kpageflags, count->flags, frames * sizeof(uint64_t),
			       (off_t)(first * sizeof(uint64_t)));
	int error = 0;

	if (length < 0)
		return -errno;
	for (i = from; i < to && !error; i++) {
		uint64_t offset = count->entries[i] - first;

		if (offset >= (uint64_t)length / sizeof(uint64_t))
			continue;
		if (count->flags[offset] & (1ull << KPF_ZERO_PAGE))
			target->zero_pages++;
		else if (count->flags[offset] & (1ull << KPF_KSM))
			error = add_mapping(count, count->entries[i], target->index);
	}
	return error;
}

/* The first @pages of count->entries are frame numbers, in the order of the addresses. */
static int classify(struct count *count, struct target *target, size_t pages)
{
	size_t from = 0, to;
	int error = 0;

	qsort(count->entries, pages, sizeof(uint64_t), compare_numbers);
	while (from < pages && !error) {
		const uint64_t *entries = count->entries;

		for (to = from + 1; to < pages; to++)
			if (entries[to] - entries[to - 1] > FLAGS_GAP ||
			    entries[to] - entries[from] >= FLAGS_BATCH)
				break;
		error = classify_run(count, target, from, to);
		from = to;
	}
	return error;
}

static int count_populated(struct count *count, struct target *target, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t pages = (end - start) / SKSM_PAGE_BYTES, i;
		size_t frames = 0;
		ssize_t length;
		int error;

		if (pages > BATCH_PAGES)
			pages = BATCH_PAGES;
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
static int count_range(struct count *count, struct target *target,
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

/* A read of a page that was never written maps the zero page too; KSM counts its own. */
static uint64_t placed_by_ksm(pid_t pid, uint64_t zero_pages)
{
	int fd = sksm_process_open(pid, "ksm_stat");
	char text[512], *line;
	uint64_t placed;
	ssize_t length;

	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length < 0)
		return 0;
	text[length] = '\0';
	line = strstr(text, "ksm_zero_pages ");
	if (!line || sscanf(line, "ksm_zero_pages %" SCNu64, &placed) != 1)
		return 0;
	return placed < zero_pages ? placed : zero_pages;
}

static int count_process(struct count *count, struct sksm_frames_process *list, size_t index)
{
	struct target target = { .index = index };
	struct sksm_smaps_range *ranges = NULL;
	size_t range_count = 0, before = count->used, i;
	int error;

	error = sksm_smaps_mergeable(list[index].pid, &ranges, &range_count);
	if (error)
		return error;
	target.pagemap = sksm_process_open(list[index].pid, "pagemap");
	error = target.pagemap < 0 ? target.pagemap : 0;
	for (i = 0; i < range_count && !error; i++)
		error = count_range(count, &target, &ranges[i]);
	free(ranges);
	if (target.pagemap >= 0)
		close(target.pagemap);
	if (error) {
		count->used = before;
		return error;
	}
	target.zero_pages = placed_by_ksm(list[index].pid, target.zero_pages);
	list[index].zero_bytes = target.zero_pages * SKSM_PAGE_BYTES;
	list[index].merged_bytes = (count->used - before + target.zero_pages) * SKSM_PAGE_BYTES;
	list[index].known = true;
	return 0;
}

/*
 * A frame with n mappings saves n - 1 pages, (n - 1) / n for each mapping. The zero page is one
 * frame, of all of them.
 */
static void share_savings(const struct count *count, struct sksm_frames_process *list,
			  size_t processes, double *shares)
{
	uint64_t zero_pages = 0;
	size_t from, to, i;

	for (from = 0; from < count->used; from = to) {
		uint64_t pfn = PACKED_PFN(count->mappings[from]);

		for (to = from; to < count->used && PACKED_PFN(count->mappings[to]) == pfn; to++)
			;
		for (i = from; i < to; i++)
			shares[PACKED_PROCESS(count->mappings[i])] +=
				(double)(to - from - 1) / (double)(to - from);
	}
	for (i = 0; i < processes; i++)
		zero_pages += list[i].zero_bytes / SKSM_PAGE_BYTES;
	for (i = 0; i < processes && zero_pages; i++)
		shares[i] += (double)(list[i].zero_bytes / SKSM_PAGE_BYTES) *
			     (double)(zero_pages - 1) / (double)zero_pages;
}

/* Whole pages, rounded so that their sum is the rounded sum. */
static void round_savings(struct sksm_frames_process *list, size_t processes, const double *shares)
{
	uint64_t given = 0;
	double sum = 0;
	size_t i;

	for (i = 0; i < processes; i++) {
		uint64_t until;

		sum += shares[i];
		until = (uint64_t)(sum + 0.5);
		list[i].saved_bytes = (until - given) * SKSM_PAGE_BYTES;
		given = until;
	}
}

static int count_all(struct count *count, struct sksm_frames_process *list, size_t processes)
{
	double *shares;
	size_t i;

	for (i = 0; i < processes; i++) {
		int error = count_process(count, list, i);

		if (error == -EPERM || error == -ENOMEM)
			return error;
	}
	shares = calloc(processes, sizeof(*shares));
	if (!shares)
		return -ENOMEM;
	if (count->used)
		qsort(count->mappings, count->used, sizeof(uint64_t), compare_numbers);
	share_savings(count, list, processes, shares);
	round_savings(list, processes, shares);
	free(shares);
	return 0;
}

int sksm_frames_count(struct sksm_frames_process *list, size_t count)
{
	struct count *state;
	int error;

	if (!count)
		return 0;
	if (count > PROCESSES_MAX)
		return -E2BIG;
	state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (state->kpageflags < 0) {
		error = errno == EACCES || errno == ENOENT ? -EPERM : -errno;
	} else {
		error = count_all(state, list, count);
		close(state->kpageflags);
	}
	free(state->mappings);
	free(state);
	return error;
}
