/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <string.h>
#include <sys/mman.h>

#include "abi.h"
#include "sys.h"

#define MAX_BYTES (128ul << 20)
/* Access is opened in steps of this size: few system calls, few page tables. */
#define STEP_BYTES (256u << 10)
/* From here on, freed memory goes back to the kernel. */
#define LARGE_BYTES (16u << 10)

void *sksm_arena_addresses(const struct sksm_sys *sys, size_t bytes)
{
	void *start = sys->mmap(NULL, bytes, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return sksm_is_error(start) ? NULL : start;
}

bool sksm_arena_settle(const struct sksm_sys *sys, void *start, size_t bytes)
{
	if (sys->madvise(start, bytes, MADV_WIPEONFORK))
		return false;
	sys->madvise(start, bytes, MADV_DONTDUMP);
	/* Where the machine hands out huge pages freely, ours would be mostly empty. */
	sys->madvise(start, bytes, MADV_NOHUGEPAGE);
	return true;
}

void *sksm_arena_reserve(const struct sksm_sys *sys, size_t bytes)
{
	void *start = sksm_arena_addresses(sys, bytes);

	if (!start || sksm_arena_settle(sys, start, bytes))
		return start;
	sys->munmap(start, bytes);
	return NULL;
}

void sksm_arena_init(struct sksm_arena *arena, const struct sksm_sys *sys, void *reservation,
		     size_t bytes, size_t skip)
{
	memset(arena, 0, sizeof(*arena));
	arena->sys = sys;
	arena->start = reservation;
	arena->first = arena->start + skip;
	arena->next = arena->first;
	arena->usable = arena->first;
	arena->end = arena->start + bytes;
}

void sksm_arena_fini(struct sksm_arena *arena)
{
	size_t bytes = (size_t)(arena->usable - arena->first);

	if (bytes) {
		/* EINVAL where mlockall(MCL_FUTURE) caught it. */
		if (arena->sys->madvise(arena->first, bytes, MADV_DONTNEED))
			memset(arena->first, 0, bytes);
		arena->sys->mprotect(arena->first, bytes, PROT_NONE);
	}
	sksm_arena_init(arena, arena->sys, arena->start, (size_t)(arena->end - arena->start),
			(size_t)(arena->first - arena->start));
}

/* Powers of two, and half-way between them. */
static size_t class_bytes(unsigned int class)
{
	return (size_t)(class % 2 ? 96 : 64) << class / 2;
}

static unsigned int class_of(size_t size)
{
	unsigned int class = 0;

	while (class_bytes(class) < size)
		class++;
	return class;
}

/* Make [next, next + bytes) accessible. */
static bool open_access(struct sksm_arena *arena, size_t bytes)
{
	size_t missing;

	if ((size_t)(arena->end - arena->next) < bytes)
		return false;
	if ((size_t)(arena->usable - arena->next) >= bytes)
		return true;
	missing = (size_t)(arena->next + bytes - arena->usable);
	missing = (missing + STEP_BYTES - 1) & ~(size_t)(STEP_BYTES - 1);
	if (missing > (size_t)(arena->end - arena->usable))
		missing = (size_t)(arena->end - arena->usable);
	if (arena->sys->mprotect(arena->usable, missing, PROT_READ | PROT_WRITE))
		return false;
	arena->usable += missing;
	return true;
}

void *sksm_arena_alloc(struct sksm_arena *arena, size_t size)
{
	unsigned int class;
	size_t bytes;
	void *pointer;

	if (size > MAX_BYTES)
		return NULL;
	class = class_of(size);
	bytes = class_bytes(class);
	pointer = arena->free[class];
	if (pointer) {
		arena->free[class] = *(void **)pointer;
		/* The rest of a large one was given back and reads as zeros. */
		memset(pointer, 0, bytes < LARGE_BYTES ? bytes : sizeof(void *));
	} else {
		if (!open_access(arena, bytes))
			return NULL;
		pointer = arena->next;
		arena->next += bytes;
	}
	arena->used_bytes += bytes;
	return pointer;
}

void sksm_arena_free(struct sksm_arena *arena, void *pointer, size_t size)
{
	unsigned int class;

	if (!pointer)
		return;
	class = class_of(size);
	arena->used_bytes -= class_bytes(class);
	if (class_bytes(class) >= LARGE_BYTES) {
		uintptr_t from = ((uintptr_t)pointer + SKSM_PAGE_BYTES - 1) & -SKSM_PAGE_BYTES;
		uintptr_t to = ((uintptr_t)pointer + class_bytes(class)) & -SKSM_PAGE_BYTES;

		memset(pointer, 0, from - (uintptr_t)pointer);
		memset((void *)to, 0, (uintptr_t)pointer + class_bytes(class) - to);
		if (arena->sys->madvise((void *)from, to - from, MADV_DONTNEED))
			memset((void *)from, 0, to - from);
	}
	*(void **)pointer = arena->free[class];
	arena->free[class] = pointer;
}

bool sksm_arena_overlap(const struct sksm_arena *arena, uint64_t start, uint64_t end)
{
	return (uintptr_t)arena->start < end && (uintptr_t)arena->end > start;
}
