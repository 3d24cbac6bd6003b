/* SPDX-License-Identifier: MIT */
/*
 * Our own memory: private anonymous mappings, made by system call so that no hook sees them, left
 * out of forked children (MADV_DONTFORK) and core dumps. The program's malloc is never used: it
 * may hold a lock, be interposed, or be in the middle of a fork.
 *
 * One thread at a time may use an arena.
 */
#ifndef SKSM_ARENA_H
#define SKSM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sksm_sys;
struct sksm_arena_mapping;

#define SKSM_ARENA_CLASSES 12	/* powers of two from 32 bytes to 64 KiB */

struct sksm_arena {
	const struct sksm_sys *sys;
	struct sksm_arena_mapping *mappings;
	char *next;		/* the unused rest of the newest chunk */
	char *end;
	uint64_t mapped_bytes;
	void *free[SKSM_ARENA_CLASSES];
};

void sksm_arena_init(struct sksm_arena *arena, const struct sksm_sys *sys);

/* Unmap everything that was handed out. The arena is as after init. */
void sksm_arena_fini(struct sksm_arena *arena);

/* @size zeroed bytes, aligned to 32, or NULL where the kernel gives no memory. */
void *sksm_arena_alloc(struct sksm_arena *arena, size_t size);

/* @pointer (may be NULL) came from alloc with the same @size. */
void sksm_arena_free(struct sksm_arena *arena, void *pointer, size_t size);

/* Where a mapping of ours overlaps [@start, @end): true, and its bounds. */
bool sksm_arena_overlap(const struct sksm_arena *arena, uint64_t start, uint64_t end,
			uint64_t *ret_start, uint64_t *ret_end);

#endif
