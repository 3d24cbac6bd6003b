/* SPDX-License-Identifier: MIT */
/*
 * The engine of one process: finds memory that stays invariant and has a twin in the domain, and
 * offers it for merging. One thread owns a tracker; nothing here is thread-safe or
 * async-signal-safe unless it says so. All calls work without libc state (sys.h).
 *
 * A pass: regions are brought in step with the kernel's map; each is scanned (look.c); what was
 * written is taken back, what is new or calm again is armed (heat.c); what stayed unwritten for
 * the age is digested (content.c) and published (twins.c); runs of pages with a twin are offered
 * to the merge engine (offer.c); the counters are published in the record (account.c).
 */
#ifndef SKSM_TRACKER_H
#define SKSM_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"
#include "arena.h"
#include "audit.h"
#include "block.h"
#include "budget.h"
#include "digest.h"
#include "index.h"
#include "mapping.h"
#include "options.h"
#include "pressure.h"
#include "probe.h"
#include "record.h"
#include "region.h"
#include "site_file.h"
#include "sync.h"

#define SKSM_LOOK_RUNS 1024
/*
 * How far the tracker's thread is below the program, as ksmd's is (mm/ksm.c, ksm_scan_thread). Not
 * further: it takes the mmap lock, and whoever waits for that waits until we are due again.
 */
#define SKSM_THREAD_NICE 5
#define SKSM_COPY_PAGES 16

struct sksm_tracker {
	const struct sksm_sys *sys;
	const struct sksm_options *options;
	struct sksm_probe probe;
	struct sksm_arena arena;
	struct sksm_regions regions;
	struct sksm_blocks blocks;
	struct sksm_index index;
	struct sksm_digester digester;
	struct sksm_audit audit;
	struct sksm_budget budget;
	struct sksm_pressure pressure;
	struct sksm_counters counters;
	struct sksm_mappings mappings;
	struct sksm_site_file site_file;
	struct sksm_sync sync;
	enum sksm_engine_kind engine;
	enum sksm_tracker_kind kind;	/* WP or DIGEST */
	int domain_fd;
	int pagemap_fd;
	int mem_fd;		/* our own memory, or -errno */
	int uffd;		/* -1 where nothing is armed by the kernel (compare.h) */
	int full_scans_fd;	/* of ksmd, or -errno */
	bool index_open;
	struct sksm_index_op *ops;	/* collected for the index, or NULL */
	unsigned int op_count;
	uint64_t index_retry_ns;
	uint64_t now_ns;	/* CLOCK_BOOTTIME at the start of the pass */
	uint64_t tick_ns;	/* grain of sksm_block.stamp */
	uint64_t next_lookups_ns;
	uint64_t calm_ns;	/* not 0: somebody knows that all is calm since then, and ripe */
	uint64_t audited_merged;	/* merged pages that we knew of at the last audit */
	const char *obstacle;	/* why no twin can ever be found here; or NULL */
	const uint32_t *stop;	/* not 0 there: end the pass soon, somebody waits; may be NULL */
	uint64_t kept_twins;	/* in huge pages that are left whole */
	uint64_t frames;	/* sksm_index_count_frames, when it was last asked */
	uint64_t frames_changes;	/* sksm_blocks.changes then */
	uint64_t frames_members;	/* sksm_index.alive_hash then */
	uint64_t frames_ns;		/* when they were counted */
	uint64_t next_frames_ns;
	uint64_t changes_seen;	/* sksm_blocks.changes as of the end of the last pass */
	uint64_t changed_ns;	/* when more than a few pages had changed */
	unsigned int quiet_scans;	/* passes without an offer or a full scan of ksmd */
	uint64_t faults_seen;	/* minor faults of the process as of the end of the last pass */
	unsigned int calm_passes;	/* since something happened that matters */
	int thawing;		/* samples of hot blocks in this pass: calm less hot ones */
	bool thaw;		/* the last pass found more calm ones */
	uint64_t next_thaw_ns;
	unsigned int age_ticks;	/* an armed page is invariant after so many */
	bool scans_seen;	/* ksmd made a full scan since the last pass */
	bool lookups_due;	/* some page of ours may have got a twin */
	uint8_t lookup_round;	/* counts the times when all pages were looked up */
	uint8_t tick;
	uint8_t full_scans;	/* low bits of ksmd's count */
	uint64_t short_twins;	/* that the last offers left in runs shorter than @shortest */
	unsigned int shortest;
	unsigned int max_mappings;	/* offers keep the process below this number */
	struct sksm_page_region runs[SKSM_LOOK_RUNS];
	uint64_t pagemap[SKSM_BLOCK_PAGES];
	unsigned char *copy;	/* SKSM_COPY_PAGES of the program's, while digesting; or NULL */
};

/*
 * Make a tracker for the calling process in @reservation (@bytes from sksm_arena_reserve, of which
 * the first @skip are in other use). @domain_fd is from
 * sksm_domain_open and is the tracker's from now on. NULL and *ret_reason, a static string for
 * people, where nothing can be tracked; @domain_fd is then still the caller's.
 */
