/* SPDX-License-Identifier: MIT */
/*
 * Kernel calls, behind one operations table so that tests can make any of them fail.
 *
 * The functions of the real table are bare system calls: they return the result or -errno and
 * touch neither errno nor any other thread-local variable. Our thread has no libc state of its
 * own (shim/thread.h), so everything in tracker/ that it runs goes through here, and uses no
 * libc function but the string.h ones that work on memory alone.
 */
#ifndef SKSM_SYS_H
#define SKSM_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sksm_sys {
	int (*openat)(int dir_fd, const char *path, int flags, unsigned int mode);
	int (*close)(int fd);
	ssize_t (*pread)(int fd, void *buf, size_t size, uint64_t offset);
	ssize_t (*read)(int fd, void *buf, size_t size);
	ssize_t (*write)(int fd, const void *buf, size_t size);
	int (*ftruncate)(int fd, uint64_t size);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	/* A pointer, or an errno negated: see sksm_is_error. */
	void *(*mmap)(void *addr, size_t size, int prot, int flags, int fd, uint64_t offset);
	int (*munmap)(void *addr, size_t size);
	int (*mprotect)(void *addr, size_t size, int prot);
	int (*madvise)(void *addr, size_t size, int advice);
	/* Copy @size bytes at @from in this process to @to; short or -EFAULT where unmapped. */
	ssize_t (*copy_memory)(void *to, const void *from, size_t size);
	int (*userfaultfd)(int flags);
};

/* The running kernel. */
extern const struct sksm_sys sksm_sys_kernel;

/* True where a pointer returned by ->mmap is an errno; sksm_error tells which (negative). */
static inline _Bool sksm_is_error(const void *pointer)
{
	return (uintptr_t)pointer >= (uintptr_t)-4095;
}

static inline int sksm_error(const void *pointer)
{
	return (int)(intptr_t)pointer;
}

/* A bare system call: the kernel's result, errors as -errno. */
long sksm_syscall_real(long number, long a, long b, long c, long d, long e, long f);

/* The same, unless a test build has it fail (fault.h). */
#ifdef SKSM_FAULT_BUILD
long sksm_syscall(long number, long a, long b, long c, long d, long e, long f);
#else
#define sksm_syscall sksm_syscall_real
#endif

#define sksm_call0(n) sksm_syscall(n, 0, 0, 0, 0, 0, 0)
#define sksm_call1(n, a) sksm_syscall(n, (long)(a), 0, 0, 0, 0, 0)
#define sksm_call2(n, a, b) sksm_syscall(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sksm_call3(n, a, b, c) sksm_syscall(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sksm_call4(n, a, b, c, d) \
	sksm_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sksm_call5(n, a, b, c, d, e) \
	sksm_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define sksm_call6(n, a, b, c, d, e, f) \
	sksm_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Nanoseconds of a clock, by the system call: CLOCK_BOOTTIME, CLOCK_THREAD_CPUTIME_ID... */
uint64_t sksm_clock_ns(int clock);

/* Read the start of a small file (0-terminated, cut at @size - 1). Its length, or -errno. */
ssize_t sksm_read_file(const struct sksm_sys *sys, int dir_fd, const char *path, char *ret,
		       size_t size);

#endif
