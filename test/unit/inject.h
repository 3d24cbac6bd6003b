/* SPDX-License-Identifier: MIT */
/*
 * A struct sksm_sys that forwards to the running kernel, counts calls, and fails those that a
 * test chose. One test program is one translation unit, so the state is a static of this header.
 */
#ifndef SKSM_UNIT_INJECT_H
#define SKSM_UNIT_INJECT_H

#include <stdbool.h>
#include <string.h>

#include "tracker/sys.h"

enum inject_op {
	INJECT_OPENAT,
	INJECT_CLOSE,
	INJECT_PREAD,
	INJECT_READ,
	INJECT_WRITE,
	INJECT_FTRUNCATE,
	INJECT_IOCTL,
	INJECT_MMAP,
	INJECT_MUNMAP,
	INJECT_MPROTECT,
	INJECT_MADVISE,
	INJECT_COPY_MEMORY,
	INJECT_USERFAULTFD,
	INJECT_OPS		/* also: none */
};

static const char *const inject_names[INJECT_OPS] = {
	"openat", "close", "pread", "read", "write", "ftruncate", "ioctl", "mmap", "munmap",
	"mprotect", "madvise", "copy_memory", "userfaultfd",
};

struct inject {
	enum inject_op op;
	unsigned int nth;	/* counted from 1 */
	int error;		/* positive errno; 0: the call does nothing and returns 0 */
	bool sticky;		/* all calls from the nth on */
	unsigned int calls[INJECT_OPS];
	unsigned int failed;
	unsigned int advised[128];	/* madvise calls of more than 0 bytes, by advice */
	void (*before_ioctl)(unsigned long request, void *arg);
	/* In place of the kernel's MADV_MERGE. */
	int (*merge)(char *start, char *end);
	/* What is read of a page map, from the page @first on. */
	void (*entries)(char *first, uint64_t *entries, size_t count);
};

#define INJECT_MADV_MERGE 26
/* No other file that the tracker reads is as long as a page map. */
#define INJECT_PAGEMAP_OFFSET (1ull << 32)

static struct inject inject = { .op = INJECT_OPS };

static inline void inject_reset(void)
{
	memset(&inject, 0, sizeof(inject));
	inject.op = INJECT_OPS;
}

/* Fail the @nth call of @op from now on. */
static inline void inject_arm(enum inject_op op, unsigned int nth, int error, bool sticky)
{
	inject_reset();
	inject.op = op;
	inject.nth = nth;
	inject.error = error;
	inject.sticky = sticky;
}

static inline bool inject_hit(enum inject_op op)
{
	unsigned int call = ++inject.calls[op];

	if (op != inject.op || !inject.nth || call < inject.nth ||
	    (call > inject.nth && !inject.sticky))
		return false;
	inject.failed++;
	return true;
}

static inline int inject_openat(int dir_fd, const char *path, int flags, unsigned int mode)
{
	if (inject_hit(INJECT_OPENAT))
		return -(inject.error ? inject.error : 2);
	return sksm_sys_kernel.openat(dir_fd, path, flags, mode);
}

/* The kernel closes the descriptor even where it reports an error. */
static inline int inject_close(int fd)
{
	bool hit = inject_hit(INJECT_CLOSE);
	int result = sksm_sys_kernel.close(fd);

	return hit ? -inject.error : result;
}

static inline ssize_t inject_pread(int fd, void *buf, size_t size, uint64_t offset)
{
	ssize_t n;

	if (inject_hit(INJECT_PREAD))
		return -inject.error;
	n = sksm_sys_kernel.pread(fd, buf, size, offset);
	if (n > 0 && inject.entries && offset > INJECT_PAGEMAP_OFFSET)
		inject.entries((char *)(uintptr_t)(offset / 8 * 4096), buf, (size_t)n / 8);
	return n;
}

static inline ssize_t inject_read(int fd, void *buf, size_t size)
{
	if (inject_hit(INJECT_READ))
		return -inject.error;
	return sksm_sys_kernel.read(fd, buf, size);
}

static inline ssize_t inject_write(int fd, const void *buf, size_t size)
{
	if (inject_hit(INJECT_WRITE))
		return -inject.error;
	return sksm_sys_kernel.write(fd, buf, size);
}

static inline int inject_ftruncate(int fd, uint64_t size)
{
	if (inject_hit(INJECT_FTRUNCATE))
		return -inject.error;
	return sksm_sys_kernel.ftruncate(fd, size);
}

static inline int inject_ioctl(int fd, unsigned long request, void *arg)
{
	if (inject_hit(INJECT_IOCTL))
		return -inject.error;
	if (inject.before_ioctl)
		inject.before_ioctl(request, arg);
	return sksm_sys_kernel.ioctl(fd, request, arg);
}

static inline void *inject_mmap(void *addr, size_t size, int prot, int flags, int fd,
				uint64_t offset)
{
	if (inject_hit(INJECT_MMAP))
		return (void *)(intptr_t)-(inject.error ? inject.error : 12);
	return sksm_sys_kernel.mmap(addr, size, prot, flags, fd, offset);
}

static inline int inject_munmap(void *addr, size_t size)
{
	if (inject_hit(INJECT_MUNMAP))
		return -inject.error;
	return sksm_sys_kernel.munmap(addr, size);
}

static inline int inject_mprotect(void *addr, size_t size, int prot)
{
	if (inject_hit(INJECT_MPROTECT))
		return -inject.error;
	return sksm_sys_kernel.mprotect(addr, size, prot);
}

static inline int inject_madvise(void *addr, size_t size, int advice)
{
	if (size && advice >= 0 && advice < 128)
		inject.advised[advice]++;
	if (inject_hit(INJECT_MADVISE))
		return -inject.error;
	if (advice == INJECT_MADV_MERGE && inject.merge)
		return inject.merge(addr, (char *)addr + size);
	return sksm_sys_kernel.madvise(addr, size, advice);
}

static inline ssize_t inject_copy_memory(void *to, const void *from, size_t size)
{
	if (inject_hit(INJECT_COPY_MEMORY))
		return -inject.error;
	return sksm_sys_kernel.copy_memory(to, from, size);
}

static inline int inject_userfaultfd(int flags)
{
	if (inject_hit(INJECT_USERFAULTFD))
		return -(inject.error ? inject.error : 1);
	return sksm_sys_kernel.userfaultfd(flags);
}

static const struct sksm_sys inject_sys = {
	.openat = inject_openat,
	.close = inject_close,
	.pread = inject_pread,
	.read = inject_read,
	.write = inject_write,
	.ftruncate = inject_ftruncate,
	.ioctl = inject_ioctl,
	.mmap = inject_mmap,
	.munmap = inject_munmap,
	.mprotect = inject_mprotect,
	.madvise = inject_madvise,
	.copy_memory = inject_copy_memory,
	.userfaultfd = inject_userfaultfd,
};

#endif
