/* SPDX-License-Identifier: MIT */
/*
 * What is known of each page, kept by blocks of 2 MiB: the size of a huge page, and the grain at
 * which heat is judged. Blocks exist only where something is in memory; 1.5 KiB each, and 3 KiB
 * more once contents were digested.
 */
#ifndef SKSM_BLOCK_H
#define SKSM_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"
#include "arena.h"
#include "uthash_arena.h"

#define SKSM_BLOCK_SHIFT 21
#define SKSM_BLOCK_BYTES (1ull << SKSM_BLOCK_SHIFT)
#define SKSM_BLOCK_PAGES 512
#define SKSM_BLOCK_WORDS (SKSM_BLOCK_PAGES / 64)

/*
 * The life of a page (docs/architecture.md). States from ARMED on are write-protected, except in
 * blocks that are huge pages left whole.
 */
enum sksm_page_state {
	SKSM_PAGE_NONE,		/* not in memory, or not ours to look at */
	SKSM_PAGE_LOOSE,	/* in memory, not armed: new, or written lately */
	SKSM_PAGE_ARMED,	/* armed, not yet for the age */
	SKSM_PAGE_UNIQUE,	/* invariant, digested, no twin known */
	SKSM_PAGE_TWIN,		/* invariant, has a twin, not offered */
	SKSM_PAGE_OFFERED,	/* offered to the engine, merge not seen yet */
	SKSM_PAGE_REFUSED,	/* offered, and the engine had its time and did not merge it */
	SKSM_PAGE_MERGED,	/* mapped to a merged frame */
	SKSM_PAGE_ZERO,		/* merged with the zero page */
	SKSM_PAGE_SHARED,	/* invariant, the frame is shared by fork already */
	SKSM_PAGE_STATES
};

/* How far a huge page that is left whole has been looked at. */
enum sksm_huge_phase {
	SKSM_HUGE_NO,		/* small pages, or armed like small pages */
	SKSM_HUGE_NEW,		/* not looked at */
	SKSM_HUGE_SAMPLED,	/* a sample of the content was digested at since_ns */
	SKSM_HUGE_KNOWN,	/* what can be is digested and published; the sample is kept */
};

/* Of each page of a block, or 0. A digest has 48 bits (digest.h). */
struct sksm_digests {
	uint32_t high[SKSM_BLOCK_PAGES];
	uint16_t low[SKSM_BLOCK_PAGES];
};

struct sksm_block {
	uint64_t number;		/* address >> SKSM_BLOCK_SHIFT */
	UT_hash_handle hh;
	uint64_t present[SKSM_BLOCK_WORDS];
	uint64_t armed[SKSM_BLOCK_WORDS];
	uint64_t offered[SKSM_BLOCK_WORDS];	/* in a mapping that is marked mergeable */
	uint64_t swapped[SKSM_BLOCK_WORDS];	/* as of the last look */
	uint64_t next_arm_ns;		/* loose pages stay so until then */
	uint64_t merged_ns;		/* since when most of its merged pages have been merged */
	uint64_t since_ns;		/* huge: when the sample was taken */
	uint64_t sample;		/* huge: digest of the sample */
	struct sksm_digests *digests;	/* or NULL */
	uint16_t count[SKSM_PAGE_STATES];
	uint16_t merged_mark;		/* merged pages at merged_ns, or after the last breaks */
	uint16_t writes;		/* faults seen in the current pass */
	uint8_t level;			/* heat: loose pages wait interval << level */
	uint8_t age_shift;		/* merges undone too soon: the age is 2^this as long */
	uint8_t retries;		/* times that refused pages were offered again */
	uint8_t retry_round;		/* sksm_tracker.lookup_round of the last time */
	uint8_t renewals;		/* times that marks were renewed since a twin was found */
	uint8_t unmarked_scan;		/* the low bits of full_scans when they were taken last */
	uint8_t looks;			/* sync.c: times that offered pages were looked at */
	uint8_t look_round;		/* sync.c: the round of the last time */
	uint8_t huge;			/* enum sksm_huge_phase */
	uint8_t sampling;		/* so many pages are armed to learn whether it is hot */
	uint8_t sample_tick;		/* when they were armed */
	bool broken;			/* merges were undone in the current pass */
	bool broken_soon;		/* some of them too soon to have paid */
	bool proven;			/* was calm when looked at last */
	bool wrote;			/* written since it was last armed as a whole */
	bool undigested;		/* some merged pages have no digest yet */
	bool published;			/* some pages were, and not looked up since */
	bool unmarked;			/* pages are OFFERED, but bare of marks until renewed */
	bool adopted;			/* was mergeable before we came: not ours to take back */
	uint8_t state[SKSM_BLOCK_PAGES];
	uint8_t stamp[SKSM_BLOCK_PAGES];	/* ARMED: tick of arming; OFFERED: full_scans, or as in sync.c */
};

