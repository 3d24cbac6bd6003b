/* SPDX-License-Identifier: MIT */
/*
 * The stack of the calling thread, as addresses of code. For hooks: async-signal-safe, takes no
 * lock, allocates nothing, no libc state, about 1 KiB of stack. x86-64 only; elsewhere the caller
 * alone is told.
 *
 * What a program's frames say of themselves may be wrong (assembly), so nothing is read before it
 * is known that it can be: the page of the first frame is in use; of any other the kernel is asked.
 */
#ifndef SKSM_UNWIND_H
#define SKSM_UNWIND_H

#include <dlfcn.h>
#include <stdint.h>

#define SKSM_UNWIND_RULES 1024

/* Rules that were found before. All zeros: none. Any number of threads may use one. */
struct sksm_unwind_cache {
	uint64_t word[SKSM_UNWIND_RULES][2];
};

struct sksm_unwinder {
	/* glibc's _dl_find_object (2.35): lock-free and async-signal-safe. */
	int (*find_object)(void *pc, struct dl_find_object *ret);
	struct sksm_unwind_cache *cache;
};

/* The caller of a function: where it goes on, and its registers then. */
struct sksm_frame {
	uint64_t pc;
	uint64_t sp;
	uint64_t bp;
};

/* The caller of the function that this is used in. */
#if defined(__x86_64__)
#define SKSM_FRAME_OF_CALLER() \
	((struct sksm_frame){ \
		.pc = (uintptr_t)__builtin_return_address(0), \
		.sp = (uintptr_t)__builtin_frame_address(0) + 16, \
		.bp = *(uintptr_t *)__builtin_frame_address(0), \
	})
#else
#define SKSM_FRAME_OF_CALLER() \
	((struct sksm_frame){ .pc = (uintptr_t)__builtin_return_address(0) })
#endif

/*
 * Up to @max addresses into @ret (NULL: nowhere), @frame's own first; how many. Each lies within
 * the instruction that called (or, below a signal handler, was interrupted). *ret_hash is of them
 * and of the objects they are in.
 */
unsigned int sksm_unwind(const struct sksm_unwinder *unwinder, struct sksm_frame frame,
			 uint64_t *ret, unsigned int max, uint64_t *ret_hash);

#endif
