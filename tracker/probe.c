/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "abi.h"
#include "fault.h"
#include "scan.h"
#include "sys.h"

#define MERGE_TRIES 4

static const struct {
	const char *name;
	const char *text;
} abilities[SKSM_ABILITIES] = {
	[SKSM_ABLE_PROC] = { "proc", "/proc is mounted and shows our own page map" },
	[SKSM_ABLE_PAGEMAP_SCAN] = { "pagemap_scan",
		"PAGEMAP_SCAN finds written pages (since 6.7)" },
	[SKSM_ABLE_USERFAULTFD] = { "userfaultfd", "userfaultfd for user-mode faults" },
	[SKSM_ABLE_WP_ASYNC] = { "wp_async",
		"write-protection that the kernel resolves itself (since 6.7)" },
	[SKSM_ABLE_ARM] = { "arm", "a write to a protected page is seen" },
	[SKSM_ABLE_PROCMAP_QUERY] = { "procmap_query",
		"the memory map without parsing text (since 6.11)" },
	[SKSM_ABLE_READ] = { "read", "process_vm_readv on our own memory" },
	[SKSM_ABLE_EXCLUSIVE] = { "exclusive",
		"pagemap tells shared from exclusive pages (since 4.2)" },
	[SKSM_ABLE_KSM] = { "ksm", "the kernel has KSM: madvise(MADV_MERGEABLE)" },
	[SKSM_ABLE_MADV_MERGE] = { "madv_merge",
		"madvise(MADV_MERGE) merges synchronously (no released kernel)" },
};

const char *sksm_ability_name(enum sksm_ability ability)
{
	return abilities[ability].name;
}

const char *sksm_ability_text(enum sksm_ability ability)
{
	return abilities[ability].text;
}

/* Where the pages tried on are: two, so that a neighbour is seen to stay untouched. */
struct bench {
	const struct sksm_sys *sys;
	struct sksm_probe *probe;
	volatile char *pages;
	int pagemap_fd;
	int uffd;
};

static void note(struct bench *bench, enum sksm_ability ability, long result)
{
	if (sksm_fault_masked(ability))
		result = -EOPNOTSUPP;
	bench->probe->error[ability] = result < 0 ? (int)-result : 0;
}

static void probe_scan(struct bench *bench)
{
	uint64_t start = (uintptr_t)bench->pages, walked;
	uint64_t end = start + 2 * SKSM_PAGE_BYTES;
	struct sksm_page_region runs[4];
	uint64_t entries[2];
	int n;

	n = sksm_scan_look(bench->sys, bench->pagemap_fd, start, end, 0, false, runs, 4,
			   &walked);
	if (n >= 0 && (n == 0 || walked != end))
		n = -ENODATA;
	note(bench, SKSM_ABLE_PAGEMAP_SCAN, n);

	n = sksm_scan_pagemap(bench->sys, bench->pagemap_fd, start, 2, entries);
	if (n == 0 && !(entries[0] & SKSM_PM_EXCLUSIVE))
		n = -ENODATA;
	note(bench, SKSM_ABLE_EXCLUSIVE, n);
}

/* Arm both pages, write one: exactly that one must read as written. */
static void probe_arm(struct bench *bench)
{
	uint64_t start = (uintptr_t)bench->pages, walked;
	uint64_t end = start + 2 * SKSM_PAGE_BYTES;
	struct sksm_page_region runs[4];
	int64_t armed;
	int n;

	n = sksm_scan_register(bench->sys, bench->uffd, start, end);
	if (n < 0) {
		note(bench, SKSM_ABLE_ARM, n);
		return;
	}
	armed = sksm_scan_arm(bench->sys, bench->pagemap_fd, start, end, 0, runs, 4);
	if (armed != 2) {
		note(bench, SKSM_ABLE_ARM, armed < 0 ? armed : -ENODATA);
		return;
	}
	bench->pages[0] = 2;
	n = sksm_scan_look(bench->sys, bench->pagemap_fd, start, end, SKSM_PAGE_IS_WRITTEN, false,
			   runs, 4, &walked);
	if (n >= 0 && (n != 1 || runs[0].start != start ||
		       runs[0].end != start + SKSM_PAGE_BYTES))
		n = -ENODATA;
	note(bench, SKSM_ABLE_ARM, n);
}

