/* SPDX-License-Identifier: MIT */
/*
 * Kernel interfaces that are newer than the headers we build with: linux-libc-dev of Debian 12 is
 * from 6.1. Values are the kernel's user-space ABI (include/uapi/linux/fs.h, userfaultfd.h of
 * 6.12); names carry our prefix so that newer headers do not clash.
 */
#ifndef SKSM_ABI_H
#define SKSM_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>

#define SKSM_PAGE_SHIFT 12
#define SKSM_PAGE_BYTES 4096ul

/* PAGEMAP_SCAN, since 6.7 */
struct sksm_page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct sksm_pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define SKSM_PAGEMAP_SCAN _IOWR('f', 16, struct sksm_pm_scan_arg)
#define SKSM_PM_SCAN_WP_MATCHING (1u << 0)
#define SKSM_PM_SCAN_CHECK_WPASYNC (1u << 1)

#define SKSM_PAGE_IS_WPALLOWED (1u << 0)
#define SKSM_PAGE_IS_WRITTEN (1u << 1)
#define SKSM_PAGE_IS_FILE (1u << 2)
#define SKSM_PAGE_IS_PRESENT (1u << 3)
#define SKSM_PAGE_IS_SWAPPED (1u << 4)
#define SKSM_PAGE_IS_PFNZERO (1u << 5)
#define SKSM_PAGE_IS_HUGE (1u << 6)

/* PROCMAP_QUERY, since 6.11 */
struct sksm_procmap_query {
	__u64 size;
	__u64 query_flags;
	__u64 query_addr;
	__u64 vma_start;
	__u64 vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 vma_name_size;
	__u32 build_id_size;
	__u64 vma_name_addr;
	__u64 build_id_addr;
};

#define SKSM_PROCMAP_QUERY _IOWR('f', 17, struct sksm_procmap_query)
#define SKSM_PROCMAP_READABLE 0x01u
#define SKSM_PROCMAP_WRITABLE 0x02u
#define SKSM_PROCMAP_EXECUTABLE 0x04u
#define SKSM_PROCMAP_SHARED 0x08u
#define SKSM_PROCMAP_COVERING_OR_NEXT 0x10u

/* sched_setattr: the first version of it */
struct sksm_sched_attr {
	__u32 size;
	__u32 policy;
	__u64 flags;
	__s32 nice;
	__u32 priority;
	__u64 runtime_ns;	/* of fair policies: the slice, 0.1 to 100 ms, since 6.12 */
	__u64 deadline_ns;
	__u64 period_ns;
};
#define SKSM_SCHED_KEEP_POLICY 0x08u

/* userfaultfd */
#define SKSM_UFFD_FEATURE_WP_UNPOPULATED (1u << 13)
#define SKSM_UFFD_FEATURE_WP_ASYNC (1u << 15)

/* /proc/PID/pagemap entries */
#define SKSM_PM_EXCLUSIVE (1ull << 56)
#define SKSM_PM_UFFD_WP (1ull << 57)
#define SKSM_PM_GUARD (1ull << 58)	/* since 6.15 */
#define SKSM_PM_FILE (1ull << 61)
#define SKSM_PM_SWAP (1ull << 62)
#define SKSM_PM_PRESENT (1ull << 63)

/* The advice of the March 2025 proposal; EINVAL where the kernel has none. */
#define SKSM_MADV_MERGE 26

#endif
