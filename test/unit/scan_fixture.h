/* SPDX-License-Identifier: MIT */
/* Armed memory, for the tests of scanning. Everything here asks the running kernel. */
#ifndef SKSM_TEST_SCAN_FIXTURE_H
#define SKSM_TEST_SCAN_FIXTURE_H

#include "inject.h"
#include "unit.h"

#include <sys/wait.h>

#include "tracker/probe.h"
#include "tracker/scan.h"

#define PAGES 64
#define HUGE (2 * MIB)

static int uffd, pagemap_fd;
static struct sksm_page_region runs[512];

static inline void scan_setup(void)
{
	struct sksm_probe probe;

	inject_reset();
	sksm_probe_run(&sksm_sys_kernel, NULL, &probe);
	if (sksm_probe_obstacle(&probe, SKSM_TRACKER_WP))
		unit_skip(sksm_probe_obstacle(&probe, SKSM_TRACKER_WP));
	uffd = sksm_scan_open_uffd(&inject_sys);
	cr_assert_geq(uffd, 0);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(pagemap_fd, 0);
}

/* The categories that the scan tells for the page at @p; 0 where it tells none. */
static inline uint64_t categories(const void *p)
{
	uint64_t start = (uintptr_t)p, walked = 0;
	int n = sksm_scan_look(&inject_sys, pagemap_fd, start, start + PAGE, 0, true, runs,
			       8, &walked);

	cr_assert(n == 0 || n == 1, "%d", n);
	cr_assert_eq(walked, start + PAGE);
	return n ? runs[0].categories : 0;
}

static inline unsigned int count_written(const char *p, unsigned int pages)
{
	uint64_t start = (uintptr_t)p, end = start + pages * PAGE, walked;
	unsigned int count = 0;

	while (start < end) {
		int n = sksm_scan_look(&inject_sys, pagemap_fd, start, end, SKSM_PAGE_IS_WRITTEN,
				       false, runs, 512, &walked);

		cr_assert_geq(n, 0);
		cr_assert_gt(walked, start);
		for (int i = 0; i < n; i++)
			count += (unsigned int)((runs[i].end - runs[i].start) / PAGE);
		start = walked;
	}
	return count;
}

static inline int64_t arm(const char *p, size_t bytes, unsigned int also)
{
	return sksm_scan_arm(&inject_sys, pagemap_fd, (uintptr_t)p, (uintptr_t)p + bytes, also,
			     runs, 512);
}

static inline void watch(const char *p, size_t bytes)
{
	cr_assert_eq(sksm_scan_register(&inject_sys, uffd, (uintptr_t)p, (uintptr_t)p + bytes),
		     0);
}

/* PAGES pages of known content, watched and armed. */
static inline char *make_armed(void)
{
	char *p = unit_map(PAGES * PAGE);

	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(p + i * PAGE, i + 1);
	watch(p, PAGES * PAGE);
	cr_assert_eq(arm(p, PAGES * PAGE, 0), PAGES);
	cr_assert_eq(count_written(p, PAGES), 0);
	return p;
}

static inline int child_status(pid_t pid)
{
	int status = -1;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

#endif
