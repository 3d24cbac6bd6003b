/* SPDX-License-Identifier: MIT */
/*
 * Our own memory: one range of addresses, reserved before the program has done anything.
 *
 * A mapping made later could come to lie in a hole that the program believes to be its own, since
 * it unmapped something there, and be overwritten by its next MAP_FIXED. The program's malloc is
 * never used: it may hold a lock, be interposed, or be in the middle of a fork. In a forked child
 * the range stays reserved and reads as zeros (MADV_WIPEONFORK); core dumps leave it out.
 *
 * One thread at a time may use an arena.
 */
#ifndef SKSM_ARENA_H
#define SKSM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sksm_sys;

#define SKSM_ARENA_CLASSES 43	/* 64, 96, 128, 192 ... bytes, to 128 MiB */

struct sksm_arena {
	const struct sksm_sys *sys;
	char *start;		/* of the reservation */
	char *first;		/* of what may be handed out */
	char *next;		/* never handed out yet */
	char *usable;		/* readable and writable up to here */
	char *end;
	uint64_t used_bytes;	/* in the hands of callers, rounded up to classes */
	void *free[SKSM_ARENA_CLASSES];
};

/*
 * Reserve @bytes of addresses without access, wiped in forked children. NULL where the kernel
 * refuses. Async-signal-safe. The two below are its halves: the addresses, by a call that the
 * loader makes as well, and that they are wiped.
 */
void *sksm_arena_reserve(const struct sksm_sys *sys, size_t bytes);

void *sksm_arena_addresses(const struct sksm_sys *sys, size_t bytes);
bool sksm_arena_settle(const struct sksm_sys *sys, void *start, size_t bytes);

/* Hand out what lies behind the first @skip bytes (a multiple of 4096) of a reservation. */
void sksm_arena_init(struct sksm_arena *arena, const struct sksm_sys *sys, void *reservation,
		     size_t bytes, size_t skip);

/* Give all memory back to the kernel; the addresses stay reserved. As after init. */
void sksm_arena_fini(struct sksm_arena *arena);

/* @size zeroed bytes, aligned to 32, or NULL where there are none left. */
void *sksm_arena_alloc(struct sksm_arena *arena, size_t size);

/* @pointer (may be NULL) came from alloc with the same @size. */
void sksm_arena_free(struct sksm_arena *arena, void *pointer, size_t size);

/* Does [@start, @end) overlap the reservation? */
bool sksm_arena_overlap(const struct sksm_arena *arena, uint64_t start, uint64_t end);

#endif
