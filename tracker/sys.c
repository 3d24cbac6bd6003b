/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#if defined(__x86_64__)
long sksm_syscall_real(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
long sksm_syscall_real(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "sksm_syscall: x86-64 and arm64 only"
#endif

#ifdef SKSM_FAULT_BUILD
long sksm_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	if (!sksm_fault_hit(number, b, c, &c, &result))
		return sksm_syscall_real(number, a, b, c, d, e, f);
	/* Whatever it says, the descriptor is gone (close(2)). */
	if (number == SYS_close)
		sksm_syscall_real(number, a, b, c, d, e, f);
	return result;
}
#endif

static int kernel_openat(int dir_fd, const char *path, int flags, unsigned int mode)
{
	return (int)sksm_call4(SYS_openat, dir_fd, path, flags, mode);
}

static int kernel_close(int fd)
{
	return (int)sksm_call1(SYS_close, fd);
}

static ssize_t kernel_pread(int fd, void *buf, size_t size, uint64_t offset)
{
	return sksm_call4(SYS_pread64, fd, buf, size, offset);
}

static ssize_t kernel_read(int fd, void *buf, size_t size)
{
	return sksm_call3(SYS_read, fd, buf, size);
}

static ssize_t kernel_write(int fd, const void *buf, size_t size)
{
	return sksm_call3(SYS_write, fd, buf, size);
}

static int kernel_ftruncate(int fd, uint64_t size)
{
	return (int)sksm_call2(SYS_ftruncate, fd, size);
}

static int kernel_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)sksm_call3(SYS_ioctl, fd, request, arg);
}

static void *kernel_mmap(void *addr, size_t size, int prot, int flags, int fd, uint64_t offset)
{
	return (void *)sksm_call6(SYS_mmap, addr, size, prot, flags, fd, offset);
}

static int kernel_munmap(void *addr, size_t size)
{
	return (int)sksm_call2(SYS_munmap, addr, size);
}

static int kernel_mprotect(void *addr, size_t size, int prot)
{
	return (int)sksm_call3(SYS_mprotect, addr, size, prot);
}

static int kernel_madvise(void *addr, size_t size, int advice)
{
	return (int)sksm_call3(SYS_madvise, addr, size, advice);
}

static ssize_t kernel_copy_memory(void *to, const void *from, size_t size)
{
	struct iovec local = { .iov_base = to, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)from, .iov_len = size };

	/* By the thread: the pid has no memory any more where main's thread has ended. */
	return sksm_call6(SYS_process_vm_readv, sksm_call0(SYS_gettid), &local, 1, &remote, 1, 0);
}

static int kernel_userfaultfd(int flags)
{
	return (int)sksm_call1(SYS_userfaultfd, flags);
}

const struct sksm_sys sksm_sys_kernel = {
	.openat = kernel_openat,
	.close = kernel_close,
	.pread = kernel_pread,
	.read = kernel_read,
	.write = kernel_write,
	.ftruncate = kernel_ftruncate,
	.ioctl = kernel_ioctl,
	.mmap = kernel_mmap,
	.munmap = kernel_munmap,
	.mprotect = kernel_mprotect,
	.madvise = kernel_madvise,
	.copy_memory = kernel_copy_memory,
	.userfaultfd = kernel_userfaultfd,
};

uint64_t sksm_clock_ns(int clock)
{
	struct timespec ts = { 0 };

	sksm_call2(SYS_clock_gettime, clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

ssize_t sksm_read_file(const struct sksm_sys *sys, int dir_fd, const char *path, char *ret,
		       size_t size)
{
	int fd = sys->openat(dir_fd, path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t length;

	if (fd < 0)
		return fd;
	length = sys->read(fd, ret, size - 1);
	sys->close(fd);
	if (length >= 0)
		ret[length] = '\0';
	return length;
}
