/* SPDX-License-Identifier: MIT */
/*
 * mmap and its kin, passed on as they are, but for mremap, which may have to undo first what our
 * marks did to the mapping. They are hints only: the kernel's map is what each pass goes by, since
 * glibc's own mappings, brk and bare system calls never come through here.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "pieces.h"
#include "tracker/sys.h"

static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static void *(*real_mmap64)(void *, size_t, int, int, int, off64_t);
static int (*real_munmap)(void *, size_t);
static void *(*real_mremap)(void *, size_t, size_t, int, ...);

void shim_hooks_resolve(void)
{
	real_mmap = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
	real_mmap64 = (void *(*)(void *, size_t, int, int, int, off64_t))dlsym(RTLD_NEXT,
									      "mmap64");
	real_munmap = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
	real_mremap = (void *(*)(void *, size_t, size_t, int, ...))dlsym(RTLD_NEXT, "mremap");
}

/* What libc does with a system call's result. Before our constructor there is no real function. */
static void *return_pointer(long result)
{
	if (sksm_is_error((void *)result)) {
		errno = (int)-result;
		return MAP_FAILED;
	}
	return (void *)result;
}

/* Is there something to be done for a mapping of @length? May wake the shim. */
static bool is_noted(size_t length)
{
	if (length < shim.options.threshold_bytes || (!shim_active() && !shim_wake()) ||
	    shim.sandboxed)
		return false;
	if (!shim.control->alive)
		shim_child();
	return true;
}

/* Of what is cut out of a mapping, or mapped over it, trifles stay unnoticed. */
#define TRIFLE_PART 16

static void note_gone(void *addr, size_t length)
{
	if (length >= shim.options.threshold_bytes / TRIFLE_PART && shim_active())
		shim_site_unmapped(addr, length);
}

/*
 * Memory of this size that can be read would be registered: time to have a look. What cannot be is
 * a reservation that mprotect may open.
 */
void shim_note_mapping(void *addr, size_t length, int prot, int flags, struct sksm_frame frame)
{
	if (length < shim.options.threshold_bytes && flags & MAP_FIXED)
		note_gone(addr, length);
	if (!is_noted(length))
		return;
	shim_site_mapped(addr, length, flags, frame);
	if (prot & PROT_READ && shim.control->phase == SHIM_IDLE)
		shim_thread_start();
}

SHIM_EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *result;

	if (shim_likely(real_mmap))
		result = real_mmap(addr, length, prot, flags, fd, offset);
	else
		result = return_pointer(sksm_call6(SYS_mmap, addr, length, prot, flags, fd,
						   offset));
	if (result != MAP_FAILED)
		shim_note_mapping(result, length, prot, flags, SKSM_FRAME_OF_CALLER());
	return result;
}

SHIM_EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	void *result;

	if (shim_likely(real_mmap64))
		result = real_mmap64(addr, length, prot, flags, fd, offset);
	else
		result = return_pointer(sksm_call6(SYS_mmap, addr, length, prot, flags, fd,
						   offset));
	if (result != MAP_FAILED)
		shim_note_mapping(result, length, prot, flags, SKSM_FRAME_OF_CALLER());
	return result;
}

SHIM_EXPORT int munmap(void *addr, size_t length)
{
	long result;

	note_gone(addr, length);
	if (shim_likely(real_munmap))
		return real_munmap(addr, length);
	result = sksm_call2(SYS_munmap, addr, length);
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return 0;
}

static bool is_mapped(const void *addr)
{
	unsigned char resident;

	return sksm_call3(SYS_mincore, addr, 1, &resident) != -ENOMEM;
}

/* The kind of mremap that works on several mappings and may stop half-way (since 6.17). */
static bool may_stop_midway(size_t old_length, size_t new_length, int flags)
{
	return flags == (MREMAP_MAYMOVE | MREMAP_FIXED) && old_length == new_length;
}

/*
 * mremap wants one mapping, and ours are cut where runs are marked mergeable or end where we
 * registered: make them one again, as the program knows them. Its own mistakes stay EFAULT.
 */
static void *mremap_joined(void *addr, size_t old_length, size_t new_length, int flags,
			   void *new_addr, bool was_there)
{
	bool begun;

	void *result;

	/* While our thread is away nothing is registered. */
	shim_thread_hold();
	result = real_mremap(addr, old_length, new_length, flags, new_addr);
	if (result == MAP_FAILED && errno == EFAULT && shim.marked) {
		/* Locked memory must not become mergeable by this: unmarking copies instead. */
		sksm_sys_kernel.madvise(addr, old_length,
					shim.sensitive ? MADV_UNMERGEABLE : MADV_MERGEABLE);
		result = real_mremap(addr, old_length, new_length, flags, new_addr);
	}
	begun = was_there && !is_mapped(addr);
	/* What a fork came over stays in pieces. */
	if (result == MAP_FAILED && errno == EFAULT && (shim.marked || begun))
		result = return_pointer(shim_mremap_pieces(addr, old_length, new_length, flags,
							   new_addr, begun));
	shim_thread_release();
	return result;
}

/* Not in a vfork child, which borrows the memory of its parent. */
static bool may_join(void)
{
	if (!shim_active() || !shim.had_thread || shim.sandboxed)
		return false;
	if (!shim.control->alive)
		shim_child();
	return shim.control->pid == (uint32_t)sksm_call0(SYS_getpid);
}

SHIM_EXPORT void *mremap(void *addr, size_t old_length, size_t new_length, int flags, ...)
{
	int saved_errno = errno;
	uint64_t ticket = shim_site_ticket();
	void *new_addr, *result;
	bool was_there;
	va_list args;

	/* As glibc: the argument is there only with MREMAP_FIXED, but reading it harms nobody. */
	va_start(args, flags);
	new_addr = va_arg(args, void *);
	va_end(args);
	if (shim_likely(real_mremap)) {
		was_there = may_stop_midway(old_length, new_length, flags) && may_join() &&
			    is_mapped(addr);
		result = real_mremap(addr, old_length, new_length, flags, new_addr);
		if (result == MAP_FAILED && errno == EFAULT && old_length && may_join())
			result = mremap_joined(addr, old_length, new_length, flags, new_addr,
					       was_there);
	} else {
		result = return_pointer(sksm_call5(SYS_mremap, addr, old_length, new_length, flags,
						   new_addr));
	}
	if (result != MAP_FAILED) {
		errno = saved_errno;
		if (is_noted(new_length) && shim.control->phase == SHIM_IDLE)
			shim_thread_start();
		shim_site_moved(ticket, addr, old_length, result, new_length);
	}
	return result;
}
