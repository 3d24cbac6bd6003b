/* SPDX-License-Identifier: MIT */
#include "scan_fixture.h"

TestSuite(scan, .init = scan_setup);

Test(scan, a_write_is_seen_where_it_was)
{
	char *p = make_armed();

	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(p + i * PAGE, i + 1),
			  "arming and reading change nothing");
	cr_assert_eq(count_written(p, PAGES), 0);
	p[5 * PAGE + 77] ^= 1;
	p[40 * PAGE] ^= 1;
	cr_assert_eq(count_written(p, PAGES), 2);
	cr_assert(categories(p + 5 * PAGE) & SKSM_PAGE_IS_WRITTEN);
	cr_assert_not(categories(p + 4 * PAGE) & SKSM_PAGE_IS_WRITTEN);
	/* Looking is not arming; arming again takes just the written ones. */
	cr_assert_eq(count_written(p, PAGES), 2);
	cr_assert_eq(arm(p, PAGES * PAGE, 0), 2);
	cr_assert_eq(count_written(p, PAGES), 0);
	cr_assert_eq(arm(p, PAGES * PAGE, 0), 0);
}

Test(scan, a_write_by_the_kernel_is_seen)
{
	char *p = make_armed();
	int fd = open("/dev/zero", O_RDONLY);

	cr_assert_eq(read(fd, p + 7 * PAGE - 8, 16), 16);
	cr_assert_eq(count_written(p, PAGES), 2);
	cr_assert(unit_page_holds(p + 8 * PAGE, 9));
	cr_assert_eq(p[7 * PAGE], 0);
}

Test(scan, categories_of_pages)
{
	char *p = unit_map(4 * PAGE);
	volatile char *read_only = p + PAGE;

	p[0] = 1;
	cr_assert_eq(read_only[0], 0);
	watch(p, 2 * PAGE);
	cr_assert_eq(categories(p) & (SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_WPALLOWED |
				      SKSM_PAGE_IS_PFNZERO | SKSM_PAGE_IS_FILE |
				      SKSM_PAGE_IS_HUGE),
		     SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_WPALLOWED);
	cr_assert_eq(!!(categories(p + PAGE) & SKSM_PAGE_IS_PFNZERO), unit_reads_zero_page());
	cr_assert_eq(categories(p + 2 * PAGE), 0, "a hole");
	p[3 * PAGE] = 1;
	cr_assert_not(categories(p + 3 * PAGE) & SKSM_PAGE_IS_WPALLOWED, "not registered");
}

Test(scan, the_zero_page_is_armed_only_when_asked_for)
{
	char *p = unit_map(2 * PAGE);
	volatile char *read_only = p + PAGE;

	if (!unit_reads_zero_page())
		unit_skip("what is read gets a page of its own here, not the zero page");
	p[0] = 1;
	cr_assert_eq(read_only[0], 0);
	watch(p, 2 * PAGE);
	cr_assert_eq(arm(p, 2 * PAGE, 0), 1);
	cr_assert_eq(arm(p, 2 * PAGE, SKSM_ARM_ZERO), 1);
	cr_assert_eq(count_written(p, 2), 0);
	p[PAGE] = 1;
	cr_assert_eq(count_written(p, 2), 1);
}

/* Pages of a mapped file are shared with it; only copied ones are armed. */
Test(scan, pages_of_a_file_are_left_alone)
{
	int fd = memfd_create("unit", MFD_CLOEXEC);
	char *p;

	cr_assert_eq(ftruncate(fd, 8 * PAGE), 0);
	p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	for (unsigned int i = 0; i < 8; i++)
		cr_assert_eq(*(volatile char *)(p + i * PAGE), 0);
	p[3 * PAGE] = 1;
	watch(p, 8 * PAGE);
	cr_assert(categories(p) & SKSM_PAGE_IS_FILE);
	cr_assert_not(categories(p + 3 * PAGE) & SKSM_PAGE_IS_FILE);
	cr_assert_eq(arm(p, 8 * PAGE, 0), 1);
	cr_assert_not(categories(p + 3 * PAGE) & SKSM_PAGE_IS_WRITTEN);
	p[3 * PAGE] = 2;
	cr_assert(categories(p + 3 * PAGE) & SKSM_PAGE_IS_WRITTEN);
}

