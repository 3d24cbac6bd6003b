/* SPDX-License-Identifier: MIT */
/*
 * glibc maps memory for large allocations by a call of its own, which reaches no hook of mmap; who
 * asked for it is seen here only. The functions are passed on as they are, by a compare and a jump,
 * but for sizes that are worth a mapping: there, what glibc notes before the block tells whether it
 * is one. Another allocator's is left alone: it maps through our hooks.
 *
 * free is not hooked: the kernel's map tells what is gone.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tracker/abi.h"

#define NOINLINE __attribute__((noinline))
/* In the size of a block of glibc: it is a mapping; and all that is not its size. */
#define CHUNK_IS_MAPPED 2u
#define CHUNK_FLAGS 7u

/* glibc's own, for dlsym itself where it allocates (before 2.34). */
extern void *__libc_malloc(size_t size) __attribute__((weak));
extern void *__libc_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__libc_realloc(void *old, size_t size) __attribute__((weak));

static void *first_malloc(size_t size);
static void *first_calloc(size_t count, size_t size);
static void *first_realloc(void *old, size_t size);
static void *first_memalign(size_t align, size_t size);
static void *first_aligned_alloc(size_t align, size_t size);
static int first_posix_memalign(void **ret, size_t align, size_t size);

/* The loader calls malloc before any constructor runs: the first call finds the next one. */
static void *(*real_malloc)(size_t) = first_malloc;
static void *(*real_calloc)(size_t, size_t) = first_calloc;
static void *(*real_realloc)(void *, size_t) = first_realloc;
static void *(*real_memalign)(size_t, size_t) = first_memalign;
static void *(*real_aligned_alloc)(size_t, size_t) = first_aligned_alloc;
static int (*real_posix_memalign)(void **, size_t, size_t) = first_posix_memalign;
static bool resolving;

/* Sizes from here on are looked at. */
static size_t noted_bytes = SIZE_MAX;

static void *find_next(const char *name)
{
	void *found;

	resolving = true;
	found = dlsym(RTLD_NEXT, name);
	resolving = false;
	return found;
}

static void *first_malloc(size_t size)
{
	if (resolving)
		return __libc_malloc ? __libc_malloc(size) : NULL;
	real_malloc = (void *(*)(size_t))find_next("malloc");
	return real_malloc(size);
}

static void *first_calloc(size_t count, size_t size)
{
	if (resolving)
		return __libc_calloc ? __libc_calloc(count, size) : NULL;
	real_calloc = (void *(*)(size_t, size_t))find_next("calloc");
	return real_calloc(count, size);
}

static void *first_realloc(void *old, size_t size)
{
	if (resolving)
		return __libc_realloc ? __libc_realloc(old, size) : NULL;
	real_realloc = (void *(*)(void *, size_t))find_next("realloc");
	return real_realloc(old, size);
}

static void *first_memalign(size_t align, size_t size)
{
	real_memalign = (void *(*)(size_t, size_t))find_next("memalign");
	return real_memalign(align, size);
}

static void *first_aligned_alloc(size_t align, size_t size)
{
	real_aligned_alloc = (void *(*)(size_t, size_t))find_next("aligned_alloc");
	return real_aligned_alloc(align, size);
}

static int first_posix_memalign(void **ret, size_t align, size_t size)
{
	real_posix_memalign = (int (*)(void **, size_t, size_t))find_next("posix_memalign");
	return real_posix_memalign(ret, align, size);
}

#define RESOLVE(name) \
	if (real_##name == first_##name) \
		real_##name = (__typeof__(real_##name))find_next(#name);

static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/*
 * Looking a function up takes the loader's lock. dlopen holds it while constructors run, and one of
 * them may wait for a thread that it made. So nothing is left to be looked up once there is a
 * second thread.
 */
SHIM_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			       void *(*function)(void *), void *arg)
{
	if (shim_likely(real_pthread_create))
		return real_pthread_create(thread, attr, function, arg);
	shim_count_resolve();
	RESOLVE(malloc)
	RESOLVE(calloc)
	RESOLVE(realloc)
	RESOLVE(memalign)
	RESOLVE(aligned_alloc)
	RESOLVE(posix_memalign)
	real_pthread_create = (__typeof__(real_pthread_create))find_next("pthread_create");
	return real_pthread_create ? real_pthread_create(thread, attr, function, arg) : EAGAIN;
}

