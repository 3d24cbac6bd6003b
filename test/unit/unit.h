/* SPDX-License-Identifier: MIT */
/*
 * What unit tests share: a directory of their own, memory with known content, and questions to
 * the kernel that do not go through the code under test.
 */
#ifndef SKSM_UNIT_H
#define SKSM_UNIT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tracker/abi.h"
#include "tracker/arena.h"
#include "tracker/sys.h"

#define MIB (1ul << 20)
#define PAGE SKSM_PAGE_BYTES

/* Ends the test; the reason is seen in the output of ctest too. */
#define unit_skip(reason) \
	do { \
		fprintf(stderr, "SKIP: %s\n", reason); \
		cr_skip_test("%s", reason); \
	} while (0)

/* Does a page that is read before it was written become the zero page? Some machines have none. */
static inline bool unit_reads_zero_page(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	bool zero;

	zero = p != MAP_FAILED && *(volatile char *)p == 0 &&
	       pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE * sizeof(entry))) ==
		       sizeof(entry) && !(entry & SKSM_PM_EXCLUSIVE);
	close(fd);
	munmap(p, PAGE);
	return zero;
}

static inline uint64_t unit_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void unit_sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/* Each test has its own numbers, the same in every run. */
static inline uint64_t unit_random(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- a directory ---- */

static inline void unit_make_dir(char ret[32])
{
	strcpy(ret, "/tmp/sksm-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(ret));
}

static inline int unit_remove_one(const char *path, const struct stat *st, int flag,
				  struct FTW *ftw)
{
	return remove(path);
}

static inline void unit_remove_dir(const char *path)
{
	nftw(path, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- memory ---- */

static inline void unit_fill_page(void *page, uint64_t content)
{
	uint64_t *words = page, seed = content;

	for (size_t i = 0; i < PAGE / 8; i++)
		words[i] = content ? unit_random(&seed) : 0;
}

static inline bool unit_page_holds(const void *page, uint64_t content)
{
	uint64_t words[PAGE / 8];

	unit_fill_page(words, content);
	return memcmp(page, words, PAGE) == 0;
}

/*
 * Private memory of @bytes, aligned to 2 MiB, with unreadable memory on both sides that is too
 * large to look like the guard of a stack: no neighbour joins it.
 */
static inline char *unit_map(size_t bytes)
{
	char *all = mmap(NULL, bytes + 4 * MIB, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start = (char *)(((uintptr_t)all + 3 * MIB) & ~(2 * MIB - 1));

	cr_assert_neq(all, MAP_FAILED);
	cr_assert_eq(mprotect(start, bytes, PROT_READ | PROT_WRITE), 0);
	madvise(start, bytes, MADV_NOHUGEPAGE);
	return start;
}

/* An arena of @bytes with the calls of @sys. Reserving is the business of arena.c alone. */
static inline void unit_make_arena(struct sksm_arena *arena, const struct sksm_sys *sys,
				   size_t bytes)
{
	void *reservation = sksm_arena_reserve(&sksm_sys_kernel, bytes);

	cr_assert_not_null(reservation);
	sksm_arena_init(arena, sys, reservation, bytes, 0);
}

/* ---- what the kernel says of this process ---- */

static inline unsigned int unit_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static inline unsigned int unit_count_mappings(void)
{
	char buffer[4096];
	unsigned int count = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < n; i++)
			count += buffer[i] == '\n';
	close(fd);
	return count;
}

/* The number behind @name in a file of /proc/self, as "VmPTE:" in "status". 0: not there. */
static inline uint64_t unit_read_number(const char *path, const char *name)
{
	char line[256];
	uint64_t value = 0;
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return value;
}

static inline uint64_t unit_pagemap_entry(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	cr_assert_eq(pread(fd, &entry, 8, (off_t)((uintptr_t)address / PAGE * 8)), 8);
	close(fd);
	return entry;
}

/* The VmFlags of the mapping that holds @address, " rd wr mr ..."; empty where there is none. */
static inline void unit_vm_flags(const void *address, char ret[256])
{
	unsigned long start, end, at = (uintptr_t)address;
	FILE *file = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512];

	ret[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= at && at < end;
		if (here && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(ret, 256, "%.200s", line + 8);
	}
	if (file)
		fclose(file);
}

static inline bool unit_is_mergeable(const void *address)
{
	char flags[256];

	unit_vm_flags(address, flags);
	return strstr(flags, " mg") != NULL;
}

#endif
