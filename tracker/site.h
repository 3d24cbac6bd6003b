/* SPDX-License-Identifier: MIT */
/*
 * Call sites: which stack made which range of memory. Hooks append what happens to mappings; our
 * thread turns that into ranges before each pass. All of it lies in one area that a forked child
 * inherits as it is, so each step leaves it in a state that a copy can go on from.
 *
 * The log is a table by address rather than a queue: a program that maps and unmaps the same place
 * all the time takes one entry. Nobody waits: where there is no room an event is lost, and counted.
 * Everything here is a hint; the kernel's map says what is mapped.
 */
#ifndef SKSM_SITE_H
#define SKSM_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "module.h"
#include "region.h"
#include "unwind.h"

struct sksm_arena;

#define SKSM_SITE_FRAMES_MAX 64
#define SKSM_SITE_EVENTS 1024
#define SKSM_SITE_SLOTS 8192
#define SKSM_SITE_WORDS 32768
#define SKSM_SITE_MODULES 256
#define SKSM_SITE_RANGES 4096
#define SKSM_SITE_PATH_MAX 256

/* By what memory is known. Part of the format of the file. */
enum sksm_owner {
	SKSM_OWNER_UNKNOWN,	/* anonymous memory that no hook saw */
	SKSM_OWNER_SITE,	/* a call site */
	SKSM_OWNER_HEAP,	/* brk */
	SKSM_OWNER_ARENA,	/* of malloc, for threads */
	SKSM_OWNER_STACK,	/* of a thread */
	SKSM_OWNER_LIBRARY,	/* data of a program or library */
	SKSM_OWNER_FILE,
	SKSM_OWNER_MEMFD,
	SKSM_OWNERS
};

/* Something happened to [start, end). */
struct sksm_site_event {
	uint64_t state;		/* 0: free; odd: being written, by pid * 2 + 1; else when it was */
	uint64_t start;
	uint64_t end;
	uint64_t from;		/* not 0: it was moved here, by mremap */
	uint64_t from_end;
	uint64_t stack;		/* that mapped it; 0: unmapped, or nobody knows */
};

struct sksm_site_module {
	uint64_t state;		/* 0: free; SKSM_SITE_READY; else being written */
	uint64_t base;
	uint32_t build_id_bytes;
	uint8_t build_id[SKSM_BUILD_ID_MAX];
	char path[SKSM_SITE_PATH_MAX];	/* empty: the program itself */
};
#define SKSM_SITE_READY 2

/* In sksm_sites.words, at the index that is the stack's id. */
struct sksm_site_stack {
	uint64_t hash;
	uint64_t writes;	/* faults that arming caused in memory of this stack */
	uint64_t breaks;	/* merges undone there */
	uint64_t lived_ms;	/* how long these had lasted, summed */
	uint64_t count;
	uint64_t frame[];	/* module << 48 | address in the file, innermost first */
};
#define SKSM_SITE_HEAD_WORDS 5

static inline unsigned int sksm_site_frame_module(uint64_t frame)
{
	return (unsigned int)(frame >> 48);
}

static inline uint64_t sksm_site_frame_offset(uint64_t frame)
{
	return frame & ((1ull << 48) - 1);
}

struct sksm_site_range {
	uint64_t start;
	uint64_t end;
	uint64_t stack;
};

struct sksm_sites {
	uint64_t sequence;	/* of events */
	uint64_t lost;		/* events and stacks there was no room for */
	uint64_t words_used;
	uint32_t owner;		/* pid of the process that counts in here */
	uint64_t noted;		/* events that were written */
	uint64_t collected;	/* of those, when they were read last */
	uint32_t current;	/* which of the two lists of ranges holds */
	/* By owner, of this process, what is gone too; that of call sites is in their stacks. */
	uint64_t writes[SKSM_OWNERS];
	uint64_t breaks[SKSM_OWNERS];
	uint64_t lived_ms[SKSM_OWNERS];
	uint32_t range_count[2];
	struct sksm_unwind_cache cache;
	struct sksm_site_event events[SKSM_SITE_EVENTS];
	uint32_t slots[SKSM_SITE_SLOTS];	/* ids of stacks, by hash */
	struct sksm_site_module modules[SKSM_SITE_MODULES];
	struct sksm_site_range ranges[2][SKSM_SITE_RANGES];
	uint64_t words[SKSM_SITE_WORDS];
};

/* ---- for hooks: async-signal-safe, from any thread; @pid is the calling process ---- */

/*
 * The stack above @frame, @frames (1 to SKSM_SITE_FRAMES_MAX) at most. Its id; 0 where there is
 * none or no room. About 150 ns for one that was seen before.
 */
uint64_t sksm_site_stack(struct sksm_sites *sites, const struct sksm_unwinder *unwinder,
			 struct sksm_frame frame, unsigned int frames, uint32_t pid);

/* Events are in the order of their tickets. */
static inline uint64_t sksm_site_ticket(struct sksm_sites *sites)
{
	return __atomic_add_fetch(&sites->sequence, 2, __ATOMIC_ACQ_REL);
}

/* [@start, @end) was mapped by @stack, after the call; or, with 0, is to be unmapped, before it. */
void sksm_site_note(struct sksm_sites *sites, uint32_t pid, uint64_t ticket, uint64_t start,
		    uint64_t end, uint64_t stack);

/* mremap made [@start, @end) of [@from, @from_end); @ticket from before the call. */
void sksm_site_note_move(struct sksm_sites *sites, uint32_t pid, uint64_t ticket, uint64_t from,
			 uint64_t from_end, uint64_t start, uint64_t end);

/* ---- for our thread ---- */

/* This process is @pid: what its parent counted is not its own. */
void sksm_site_adopt(struct sksm_sites *sites, uint32_t pid);

/* Bring the ranges in step with what was noted. True: they changed. */
bool sksm_site_collect(struct sksm_sites *sites, struct sksm_arena *arena);

/* Forget what does not lie in @mapped any more. */
void sksm_site_prune(struct sksm_sites *sites, const struct sksm_ranges *mapped);

/* The ranges, ascending and disjoint, until the next collect or prune. */
static inline const struct sksm_site_range *sksm_site_ranges(const struct sksm_sites *sites,
							    unsigned int *ret_count)
{
	*ret_count = sites->range_count[sites->current];
	return sites->ranges[sites->current];
}

/* The stack of an id that is not 0. */
static inline struct sksm_site_stack *sksm_site_get(struct sksm_sites *sites, uint64_t id)
{
	return (struct sksm_site_stack *)&sites->words[id];
}

#endif
