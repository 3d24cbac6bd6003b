/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include <errno.h>
#include <fcntl.h>

#include "sys.h"

/* What one look covers at most: 80 to 200 us of what is in memory, and 1 ms of what is not. */
#define LOOK_PAGES 16384u
#define LOOK_BYTES (1ull << 30)

int sksm_scan_open_uffd(const struct sksm_sys *sys)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = SKSM_UFFD_FEATURE_WP_ASYNC | SKSM_UFFD_FEATURE_WP_UNPOPULATED,
	};
	int fd, error;

	fd = sys->userfaultfd(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return fd;
	error = sys->ioctl(fd, UFFDIO_API, &api);
	if (error < 0) {
		sys->close(fd);
		return error;
	}
	return fd;
}

int sksm_scan_register(const struct sksm_sys *sys, int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register arg = {
		.range = { .start = start, .len = end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return sys->ioctl(uffd, UFFDIO_REGISTER, &arg);
}

int sksm_scan_unregister(const struct sksm_sys *sys, int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_range arg = { .start = start, .len = end - start };

	return sys->ioctl(uffd, UFFDIO_UNREGISTER, &arg);
}

int sksm_scan_look(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		   uint64_t must, bool files, struct sksm_page_region *runs, int capacity,
		   uint64_t *ret_walked)
{
	struct sksm_pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end - start > LOOK_BYTES ? start + LOOK_BYTES : end,
		.vec = (uintptr_t)runs,
		.vec_len = (uint64_t)capacity,
		.max_pages = LOOK_PAGES,
		.category_mask = must,
		.category_anyof_mask = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_SWAPPED,
		.return_mask = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_SWAPPED | SKSM_PAGE_IS_WRITTEN |
			       SKSM_PAGE_IS_HUGE | SKSM_PAGE_IS_PFNZERO |
			       SKSM_PAGE_IS_WPALLOWED | (files ? SKSM_PAGE_IS_FILE : 0),
	};
	int n = sys->ioctl(pagemap_fd, SKSM_PAGEMAP_SCAN, &arg);

	if (n < 0)
		return n;
	*ret_walked = arg.walk_end;
	return n;
}

int sksm_scan_unarmed(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		      struct sksm_page_region *runs, int capacity, uint64_t *ret_walked)
{
	struct sksm_pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = (uint64_t)capacity,
		.max_pages = LOOK_PAGES,
		/* Exactly these masks: others take the kernel's slower way. */
		.category_mask = SKSM_PAGE_IS_WRITTEN,
		.return_mask = SKSM_PAGE_IS_WRITTEN,
	};
	int n = sys->ioctl(pagemap_fd, SKSM_PAGEMAP_SCAN, &arg);

	if (n >= 0)
		*ret_walked = arg.walk_end;
	return n;
}

int sksm_scan_arm_runs(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		       unsigned int also, struct sksm_page_region *runs, int capacity,
		       uint64_t *ret_walked)
{
	uint64_t not = (also & SKSM_ARM_FILE ? 0 : SKSM_PAGE_IS_FILE) |
		       (also & SKSM_ARM_HUGE ? 0 : SKSM_PAGE_IS_HUGE) |
		       (also & SKSM_ARM_ZERO ? 0 : SKSM_PAGE_IS_PFNZERO);
	struct sksm_pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = SKSM_PM_SCAN_WP_MATCHING,
		.start = start,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = (uint64_t)capacity,
		.category_inverted = not,
		/* Without PRESENT or SWAPPED the holes would get markers and page tables. */
		.category_mask = SKSM_PAGE_IS_WRITTEN | not,
		.category_anyof_mask = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_SWAPPED,
		.return_mask = SKSM_PAGE_IS_WRITTEN,
	};
	int n = sys->ioctl(pagemap_fd, SKSM_PAGEMAP_SCAN, &arg);

	if (n >= 0)
		*ret_walked = arg.walk_end;
	return n;
}

int64_t sksm_scan_arm(const struct sksm_sys *sys, int pagemap_fd, uint64_t start, uint64_t end,
		      unsigned int also, struct sksm_page_region *runs, int capacity)
{
	int64_t pages = 0;

	while (start < end) {
		uint64_t walked = start;
		int n = sksm_scan_arm_runs(sys, pagemap_fd, start, end, also, runs, capacity,
					   &walked);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			pages += (int64_t)((runs[i].end - runs[i].start) >> SKSM_PAGE_SHIFT);
		if (walked <= start)
			break;
		start = walked;
	}
	return pages;
}

int sksm_scan_pagemap(const struct sksm_sys *sys, int pagemap_fd, uint64_t start,
		      unsigned int pages, uint64_t *ret)
{
	ssize_t size = (ssize_t)(pages * sizeof(*ret));
	ssize_t n = sys->pread(pagemap_fd, ret, (size_t)size, (start >> SKSM_PAGE_SHIFT) * 8);

	if (n < 0)
		return (int)n;
	return n == size ? 0 : -EIO;
}