/* Trap 3: without care page tables grow by 8 MiB here. */
Test(scan, holes_are_not_populated)
{
	const size_t bytes = 4ul << 30;
	char *p = unit_map(bytes);
	uint64_t before, after;

	p[0] = p[bytes - 1] = 1;
	before = unit_read_number("/proc/self/status", "VmPTE:");
	watch(p, bytes);
	cr_assert_eq(arm(p, bytes, 0), 2);
	cr_assert_eq(count_written(p, bytes / PAGE), 0);
	cr_assert_eq(arm(p, bytes, SKSM_ARM_HUGE | SKSM_ARM_ZERO), 0);
	after = unit_read_number("/proc/self/status", "VmPTE:");
	cr_assert_gt(before, 0);
	cr_assert_leq(after, before + 64, "VmPTE grew from %lu to %lu kB",
		      (unsigned long)before, (unsigned long)after);
	/* A first write into a hole is seen too. */
	p[bytes / 2] = 1;
	cr_assert_eq(count_written(p, bytes / PAGE), 1);
}

/* The program's mmap waits for the whole of a look. */
Test(scan, one_look_covers_little)
{
	const size_t dense = 160 * MIB, sparse = 8ul << 30;
	char *p = unit_map(dense);
	uint64_t start = (uintptr_t)p, walked = 0, pages = 0, most = 0;
	int n;

	madvise(p, dense, MADV_HUGEPAGE);
	memset(p, 1, dense);
	for (uint64_t at = start; at < start + dense; at = walked) {
		n = sksm_scan_look(&inject_sys, pagemap_fd, at, start + dense, 0, false, runs, 8,
				   &walked);
		cr_assert_gt(n, 0);
		most = walked - at > most ? walked - at : most;
		for (int i = 0; i < n; i++)
			pages += (runs[i].end - runs[i].start) / PAGE;
	}
	cr_assert_eq(walked, start + dense);
	cr_assert_eq(pages, dense / PAGE);
	cr_assert_leq(most, 64 * MIB);
	munmap(p, dense);
	/* Holes cost less. */
	p = unit_map(sparse);
	start = (uintptr_t)p;
	n = sksm_scan_look(&inject_sys, pagemap_fd, start, start + sparse, 0, false, runs, 8,
			   &walked);
	cr_assert_eq(n, 0);
	cr_assert_gt(walked, start + 64 * MIB);
	cr_assert_lt(walked, start + sparse);
}

/* Trap 4: a vector that is full ends the walk, and nothing behind it was examined. */
Test(scan, a_full_vector_is_gone_on_from)
{
	char *p = unit_map(PAGES * PAGE);
	uint64_t start = (uintptr_t)p, end = start + PAGES * PAGE, at = start, walked;
	unsigned int seen = 0, calls = 0;

	for (unsigned int i = 0; i < PAGES; i += 2)
		p[i * PAGE] = 1;
	while (at < end) {
		int n = sksm_scan_look(&inject_sys, pagemap_fd, at, end, 0, false, runs, 5,
				       &walked);

		cr_assert(n >= 0 && n <= 5);
		for (int i = 0; i < n; i++) {
			cr_assert_geq(runs[i].start, at);
			cr_assert_leq(runs[i].end, walked);
		}
		seen += (unsigned int)n;
		cr_assert_gt(walked, at);
		at = walked;
		calls++;
	}
	cr_assert_eq(seen, PAGES / 2);
	cr_assert_gt(calls, 5);
	/* Arming goes on by itself. */
	watch(p, PAGES * PAGE);
	cr_assert_eq(sksm_scan_arm(&inject_sys, pagemap_fd, start, end, 0, runs, 3), PAGES / 2);
	cr_assert_eq(count_written(p, PAGES), 0);
}

