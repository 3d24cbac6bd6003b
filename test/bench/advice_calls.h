/* SPDX-License-Identifier: MIT */
/* For advice.c: memory, bit 56, and calls of MADV_MERGE one by one. */
#ifndef ADVICE_CALLS_H
#define ADVICE_CALLS_H

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tracker/abi.h"
#include "tracker/sys.h"

#define PAGE SKSM_PAGE_BYTES
#define MADV_MERGE SKSM_MADV_MERGE
#define BATCH_BYTES (512 * PAGE)
#define REPETITIONS 9

/* What the tracker's calls of MADV_MERGE took. CPU time: others have work on this CPU too. */
static struct {
	unsigned int count;
	size_t pages;
	uint64_t cpu_ns;
	uint64_t longest_ns;
	size_t longest_pages;
} calls;

static inline char *map_pages(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "memory");
	madvise(memory, size, MADV_NOHUGEPAGE);
	return memory;
}

static inline void fill_unique(char *start, size_t size)
{
	static uint64_t state = 1;

	for (size_t i = 0; i < size; i += sizeof(state)) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(start + i, &state, sizeof(state));
	}
}

/* Pages with more than one mapping, by bit 56. */
static inline size_t count_shared(const char *start, size_t size)
{
	static int fd = -1;
	uint64_t entries[512];
	size_t shared = 0;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (size_t at = 0; at < size; at += sizeof(entries) / 8 * PAGE) {
		if (pread(fd, entries, sizeof(entries),
			  (off_t)(((uintptr_t)start + at) / PAGE * 8)) != sizeof(entries))
			err(1, "pagemap");
		for (size_t i = 0; i < sizeof(entries) / 8; i++)
			shared += (entries[i] & (SKSM_PM_PRESENT | SKSM_PM_EXCLUSIVE)) ==
				  SKSM_PM_PRESENT;
	}
	return shared;
}

static inline int watched_madvise(void *addr, size_t size, int advice)
{
	uint64_t ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int error = sksm_sys_kernel.madvise(addr, size, advice);

	if (advice != MADV_MERGE)
		return error;
	ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - ns;
	calls.cpu_ns += ns;
	calls.count++;
	calls.pages += size / PAGE;
	if (ns > calls.longest_ns) {
		calls.longest_ns = ns;
		calls.longest_pages = size / PAGE;
	}
	return error;
}

/* The kernel's calls, with those of MADV_MERGE noted in @calls. */
static inline const struct sksm_sys *watched_calls(void)
{
	static struct sksm_sys sys;

	sys = sksm_sys_kernel;
	sys.madvise = watched_madvise;
	return &sys;
}

static inline double call_us(char *at)
{
	uint64_t ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);

	if (madvise(at, BATCH_BYTES, MADV_MERGE))
		err(1, "MADV_MERGE");
	return (double)(sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - ns) / 1000;
}

static inline double write_us(char *at)
{
	uint64_t ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (size_t page = 0; page < BATCH_BYTES; page += PAGE)
		((volatile char *)at)[page]++;
	return (double)(sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - ns) / 1000;
}

enum { CANDIDATE, CANDIDATE_WRITE, PLAIN_WRITE, PAIR, KNOWN, AGAIN, COPY, HUGE, STEPS };

static inline void measure_once(double us[STEPS])
{
	char *area = map_pages(6 * BATCH_BYTES), *huge;
	char *one = area, *two = one + BATCH_BYTES, *three = two + BATCH_BYTES;

	fill_unique(one, BATCH_BYTES);
	us[PLAIN_WRITE] = write_us(one);
	us[CANDIDATE] = call_us(one);
	us[CANDIDATE_WRITE] = write_us(one);
	fill_unique(one, BATCH_BYTES);
	memcpy(two, one, BATCH_BYTES);
	memcpy(three, one, BATCH_BYTES);
	call_us(one);
	us[PAIR] = call_us(two);
	us[KNOWN] = call_us(three);
	us[AGAIN] = call_us(three);
	us[COPY] = write_us(three);
	huge = (char *)(((uintptr_t)three + 2 * BATCH_BYTES - 1) & -(uintptr_t)BATCH_BYTES);
	madvise(huge, BATCH_BYTES, MADV_HUGEPAGE);
	fill_unique(huge, BATCH_BYTES);
	us[HUGE] = call_us(huge);
	munmap(area, 6 * BATCH_BYTES);
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* 2 MiB a call, from candidates to copies. Median and longest of some repetitions. */
static inline void measure_calls(void)
{
	static const char *const names[STEPS] = {
		[PLAIN_WRITE] = "512 first writes, never offered",
		[CANDIDATE] = "2 MiB: no twin known",
		[CANDIDATE_WRITE] = "512 first writes to these candidates",
		[PAIR] = "2 MiB: the twin is a candidate",
		[KNOWN] = "2 MiB: the twin is merged already",
		[AGAIN] = "2 MiB: all of it merged already",
		[COPY] = "512 first writes to merged pages",
		[HUGE] = "2 MiB: a huge page, no twin known",
	};
	double us[REPETITIONS][STEPS], list[REPETITIONS];

	for (int i = 0; i < REPETITIONS; i++)
		measure_once(us[i]);
	for (int step = 0; step < STEPS; step++) {
		for (int i = 0; i < REPETITIONS; i++)
			list[i] = us[i][step];
		qsort(list, REPETITIONS, sizeof(*list), compare_doubles);
		printf("result: %-45s median %8.0f us, longest %8.0f us\n", names[step],
		       list[REPETITIONS / 2], list[REPETITIONS - 1]);
	}
}

#endif
