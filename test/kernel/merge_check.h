/* SPDX-License-Identifier: MIT */
/*
 * For the tests of madvise(MADV_MERGE): what the kernel says of pages, and TAP-like output as
 * kselftest has it. Nothing of SKSM itself is used. As root, for frame numbers and sysfs.
 */
#ifndef MERGE_CHECK_H
#define MERGE_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MADV_MERGE 26
#define PAGE 4096ul
#define HUGE (2ul << 20)
#define PM_PFN ((1ull << 55) - 1)
#define PM_EXCLUSIVE (1ull << 56)
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)
#define KSM "/sys/kernel/mm/ksm/"

static int checks, failures;

#define check(condition, ...) do { \
	bool holds = (condition); \
	checks++; \
	failures += !holds; \
	printf("%sok %d ", holds ? "" : "not ", checks); \
	printf(__VA_ARGS__); \
	printf(holds ? "\n" : "  (%s, line %d, errno %d)\n", #condition, __LINE__, errno); \
} while (0)

static inline void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline int finish(void)
{
	printf("1..%d\n", checks);
	return failures || !checks;
}

static inline void *map(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		die("mmap");
	return pages;
}

static inline int merge(void *at, size_t bytes)
{
	return madvise(at, bytes, MADV_MERGE) ? -errno : 0;
}

/* Content number @n, the same on each call. */
static inline void fill(void *page, uint64_t n)
{
	uint64_t *words = page;

	for (size_t i = 0; i < PAGE / sizeof(*words); i++)
		words[i] = (n + 1) * 0x9e3779b97f4a7c15ull ^ i * 0xbf58476d1ce4e5b9ull;
}

static inline bool has(const void *page, uint64_t n)
{
	uint64_t expected[PAGE / sizeof(uint64_t)];

	fill(expected, n);
	return !memcmp(page, expected, PAGE);
}

static inline uint64_t entry(const void *page)
{
	static int fd = -1;
	static pid_t of;
	uint64_t value;

	if (of != getpid()) {
		if (fd >= 0)
			close(fd);
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		of = getpid();
	}
	if (pread(fd, &value, sizeof(value), (off_t)((uintptr_t)page / PAGE * sizeof(value))) !=
	    sizeof(value))
		die("pagemap");
	return value;
}

static inline uint64_t frame(const void *page)
{
	uint64_t value = entry(page);

	return value & PM_PRESENT ? value & PM_PFN : 0;
}

/* In memory, and mapped here only. */
static inline bool alone(const void *page)
{
	return (entry(page) & (PM_PRESENT | PM_EXCLUSIVE)) == (PM_PRESENT | PM_EXCLUSIVE);
}

static inline bool same_frame(const void *a, const void *b)
{
	return frame(a) && frame(a) == frame(b);
}

/* A number in a file, or behind @name in a file of "name number" lines; -1: not there. */
static inline long number(const char *path, const char *name)
{
	char line[256];
	long value = -1;
	FILE *file = fopen(path, "r");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		size_t length = name ? strlen(name) : 0;

		if (name &&
		    (strncmp(line, name, length) || (line[length] != ' ' && line[length] != ':')))
			continue;
		value = strtol(line + length + (name ? 1 : 0), NULL, 10);
		break;
	}
	fclose(file);
	return value;
}

static inline long stat_of_self(const char *name)
{
	return number("/proc/self/ksm_stat", name);
}

static inline void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* Exit status 77 where the kernel has no such advice. */
static inline void need_merge(void)
{
	void *page = map(PAGE);

	if (getuid()) {
		printf("SKIP: needs root\n");
		exit(77);
	}
	if (merge(page, PAGE) == -EINVAL) {
		printf("SKIP: this kernel has no MADV_MERGE\n");
		exit(77);
	}
	munmap(page, PAGE);
}

#endif