static void probe_uffd(struct bench *bench)
{
	int fd = bench->sys->userfaultfd(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	note(bench, SKSM_ABLE_USERFAULTFD, fd);
	if (fd < 0)
		return;
	bench->sys->close(fd);
	bench->uffd = sksm_scan_open_uffd(bench->sys);
	note(bench, SKSM_ABLE_WP_ASYNC, bench->uffd);
	if (bench->uffd < 0)
		return;
	if (!bench->probe->error[SKSM_ABLE_PAGEMAP_SCAN])
		probe_arm(bench);
	bench->sys->close(bench->uffd);
}

/* 1: both pages are one frame, 0: they are not; -errno. */
static int are_merged(struct bench *bench)
{
	uint64_t entries[2];
	int error = sksm_scan_pagemap(bench->sys, bench->pagemap_fd, (uintptr_t)bench->pages, 2,
				      entries);

	return error ? error : (entries[0] & entries[1] & SKSM_PM_PRESENT) &&
	       !((entries[0] | entries[1]) & SKSM_PM_EXCLUSIVE);
}

/* Two pages that nobody else has, offered one after the other. 0, -errno; -ENODATA: not merged. */
static int try_merge(struct bench *bench)
{
	volatile uint64_t *words = (volatile uint64_t *)bench->pages;
	size_t second = SKSM_PAGE_BYTES / sizeof(*words);
	uint64_t value = sksm_clock_ns(CLOCK_MONOTONIC) ^ (uintptr_t)bench->pages << 20;
	int error, merged;

	/* New pages: the kernel may hold on to old ones for a moment (its per-CPU lists). */
	error = bench->sys->madvise((void *)(uintptr_t)words, 2 * SKSM_PAGE_BYTES, MADV_DONTNEED);
	if (error)
		return error;
	words[0] = words[second] = value;
	error = bench->sys->madvise((void *)(uintptr_t)words, SKSM_PAGE_BYTES, SKSM_MADV_MERGE);
	if (!error)
		error = bench->sys->madvise((void *)(uintptr_t)(words + second), SKSM_PAGE_BYTES,
					    SKSM_MADV_MERGE);
	merged = error ? error : are_merged(bench);
	if (merged <= 0)
		return merged ? merged : -ENODATA;
	words[0] = value + 1;
	merged = are_merged(bench);
	if (merged < 0)
		return merged;
	return !merged && words[0] == value + 1 && words[second] == value ? 0 : -EIO;
}

/* The advice is what we take it for only where it merged, and a write undid that. */
static void probe_merge(struct bench *bench)
{
	int error = -ENODATA;

	for (int i = 0; i < MERGE_TRIES && error == -ENODATA; i++)
		error = try_merge(bench);
	note(bench, SKSM_ABLE_MADV_MERGE, error);
}

static void probe_proc(struct bench *bench)
{
	struct sksm_procmap_query query = {
		.size = sizeof(query),
		.query_addr = (uintptr_t)bench->pages,
	};
	int fd;

	bench->pagemap_fd = bench->sys->openat(AT_FDCWD, "/proc/thread-self/pagemap",
					       O_RDONLY | O_CLOEXEC, 0);
	note(bench, SKSM_ABLE_PROC, bench->pagemap_fd);
	if (bench->pagemap_fd < 0)
		return;
	probe_scan(bench);
	probe_uffd(bench);
	probe_merge(bench);
	bench->sys->close(bench->pagemap_fd);

	fd = bench->sys->openat(AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		note(bench, SKSM_ABLE_PROCMAP_QUERY, fd);
		return;
	}
	note(bench, SKSM_ABLE_PROCMAP_QUERY,
	     bench->sys->ioctl(fd, SKSM_PROCMAP_QUERY, &query));
	bench->sys->close(fd);
}

static void *map_pages(const struct sksm_sys *sys, struct sksm_probe *ret)
{
	void *pages = sys->mmap(NULL, 2 * SKSM_PAGE_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!sksm_is_error(pages))
		return pages;
	for (int i = 0; i < SKSM_ABILITIES; i++)
		ret->error[i] = -sksm_error(pages);
	return NULL;
}

void sksm_probe_run(const struct sksm_sys *sys, void *pages, struct sksm_probe *ret)
{
	struct bench bench = { .sys = sys, .probe = ret, .pagemap_fd = -1, .uffd = -1 };
	bool mapped = !pages;
	char copy[16];
	ssize_t n;

	for (int i = 0; i < SKSM_ABILITIES; i++)
		ret->error[i] = EOPNOTSUPP;
	if (mapped)
		pages = map_pages(sys, ret);
	if (!pages)
		return;
	bench.pages = pages;
	bench.pages[0] = 1;
	bench.pages[SKSM_PAGE_BYTES] = 1;

	probe_proc(&bench);
	n = sys->copy_memory(copy, pages, sizeof(copy));
	note(&bench, SKSM_ABLE_READ, n < 0 ? n : n == sizeof(copy) ? 0 : -EIO);
	/* An empty range: the advice is checked, and ksmd gets no process to visit. */
	note(&bench, SKSM_ABLE_KSM, sys->madvise(pages, 0, MADV_MERGEABLE));
	if (mapped)
		sys->munmap(pages, 2 * SKSM_PAGE_BYTES);
}

enum sksm_engine_kind sksm_probe_engine(const struct sksm_probe *probe,
					const struct sksm_options *options)
{
	bool have_merge = !probe->error[SKSM_ABLE_MADV_MERGE];
	bool have_ksm = !probe->error[SKSM_ABLE_KSM];

	if (options->mode != SKSM_MODE_MERGE)
		return SKSM_ENGINE_NONE;
	switch (options->engine) {
	case SKSM_ENGINE_AUTO:
		return have_merge ? SKSM_ENGINE_SKSM : have_ksm ? SKSM_ENGINE_KSM :
		       SKSM_ENGINE_NONE;
	case SKSM_ENGINE_SKSM:
		return have_merge ? SKSM_ENGINE_SKSM : SKSM_ENGINE_NONE;
	case SKSM_ENGINE_KSM:
		return have_ksm ? SKSM_ENGINE_KSM : SKSM_ENGINE_NONE;
	case SKSM_ENGINE_NONE:
		break;
	}
	return SKSM_ENGINE_NONE;
}

const char *sksm_probe_obstacle(const struct sksm_probe *probe, enum sksm_tracker_kind kind)
{
	static const struct {
		enum sksm_ability ability;
		bool by_digest;
		const char *reason;
	} needed[] = {
		{ SKSM_ABLE_PROC, true, "/proc is not there or shows no page map" },
		{ SKSM_ABLE_PAGEMAP_SCAN, false, "the kernel has no PAGEMAP_SCAN (needs 6.7)" },
		{ SKSM_ABLE_USERFAULTFD, false, "userfaultfd is refused" },
		{ SKSM_ABLE_WP_ASYNC, false, "userfaultfd has no WP_ASYNC (needs 6.7)" },
		{ SKSM_ABLE_ARM, false, "write-protection by PAGEMAP_SCAN does not work" },
		{ SKSM_ABLE_READ, true, "process_vm_readv is refused" },
		{ SKSM_ABLE_EXCLUSIVE, true, "pagemap does not tell exclusive pages" },
	};

	for (unsigned int i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (probe->error[needed[i].ability] &&
		    (needed[i].by_digest || kind != SKSM_TRACKER_DIGEST))
			return needed[i].reason;
	return NULL;
}

enum sksm_tracker_kind sksm_probe_tracker(const struct sksm_probe *probe,
					  const struct sksm_options *options)
{
	if (options->tracker != SKSM_TRACKER_AUTO)
		return options->tracker;
	return sksm_probe_obstacle(probe, SKSM_TRACKER_WP) ? SKSM_TRACKER_DIGEST : SKSM_TRACKER_WP;
}