/* Trap 8 */
Test(scan, huge_pages_are_armed_only_when_asked_for)
{
	char *p = unit_map(HUGE);

	madvise(p, HUGE, MADV_HUGEPAGE);
	memset(p, 1, HUGE);
	if (!(categories(p) & SKSM_PAGE_IS_HUGE))
		unit_skip("the kernel gave no huge page");
	watch(p, HUGE);
	cr_assert_eq(arm(p, HUGE, 0), 0);
	cr_assert(categories(p) & SKSM_PAGE_IS_HUGE);
	p[PAGE] = 2;
	cr_assert(categories(p) & SKSM_PAGE_IS_HUGE, "a write to it costs nothing");
	cr_assert_eq(arm(p, HUGE, SKSM_ARM_HUGE), HUGE / PAGE);
	cr_assert(categories(p) & SKSM_PAGE_IS_HUGE, "armed as a whole");
	cr_assert_eq(count_written(p, HUGE / PAGE), 0);
	p[9 * PAGE] = 2;
	cr_assert_eq(count_written(p, HUGE / PAGE), 1, "only what was written");
	cr_assert_not(categories(p) & SKSM_PAGE_IS_HUGE, "that is what arming costs");
}

Test(scan, pagemap_entries)
{
	uint64_t entries[4];
	char *p = unit_map(4 * PAGE);
	pid_t pid;
	int go[2];

	p[0] = p[PAGE] = 1;
	cr_assert_eq(sksm_scan_pagemap(&inject_sys, pagemap_fd, (uintptr_t)p, 4, entries), 0);
	cr_assert(entries[0] & SKSM_PM_PRESENT && entries[0] & SKSM_PM_EXCLUSIVE);
	/* With CONFIG_MEM_SOFT_DIRTY a hole in a new mapping has bit 55. */
	cr_assert_eq(entries[2] & ~(1ull << 55), 0);
	/* Trap 2: shared by fork reads 0 in bit 56, until the other one has gone. */
	cr_assert_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit((int)read(go[0], entries, 1));
	}
	cr_assert_eq(sksm_scan_pagemap(&inject_sys, pagemap_fd, (uintptr_t)p, 4, entries), 0);
	cr_assert_not(entries[0] & SKSM_PM_EXCLUSIVE);
	close(go[0]);
	close(go[1]);
	cr_assert_eq(child_status(pid), 0);
	cr_assert_eq(sksm_scan_pagemap(&inject_sys, pagemap_fd, (uintptr_t)p, 4, entries), 0);
	cr_assert(entries[0] & SKSM_PM_EXCLUSIVE);
}

Test(scan, failures_are_handed_on)
{
	char *p = make_armed();
	uint64_t walked = 7, entry;

	inject_arm(INJECT_IOCTL, 1, EFAULT, true);
	cr_assert_eq(sksm_scan_look(&inject_sys, pagemap_fd, (uintptr_t)p, (uintptr_t)p + PAGE, 0,
				    false, runs, 8, &walked), -EFAULT);
	cr_assert_eq(walked, 7);
	cr_assert_eq(arm(p, PAGE, 0), -EFAULT);
	inject_arm(INJECT_PREAD, 1, 0, true);
	cr_assert_eq(sksm_scan_pagemap(&inject_sys, pagemap_fd, (uintptr_t)p, 1, &entry), -EIO);
	inject_arm(INJECT_USERFAULTFD, 1, EPERM, true);
	cr_assert_eq(sksm_scan_open_uffd(&inject_sys), -EPERM);
	inject_arm(INJECT_IOCTL, 1, EINVAL, true);
	walked = unit_count_fds();
	cr_assert_eq(sksm_scan_open_uffd(&inject_sys), -EINVAL);
	cr_assert_eq(unit_count_fds(), walked);
}