struct sksm_blocks {
	struct sksm_arena *arena;
	struct sksm_block *table;	/* uthash */
	uint64_t total[SKSM_PAGE_STATES];	/* pages in each state */
	uint64_t armed;				/* pages that are write-protected */
	uint64_t changes;			/* of state, ever; not loose to armed and back */
};

void sksm_blocks_init(struct sksm_blocks *blocks, struct sksm_arena *arena);

/* The block of @number (address >> 21), or NULL. */
struct sksm_block *sksm_blocks_find(const struct sksm_blocks *blocks, uint64_t number);

/* As find, but makes it where it is missing; NULL without memory. */
struct sksm_block *sksm_blocks_get(struct sksm_blocks *blocks, uint64_t number);

void sksm_blocks_delete(struct sksm_blocks *blocks, struct sksm_block *block);

/*
 * Move a page to another state: keeps the counts and the present and armed bits in step. The
 * caller has done what the state means to the kernel and to the index.
 */
void sksm_block_set(struct sksm_blocks *blocks, struct sksm_block *block, unsigned int page,
		    enum sksm_page_state state);

/* The digest of @page, 0 where there is none. */
static inline uint64_t sksm_block_digest(const struct sksm_block *block, unsigned int page)
{
	if (!block->digests)
		return 0;
	return (uint64_t)block->digests->high[page] << 32 |
	       (uint32_t)block->digests->low[page] << 16;
}

/* block->digests is there. */
static inline void sksm_block_set_digest(struct sksm_block *block, unsigned int page,
					 uint64_t digest)
{
	block->digests->high[page] = (uint32_t)(digest >> 32);
	block->digests->low[page] = (uint16_t)(digest >> 16);
}

/* Digests kept for @page? */
static inline bool sksm_page_digested(uint8_t state)
{
	return state >= SKSM_PAGE_UNIQUE && state <= SKSM_PAGE_ZERO;
}

static inline bool sksm_bit(const uint64_t *bits, unsigned int page)
{
	return bits[page / 64] >> (page % 64) & 1;
}

static inline void sksm_bit_set(uint64_t *bits, unsigned int page)
{
	bits[page / 64] |= 1ull << (page % 64);
}

static inline void sksm_bit_clear(uint64_t *bits, unsigned int page)
{
	bits[page / 64] &= ~(1ull << (page % 64));
}

/* The bits of one word that lie in [from, to); @from is moved to the next word. */
static inline uint64_t sksm_bits_next(unsigned int *from, unsigned int to)
{
	unsigned int bit = *from % 64;
	unsigned int n = 64 - bit < to - *from ? 64 - bit : to - *from;

	*from += n;
	return (n == 64 ? ~0ull : (1ull << n) - 1) << bit;
}

/* Set bits [from, to) */
static inline void sksm_bits_set(uint64_t *bits, unsigned int from, unsigned int to)
{
	while (from < to) {
		uint64_t *word = &bits[from / 64];

		*word |= sksm_bits_next(&from, to);
	}
}

/* Clear bits [from, to) */
static inline void sksm_bits_clear(uint64_t *bits, unsigned int from, unsigned int to)
{
	while (from < to) {
		uint64_t *word = &bits[from / 64];

		*word &= ~sksm_bits_next(&from, to);
	}
}

static inline bool sksm_bits_empty(const uint64_t *bits)
{
	uint64_t any = 0;

	for (int i = 0; i < SKSM_BLOCK_WORDS; i++)
		any |= bits[i];
	return !any;
}

/* Nothing is there, nor marked: nothing to be known of it. */
static inline bool sksm_block_empty(const struct sksm_block *block)
{
	return block->count[SKSM_PAGE_NONE] == SKSM_BLOCK_PAGES && sksm_bits_empty(block->offered);
}

static inline uint64_t sksm_block_start(const struct sksm_block *block)
{
	return block->number << SKSM_BLOCK_SHIFT;
}

static inline uint64_t sksm_page_address(const struct sksm_block *block, unsigned int page)
{
	return sksm_block_start(block) + (uint64_t)page * SKSM_PAGE_BYTES;
}

#endif
