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
#include <sys/utsname.h>

#include "pieces.h"
#include "tracker/abi.h"
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

/* Not in a vfork child, which borrows the memory of its parent. */
static bool may_be_cut(void)
{
	if (!shim_active() || !shim.had_thread || shim.sandboxed)
		return false;
	if (!shim.control->alive)
		shim_child();
	return shim.control->pid == (uint32_t)sksm_call0(SYS_getpid);
}

/* Nothing of a program lies behind it, unless it asks for 5-level page tables. */
#define ADDRESS_END ((1ull << 47) - SKSM_PAGE_BYTES)

/*
 * Several mappings? What can never be is asked for: to grow to the end of all addresses without
 * moving. That fails over one mapping as well (ENOMEM), and changes nothing.
 */
static bool is_cut(uint64_t start, uint64_t bytes)
{
	const uint64_t most = ADDRESS_END - start;
	long result;

	if (start >= ADDRESS_END || bytes >= most)
		return false;
	result = sksm_call5(SYS_mremap, start, bytes, most, 0, 0);
	/* It was the last mapping of all. */
	if (!sksm_is_error((void *)result))
		sksm_call5(SYS_mremap, start, most, bytes, 0, 0);
	return result == -EFAULT;
}

/*
 * A move to a fixed address that the kernel refuses before it looks at any mapping, and changes
 * nothing (mm/mremap.c, check_mremap_params). Piece by piece some of it would succeed.
 */
static bool is_refused(const void *addr, size_t old_length, size_t new_length, int flags,
		       const void *new_addr)
{
	const uint64_t mask = SKSM_PAGE_BYTES - 1;
	const uint64_t from = (uintptr_t)addr, old_bytes = (old_length + mask) & ~mask;
	const uint64_t to = (uintptr_t)new_addr, new_bytes = (new_length + mask) & ~mask;

	if (!(flags & MREMAP_FIXED))
		return false;
	/* Whole pages are compared since 6.17, and before that what the program said. */
	if (flags & MREMAP_DONTUNMAP &&
	    (old_bytes != new_bytes || (old_length != new_length && !shim_is_6_17())))
		return true;
	return !(flags & MREMAP_MAYMOVE) || !old_bytes || !new_bytes || (from | to) & mask ||
	       new_bytes > ADDRESS_END || to > ADDRESS_END - new_bytes ||
	       (to < from + old_bytes && from < to + new_bytes);
}

/*
 * A move to a fixed address changes things before it fails over several mappings. Since 6.17 it
 * takes them, and stops half-way at one that is registered, unless that is the first. Before, it
 * has unmapped the target by then, where another thread may map something at once, and what lies
 * beyond a smaller length. So look before.
 */
static bool would_stop_midway(void *addr, size_t old_length, int flags)
{
	return flags & MREMAP_FIXED && may_be_cut() && is_cut((uintptr_t)addr, old_length);
}

/*
 * mremap wants one mapping, and ours are cut where runs are marked mergeable or end where we
 * registered. Marks stay: the pieces are moved, with our thread at work. Without marks it has to be
 * the thread's registrations, which go away with it, or the program's own mistake, which stays one.
 * Where no process can be made for it, or it finds no map, descriptor or addresses, marks go too.
 */
static void *mremap_cut(void *addr, size_t old_length, size_t new_length, int flags,
			void *new_addr)
{
	void *result = MAP_FAILED;

	if (shim.marked && !(flags & MREMAP_DONTUNMAP)) {
		result = return_pointer(shim_mremap_pieces(addr, old_length, new_length, flags,
							   new_addr));
		if (result != MAP_FAILED ||
		    (errno != EFAULT && (errno != ENOMEM || !(flags & MREMAP_MAYMOVE) ||
					 flags & MREMAP_FIXED)))
			return result;
	}
	shim_thread_hold();
	errno = EFAULT;
	if (!would_stop_midway(addr, old_length, flags))
		result = real_mremap(addr, old_length, new_length, flags, new_addr);
	if (result == MAP_FAILED && errno == EFAULT)
		result = return_pointer(shim_mremap_pieces(addr, old_length, new_length, flags,
							   new_addr));
	if (result == MAP_FAILED && (errno == EFAULT || errno == ENOMEM)) {
		if (shim.marked && !shim.options.keeps_marks)
			sksm_sys_kernel.madvise(addr, old_length, MADV_UNMERGEABLE);
		/* If it was a mistake: what the kernel makes of it. */
		result = real_mremap(addr, old_length, new_length, flags, new_addr);
	}
	shim_thread_release();
	return result;
}

/*
 * Our thread cut the mapping between the question and the call. Is the target still the caller's?
 */
static bool has_target(void *target, size_t bytes, int flags)
{
	return !(flags & MREMAP_FIXED) || shim_take_target((uintptr_t)target, bytes);
}

SHIM_EXPORT void *mremap(void *addr, size_t old_length, size_t new_length, int flags, ...)
{
	int saved_errno = errno;
	uint64_t ticket = shim_site_ticket();
	void *new_addr, *result;
	va_list args;

	/* As glibc: the argument is there only with MREMAP_FIXED, but reading it harms nobody. */
	va_start(args, flags);
	new_addr = va_arg(args, void *);
	va_end(args);
	if (shim_likely(real_mremap)) {
		bool is_ours = old_length &&
			       !is_refused(addr, old_length, new_length, flags, new_addr);

		if (is_ours && would_stop_midway(addr, old_length, flags)) {
			result = mremap_cut(addr, old_length, new_length, flags, new_addr);
		} else {
			result = real_mremap(addr, old_length, new_length, flags, new_addr);
			if (result == MAP_FAILED && errno == EFAULT && is_ours && may_be_cut() &&
			    has_target(new_addr, new_length, flags))
				result = mremap_cut(addr, old_length, new_length, flags, new_addr);
		}
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