void shim_malloc_start(void)
{
	RESOLVE(malloc)
	if (shim.options.backtrace_frames && shim.unwinder.find_object &&
	    real_malloc == __libc_malloc)
		noted_bytes = shim.options.threshold_bytes;
}

/* Before a block of glibc: what lies before it in its mapping, and its size. */
static void note_block(const void *block, size_t size, struct sksm_frame frame)
{
	const size_t *chunk = (const size_t *)block - 2;
	size_t bytes;
	char *start;

	if (!block || !(chunk[1] & CHUNK_IS_MAPPED))
		return;
	start = (char *)chunk - chunk[0];
	bytes = chunk[0] + (chunk[1] & ~(size_t)CHUNK_FLAGS);
	if (((uintptr_t)start | bytes) % SKSM_PAGE_BYTES == 0 && bytes >= size)
		shim_note_mapping(start, bytes, PROT_READ, MAP_PRIVATE, frame);
}

/* Called last, by a jump: the caller of each is the caller of the function that is hooked. */
static NOINLINE void *noted_malloc(size_t size)
{
	void *block = real_malloc(size);

	note_block(block, size, SKSM_FRAME_OF_CALLER());
	return block;
}

static NOINLINE void *noted_calloc(size_t count, size_t size)
{
	void *block = real_calloc(count, size);

	note_block(block, count * size, SKSM_FRAME_OF_CALLER());
	return block;
}

static NOINLINE void *noted_realloc(void *old, size_t size)
{
	void *block = real_realloc(old, size);

	note_block(block, size, SKSM_FRAME_OF_CALLER());
	return block;
}

static NOINLINE void *noted_memalign(size_t align, size_t size)
{
	void *block = real_memalign(align, size);

	note_block(block, size, SKSM_FRAME_OF_CALLER());
	return block;
}

static NOINLINE void *noted_aligned_alloc(size_t align, size_t size)
{
	void *block = real_aligned_alloc(align, size);

	note_block(block, size, SKSM_FRAME_OF_CALLER());
	return block;
}

static NOINLINE int noted_posix_memalign(void **ret, size_t align, size_t size)
{
	int error = real_posix_memalign(ret, align, size);

	if (!error)
		note_block(*ret, size, SKSM_FRAME_OF_CALLER());
	return error;
}

SHIM_EXPORT void *malloc(size_t size)
{
	return shim_likely(size < noted_bytes) ? real_malloc(size) : noted_malloc(size);
}

SHIM_EXPORT void *calloc(size_t count, size_t size)
{
	/* Where the product overflows, glibc refuses, whichever way it is asked. */
	return shim_likely(count * size < noted_bytes) ? real_calloc(count, size) :
	       noted_calloc(count, size);
}

SHIM_EXPORT void *realloc(void *old, size_t size)
{
	return shim_likely(size < noted_bytes) ? real_realloc(old, size) :
	       noted_realloc(old, size);
}

SHIM_EXPORT void *memalign(size_t align, size_t size)
{
	return shim_likely(size < noted_bytes) ? real_memalign(align, size) :
	       noted_memalign(align, size);
}

SHIM_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return shim_likely(size < noted_bytes) ? real_aligned_alloc(align, size) :
	       noted_aligned_alloc(align, size);
}

SHIM_EXPORT int posix_memalign(void **ret, size_t align, size_t size)
{
	return shim_likely(size < noted_bytes) ? real_posix_memalign(ret, align, size) :
	       noted_posix_memalign(ret, align, size);
}
