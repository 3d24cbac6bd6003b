/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <string.h>
#include <sys/mman.h>

#include "abi.h"
#include "sys.h"

#define CHUNK_BYTES (128u << 10)
#define MIN_SHIFT 5
#define MAX_SMALL (32u << MIN_SHIFT << (SKSM_ARENA_CLASSES - 1 - MIN_SHIFT))

_Static_assert(MAX_SMALL == 64u << 10, "the largest class is 64 KiB");

/* At the start of every mapping of ours; 64 bytes keep what follows aligned to a cache line. */
struct sksm_arena_mapping {
	struct sksm_arena_mapping *next;
	struct sksm_arena_mapping *prev;
	size_t bytes;
	char pad[40];
};

void sksm_arena_init(struct sksm_arena *arena, const struct sksm_sys *sys)
{
	memset(arena, 0, sizeof(*arena));
	arena->sys = sys;
}

static struct sksm_arena_mapping *map_bytes(struct sksm_arena *arena, size_t bytes)
{
	struct sksm_arena_mapping *mapping;

	mapping = arena->sys->mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sksm_is_error(mapping))
		return NULL;
	arena->sys->madvise(mapping, bytes, MADV_DONTFORK);
	arena->sys->madvise(mapping, bytes, MADV_DONTDUMP);
	/* Where the machine hands out huge pages freely, ours would be mostly empty. */
	arena->sys->madvise(mapping, bytes, MADV_NOHUGEPAGE);
	mapping->bytes = bytes;
	mapping->next = arena->mappings;
	mapping->prev = NULL;
	if (arena->mappings)
		arena->mappings->prev = mapping;
	arena->mappings = mapping;
	arena->mapped_bytes += bytes;
	return mapping;
}

static void unmap(struct sksm_arena *arena, struct sksm_arena_mapping *mapping)
{
	if (mapping->prev)
		mapping->prev->next = mapping->next;
	else
		arena->mappings = mapping->next;
	if (mapping->next)
		mapping->next->prev = mapping->prev;
	arena->mapped_bytes -= mapping->bytes;
	arena->sys->munmap(mapping, mapping->bytes);
}

void sksm_arena_fini(struct sksm_arena *arena)
{
	while (arena->mappings)
		unmap(arena, arena->mappings);
	sksm_arena_init(arena, arena->sys);
}

static unsigned int class_of(size_t size)
{
	unsigned int class = 0;

	while ((size_t)1 << (class + MIN_SHIFT) < size)
		class++;
	return class;
}

static size_t large_bytes(size_t size)
{
	return (size + sizeof(struct sksm_arena_mapping) + SKSM_PAGE_BYTES - 1) &
	       ~(SKSM_PAGE_BYTES - 1);
}

void *sksm_arena_alloc(struct sksm_arena *arena, size_t size)
{
	struct sksm_arena_mapping *mapping;
	unsigned int class;
	size_t bytes;
	void *pointer;

	if (size > MAX_SMALL) {
		mapping = map_bytes(arena, large_bytes(size));
		return mapping ? mapping + 1 : NULL;
	}
	class = class_of(size);
	bytes = (size_t)1 << (class + MIN_SHIFT);
	pointer = arena->free[class];
	if (pointer) {
		arena->free[class] = *(void **)pointer;
		memset(pointer, 0, bytes);
		return pointer;
	}
	if ((size_t)(arena->end - arena->next) < bytes) {
		mapping = map_bytes(arena, CHUNK_BYTES);
		if (!mapping)
			return NULL;
		arena->next = (char *)(mapping + 1);
		arena->end = (char *)mapping + CHUNK_BYTES;
	}
	pointer = arena->next;
	arena->next += bytes;
	return pointer;
}

void sksm_arena_free(struct sksm_arena *arena, void *pointer, size_t size)
{
	unsigned int class;

	if (!pointer)
		return;
	if (size > MAX_SMALL) {
		unmap(arena, (struct sksm_arena_mapping *)pointer - 1);
		return;
	}
	class = class_of(size);
	*(void **)pointer = arena->free[class];
	arena->free[class] = pointer;
}

bool sksm_arena_overlap(const struct sksm_arena *arena, uint64_t start, uint64_t end,
			uint64_t *ret_start, uint64_t *ret_end)
{
	const struct sksm_arena_mapping *mapping;

	for (mapping = arena->mappings; mapping; mapping = mapping->next) {
		uint64_t own = (uintptr_t)mapping;

		if (own < end && own + mapping->bytes > start) {
			*ret_start = own;
			*ret_end = own + mapping->bytes;
			return true;
		}
	}
	return false;
}