struct sksm_tracker *sksm_tracker_init(const struct sksm_sys *sys,
				       const struct sksm_options *options, int domain_fd,
				       void *reservation, size_t bytes, size_t skip,
				       const char **ret_reason);

/*
 * Attribute memory to call sites, by what hooks note in @sites, and write the outcome to the file
 * that @open_file opens (a descriptor, the tracker's from then on, or -errno). Before the first
 * pass, in the process of @record.
 */
void sksm_tracker_attribute(struct sksm_tracker *tracker, struct sksm_sites *sites,
			    int (*open_file)(void), const struct sksm_record *record);

/*
 * Take back what can be taken back without touching the program's memory: registrations end with
 * the userfaultfd, offered ranges stay as they are (trap 21). Frees @tracker.
 */
void sksm_tracker_fini(struct sksm_tracker *tracker);

/*
 * One pass. Returns how many nanoseconds to wait before the next, unless it is due sooner
 * (sksm_tracker_is_due).
 */
uint64_t sksm_tracker_pass(struct sksm_tracker *tracker);

/*
 * Has the process had so many page faults since the last pass that it pays to look, or did somebody
 * find a twin of a page of ours, and the last pass is some intervals ago? About 1 us.
 */
bool sksm_tracker_stirs(const struct sksm_tracker *tracker);

/*
 * After a wait of @waited_ns of @pause_ns, is the next pass due? In a pause of several intervals it
 * is as soon as something stirs. To be asked about once in sksm_tracker_slice_ns: 0.1 to 1 s.
 */
bool sksm_tracker_is_due(const struct sksm_tracker *tracker, uint64_t waited_ns, uint64_t pause_ns);
uint64_t sksm_tracker_slice_ns(const struct sksm_tracker *tracker);

/* ---- between the files of the tracker ---- */

/* What a scan found in one block. */
struct sksm_look {
	uint64_t present[SKSM_BLOCK_WORDS];
	uint64_t written[SKSM_BLOCK_WORDS];
	uint64_t zero[SKSM_BLOCK_WORDS];	/* maps the zero page */
	uint64_t swapped[SKSM_BLOCK_WORDS];
	bool huge;				/* mapped by one huge page */
};

/* look.c: scan all regions, take back what was written. Bounded kernel calls. */
void sksm_look_pass(struct sksm_tracker *tracker);

/* look.c: a page was written: it is loose, what was known of it is taken back. */
void sksm_look_written(struct sksm_tracker *tracker, struct sksm_block *block, unsigned int page);

/* look.c: arm the pages in @bits again after a merge; they keep their state. */
void sksm_look_rearm(struct sksm_tracker *tracker, struct sksm_block *block, const uint64_t *bits);

/* look.c: the pages of [start, end) are gone: forget them. */
void sksm_look_forget(void *tracker, uint64_t start, uint64_t end);

/*
 * unarmed.c: as sksm_scan_look with must == 0, for memory without files, into the first half of
 * tracker->runs. What is armed and has been digested is told as PRESENT and WPALLOWED, also where
 * it is in swap. The second half is scratch memory.
 */
int sksm_unarmed_look(struct sksm_tracker *tracker, uint64_t start, uint64_t end,
		      uint64_t *ret_walked);

/* heat.c: judge all blocks after they were looked at; arm what should be armed. */
void sksm_heat_pass(struct sksm_tracker *tracker);

/* heat.c: a merged page of @block was written. */
void sksm_heat_note_break(const struct sksm_tracker *tracker, struct sksm_block *block);

/* content.c: digest and publish what has become invariant. */
void sksm_content_pass(struct sksm_tracker *tracker);

/* content.c: make tracker->copy, which goes at the end of the pass. False without memory. */
bool sksm_content_need_copy(struct sksm_tracker *tracker);

/* content.c: copy [first, first + count) of a block to tracker->copy; pages that could be read. */
unsigned int sksm_content_read(struct sksm_tracker *tracker, struct sksm_block *block,
			       unsigned int first, unsigned int count);

/*
 * content.c: the same for pages that may be merged or shared by fork. process_vm_readv pins what it
 * reads, and the kernel undoes the sharing of a page for that (gup_must_unshare in mm/internal.h,
 * since 5.19; seen on 6.18: it unmerges every page read). A read of /proc/PID/mem, half as fast,
 * does not.
 */
unsigned int sksm_content_read_shared(struct sksm_tracker *tracker, uint64_t address,
				      unsigned int count);

/* content.c: digest [first, first + count) of a block into digest[]; pages that could be read. */
unsigned int sksm_content_digest(struct sksm_tracker *tracker, struct sksm_block *block,
				 unsigned int first, unsigned int count);

/* twins.c: say that we live; learn of new twins, of a new table. */
void sksm_twins_pass(struct sksm_tracker *tracker);

