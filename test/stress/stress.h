/* SPDX-License-Identifier: MIT */
/* The content stress: areas of memory, each with its shadow, and what may be done to them. */
#ifndef STRESS_H
#define STRESS_H

#include <stdatomic.h>
#include <sys/mman.h>

#include "../victims/victim.h"

#define AREAS 12u
#define AREA_PAGES_MAX 1024u

/*
 * One mapping as its thread knows it. The shadow of a page is the tag that its bytes follow from
 * (victim.h), so it is no memory that could merge.
 */
struct area {
	unsigned char *start;	/* NULL: none */
	size_t pages;
	bool pinned;		/* a buffer of the thread's ring: not to be moved or unmapped */
	bool mixed;		/* several mappings */
	bool sealed;		/* read-only at the moment */
	uint64_t tags[AREA_PAGES_MAX];
};

struct ring;

struct worker {
	unsigned int number;
	uint64_t random;
	struct area areas[AREAS];
	struct ring *ring;	/* NULL: the kernel gives none */
	const char *doing;
};

extern atomic_ulong counted_verified, counted_forks, counted_pins, counted_moves;

uint64_t next_random(struct worker *worker);

/* A number below @limit, which is not 0. */
size_t pick(struct worker *worker, size_t limit);

/* Few contents that all threads and processes have, and some that nobody else has. */
uint64_t pick_tag(struct worker *worker);

/* Compare @count pages with the shadow; ends the program where one differs. */
void verify_pages(struct worker *worker, const struct area *area, size_t first, size_t count);

/* pins.c: memory that the kernel reads or writes by its physical address. */
void pins_init(struct worker *worker, unsigned int number);
void pin_area(struct worker *worker, struct area *area);
void unpin_area(struct worker *worker, struct area *area);
void read_into_pinned(struct worker *worker, struct area *area);
void read_direct(struct worker *worker, struct area *area);
void splice_out(struct worker *worker, struct area *area);
void pins_prepare(void);

#endif
