/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames_pages.h"
#include "process.h"
#include "smaps.h"

#include "tracker/abi.h"

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

/* A range of the kernel's, cut where another part begins. @parts are those of the process. */
static int count_parts(struct sksm_frames_count *count, struct sksm_frames_target *target,
		       const struct sksm_frames_process *process,
		       const struct sksm_smaps_range *range)
{
	struct sksm_smaps_range piece = *range;
	size_t first = target->part, rest = process->part_count - 1, i = 0;
	int error = 0;

	while (piece.start < range->end && !error) {
		while (i < rest && process->parts[i].end <= piece.start)
			i++;
		piece.end = range->end;
		target->part = first + rest;
		if (i < rest && process->parts[i].start <= piece.start) {
			target->part = first + i;
			if (process->parts[i].end < piece.end)
				piece.end = process->parts[i].end;
		} else if (i < rest && process->parts[i].start < piece.end) {
			piece.end = process->parts[i].start;
		}
		error = sksm_frames_range(count, target, &piece);
		piece.start = piece.end;
	}
	target->part = first;
	return error;
}

/* The kernel tells only for the whole process how many of the zero pages KSM placed. */
static void scale_zero(struct sksm_frames_process *process, uint64_t seen, uint64_t placed)
{
	uint64_t sum = 0, given = 0, until;
	size_t i;

	for (i = 0; i < process->part_count; i++) {
		struct sksm_frames_part *part = &process->parts[i];

		sum += part->zero_bytes / SKSM_PAGE_BYTES;
		until = seen ? (uint64_t)((unsigned __int128)sum * placed / seen) : 0;
		part->zero_bytes = (until - given) * SKSM_PAGE_BYTES;
		part->merged_bytes += part->zero_bytes;
		process->zero_bytes += part->zero_bytes;
		process->merged_bytes += part->merged_bytes;
		given = until;
	}
}

static int count_process(struct sksm_frames_count *count, struct sksm_frames_process *process,
			 size_t first_part)
{
	struct sksm_frames_target target = { .part = first_part };
	struct sksm_smaps_range *ranges = NULL;
	size_t range_count = 0, before = count->used, i;
	bool zeros = placed_by_ksm(process->pid, UINT64_MAX) > 0;
	int error;

	error = sksm_smaps_mergeable(process->pid, zeros, &ranges, &range_count);
	if (error)
		return error;
	target.pagemap = sksm_process_open(process->pid, "pagemap");
	error = target.pagemap < 0 ? target.pagemap : 0;
	for (i = 0; i < range_count && !error; i++)
		error = count_parts(count, &target, process, &ranges[i]);
	free(ranges);
	if (target.pagemap >= 0)
		close(target.pagemap);
	if (error) {
		count->used = before;
		for (i = 0; i < process->part_count; i++)
			process->parts[i].merged_bytes = process->parts[i].zero_bytes = 0;
		return error;
	}
	scale_zero(process, target.zero_pages, placed_by_ksm(process->pid, target.zero_pages));
	process->known = true;
	return 0;
}

/*
 * A frame with n mappings saves n - 1 pages, (n - 1) / n for each mapping. The zero page is one
 * frame, of all of them.
 */
static void share_savings(const struct sksm_frames_count *count, double *shares)
{
	uint64_t zero_pages = 0;
	size_t from, to, i;

	for (from = 0; from < count->used; from = to) {
		uint64_t pfn = SKSM_FRAMES_PACKED_PFN(count->mappings[from]);

		for (to = from; to < count->used; to++)
			if (SKSM_FRAMES_PACKED_PFN(count->mappings[to]) != pfn)
				break;
		for (i = from; i < to; i++)
			shares[SKSM_FRAMES_PACKED_PART(count->mappings[i])] +=
				(double)(to - from - 1) / (double)(to - from);
	}
	for (i = 0; i < count->part_count; i++)
		zero_pages += count->parts[i]->zero_bytes / SKSM_PAGE_BYTES;
	for (i = 0; i < count->part_count && zero_pages; i++)
		shares[i] += (double)(count->parts[i]->zero_bytes / SKSM_PAGE_BYTES) *
			     (double)(zero_pages - 1) / (double)zero_pages;
}

/* Whole pages, rounded so that their sum is the rounded sum. */
static void round_savings(const struct sksm_frames_count *count, const double *shares)
{
	uint64_t given = 0;
	double sum = 0;
	size_t i;

	for (i = 0; i < count->part_count; i++) {
		uint64_t until;

		sum += shares[i];
		until = (uint64_t)(sum + 0.5);
		count->parts[i]->saved_bytes = (until - given) * SKSM_PAGE_BYTES;
		given = until;
	}
}

static int count_all(struct sksm_frames_count *count, struct sksm_frames_process *list,
		     size_t processes)
{
	double *shares;
	size_t i, j, part = 0;

	for (i = 0; i < processes; i++) {
		int error = count_process(count, &list[i], part);

		if (error == -EPERM || error == -ENOMEM)
			return error;
		part += list[i].part_count;
	}
	shares = calloc(part, sizeof(*shares));
	if (!shares)
		return -ENOMEM;
	if (count->used)
		qsort(count->mappings, count->used, sizeof(uint64_t), sksm_frames_compare);
	share_savings(count, shares);
	round_savings(count, shares);
	free(shares);
	for (i = 0; i < processes; i++)
		for (j = 0; j < list[i].part_count; j++)
			list[i].saved_bytes += list[i].parts[j].saved_bytes;
	return 0;
}

/* Every process has a part at least, for all of it. @whole has room for one each. */
static int list_parts(struct sksm_frames_count *count, struct sksm_frames_process *list,
		      size_t processes, struct sksm_frames_part *whole)
{
	size_t total = 0, i, j;

	for (i = 0; i < processes; i++) {
		if (!list[i].parts) {
			list[i].parts = &whole[i];
			list[i].part_count = 1;
		}
		total += list[i].part_count;
	}
	if (total > SKSM_FRAMES_PARTS_MAX)
		return -E2BIG;
	count->parts = calloc(total, sizeof(*count->parts));
	if (!count->parts)
		return -ENOMEM;
	for (i = 0; i < processes; i++)
		for (j = 0; j < list[i].part_count; j++)
			count->parts[count->part_count++] = &list[i].parts[j];
	return 0;
}

static int open_and_count(struct sksm_frames_count *count, struct sksm_frames_process *list,
			  size_t processes)
{
	int error;

	count->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (count->kpageflags < 0)
		return errno == EACCES || errno == ENOENT ? -EPERM : -errno;
	error = sksm_frames_check_flags(count->kpageflags);
	if (!error)
		error = count_all(count, list, processes);
	close(count->kpageflags);
	return error;
}

int sksm_frames_count(struct sksm_frames_process *list, size_t count)
{
	struct sksm_frames_part *whole;
	struct sksm_frames_count *state;
	int error = -ENOMEM;
	size_t i;

	if (!count)
		return 0;
	state = calloc(1, sizeof(*state));
	whole = calloc(count, sizeof(*whole));
	if (state && whole)
		error = list_parts(state, list, count, whole);
	if (!error)
		error = open_and_count(state, list, count);
	for (i = 0; whole && i < count; i++)
		if (list[i].parts == &whole[i]) {
			list[i].parts = NULL;
			list[i].part_count = 0;
		}
	free(whole);
	if (state) {
		free(state->mappings);
		free(state->parts);
	}
	free(state);
	return error;
}

int sksm_frames_able(void)
{
	int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC), error;

	if (kpageflags < 0)
		return -EPERM;
	error = sksm_frames_check_flags(kpageflags);
	close(kpageflags);
	return error;
}