/* twins.c: a page was digested: it is UNIQUE, or TWIN as soon as it is known (at a flush). */
void sksm_twins_publish(struct sksm_tracker *tracker, struct sksm_block *block,
			unsigned int page);

/* twins.c: a page leaves the digested states. */
void sksm_twins_withdraw(struct sksm_tracker *tracker, struct sksm_block *block,
			 unsigned int page);

/* twins.c: publish all digested pages: the index is new. */
void sksm_twins_republish(struct sksm_tracker *tracker);

/* twins.c: do what was collected. Before blocks are deleted. */
void sksm_twins_flush(struct sksm_tracker *tracker);

/* huge.c: one step for a block that is a huge page left whole. */
void sksm_huge_step(struct sksm_tracker *tracker, struct sksm_block *block);

/* huge.c: how many pages wait for the next step for a block. */
unsigned int sksm_huge_to_read(const struct sksm_block *block);

/* Half of the pages must have a twin, a quarter where memory is short. */
static inline bool sksm_huge_is_worth_splitting(const struct sksm_tracker *tracker,
						const struct sksm_block *block)
{
	unsigned int part = sksm_pressure_memory(&tracker->pressure) ? 4 : 2;

	return block->count[SKSM_PAGE_TWIN] * part >= SKSM_BLOCK_PAGES;
}

/* offer.c: place runs of twins with the engine, give up on refused ones, take back hot ones. */
void sksm_offer_pass(struct sksm_tracker *tracker);

/*
 * renew.c: the marks of @block, all ours, have had their scans for nothing: take them. False: they
 * stay.
 */
bool sksm_renew_begin(struct sksm_tracker *tracker, struct sksm_block *block);

/* renew.c: mark again what was taken, once ksmd has forgotten it. */
void sksm_renew_end(struct sksm_tracker *tracker, struct sksm_block *block);

/*
 * account.c: audit smaps where that is due: sooner where pages wait for it, the more of them the
 * sooner, since it walks all page tables of the process.
 */
void sksm_account_audit(struct sksm_tracker *tracker, uint64_t waiting_pages);

/*
 * account.c: the pages of @block that are sensitive, stacks, or the program's own userfaultfd's, as
 * of the last audit: neither read nor offered. False: none is, and all bits are 0.
 */
bool sksm_account_barred(const struct sksm_tracker *tracker, const struct sksm_block *block,
			 uint64_t *ret_bits);

/* account.c: twins that may be offered: pages in huge pages are not, before those are given up. */
uint64_t sksm_account_offerable(const struct sksm_tracker *tracker);

/* account.c: pages that are still to be armed or digested: neither barred nor in swap. */
uint64_t sksm_account_undecided(const struct sksm_tracker *tracker);

/* offer.c: twins that may be offered now: not those that the last offers left in short runs. */
uint64_t sksm_offer_waiting(const struct sksm_tracker *tracker);

/* account.c: fill in the counters. */
void sksm_account_pass(struct sksm_tracker *tracker);

/* The pagemap entries of a whole block into tracker->pagemap. 0 or -errno. */
int sksm_tracker_pagemap(struct sksm_tracker *tracker, const struct sksm_block *block);

/* Nothing is offered by an audit that is older. */
#define SKSM_OFFER_AUDIT_MS 1000u

/*
 * Was the last audit made @age_ms ago or since? What is ripe by its age was there when it was made.
 * Where somebody says that all is calm it may be newer: then the audit has to be of this pass.
 */
static inline bool sksm_tracker_audited(const struct sksm_tracker *tracker, unsigned int age_ms)
{
	uint64_t age_ns = tracker->calm_ns ? 0 : age_ms * 1000000ull;

	return tracker->audit.done_ns + age_ns >= tracker->now_ns;
}

/* May work that can wait go on? Where somebody waits for it, whatever it costs. */
static inline bool sksm_tracker_may_work(const struct sksm_tracker *tracker)
{
	return tracker->calm_ns || sksm_budget_left(&tracker->budget);
}

static inline bool sksm_tracker_stops(const struct sksm_tracker *tracker)
{
	return tracker->stop && __atomic_load_n(tracker->stop, __ATOMIC_RELAXED);
}

/* Before a page of @block becomes MERGED or ZERO. */
static inline void sksm_note_merge(const struct sksm_tracker *tracker, struct sksm_block *block)
{
	uint16_t count = block->count[SKSM_PAGE_MERGED] + block->count[SKSM_PAGE_ZERO];

	/* One old merged page does not vouch for many new ones. */
	if (count < 2 * block->merged_mark)
		return;
	block->merged_mark = count ? count : 1;
	block->merged_ns = tracker->now_ns;
}

/* A present page whose frame somebody else maps too: shared by fork, or merged. */
static inline bool sksm_entry_shared(uint64_t entry)
{
	return (entry & SKSM_PM_PRESENT) && !(entry & SKSM_PM_EXCLUSIVE);
}

#endif
