/* SPDX-License-Identifier: MIT */
/*
 * A tracker in the test's own process, its passes driven by hand. Only mappings of at least 4 MiB
 * are watched, so that what the test framework does in its heap is not counted.
 */
#ifndef SKSM_UNIT_RIG_H
#define SKSM_UNIT_RIG_H

#include "inject.h"
#include "unit.h"

#include "tracker/domain.h"
#include "tracker/tracker.h"

#define RIG_DEADLINE_MS 30000
#define RIG_VARIABLES 16

/*
 * The tables of AddressSanitizer are memory of the process like any other, and are watched: tests
 * that count exactly do without it. RIG_INEXACT: this one does not.
 */
#if defined(__SANITIZE_ADDRESS__) && !defined(RIG_INEXACT)
#define RIG_SANITIZED true
#elif defined(__has_feature) && !defined(RIG_INEXACT)
#if __has_feature(address_sanitizer)
#define RIG_SANITIZED true
#endif
#endif
#ifndef RIG_SANITIZED
#define RIG_SANITIZED false
#endif

/* For tests of what write-protection alone can do; without it they are skipped. */
static const char *const rig_wp[] = { "SKSM_TRACKER=wp", NULL };

/* Of tests that do not ask for one. */
#ifndef RIG_TRACKER
#define RIG_TRACKER "auto"
#endif

#define RIG_RESERVED (256 * MIB)
#define RIG_SKIP (2 * PAGE)

struct rig {
	void *reservation;
	char dir[32];
	struct sksm_options options;
	struct sksm_tracker *tracker;
	const char *reason;
	bool audits_are_dear;
};

/*
 * @more: NAME=VALUE strings, NULL at the end, that override the usual ones. May be NULL. The
 * tracker is the one that the kernel allows; SKSM_TEST_TRACKER=digest in the environment makes it
 * compare digests wherever the test does not ask for write-protection.
 */
static inline void rig_parse(struct rig *rig, const char *const *more)
{
	const char *kind = getenv("SKSM_TEST_TRACKER");
	char dir[48], tracker[32];
	const char *envp[RIG_VARIABLES] = {
		dir, tracker, "SKSM_INTERVAL_MS=1", "SKSM_AGE_MS=0", "SKSM_CPU_PERCENT=100",
		"SKSM_THRESHOLD=4M", "SKSM_ENGINE=none",
	};
	unsigned int count = 7;

	snprintf(dir, sizeof(dir), "SKSM_DIR=%s", rig->dir);
	snprintf(tracker, sizeof(tracker), "SKSM_TRACKER=%s", kind ? kind : RIG_TRACKER);
	while (more && *more && count < RIG_VARIABLES - 1)
		envp[count++] = *more++;
	sksm_options_parse(&rig->options, (char *const *)envp, NULL, NULL);
}

/* In the directory of @rig, which exists. True where the tracker came up. */
static inline bool rig_init(struct rig *rig)
{
	int domain_fd = sksm_domain_open(&sksm_sys_kernel, &rig->options);

	rig->reason = "the domain cannot be opened";
	rig->tracker = domain_fd < 0 ? NULL :
		       sksm_tracker_init(&inject_sys, &rig->options, domain_fd, rig->reservation,
				       RIG_RESERVED, RIG_SKIP, &rig->reason);
	if (!rig->tracker && domain_fd >= 0)
		close(domain_fd);
	/* How busy this machine is does not matter; before the first pass nothing is pressing. */
	if (rig->tracker)
		rig->tracker->pressure.next_ns = UINT64_MAX;
	return rig->tracker != NULL;
}

static inline void rig_start(struct rig *rig, const char *const *more)
{
	struct sksm_probe probe;
	const char *reason;

	if (RIG_SANITIZED)
		unit_skip("counts exactly, which the sanitizer's own memory disturbs");
	rig->audits_are_dear = false;
	unit_make_dir(rig->dir);
	rig_parse(rig, more);
	sksm_probe_run(&sksm_sys_kernel, NULL, &probe);
	reason = sksm_probe_obstacle(&probe, sksm_probe_tracker(&probe, &rig->options));
	if (reason) {
		unit_remove_dir(rig->dir);
		unit_skip(reason);
	}
	rig->reservation = sksm_arena_reserve(&sksm_sys_kernel, RIG_RESERVED);
	cr_assert_not_null(rig->reservation);
	cr_assert(rig_init(rig), "no tracker: %s", rig->reason);
	inject_reset();
}

static inline void rig_stop(struct rig *rig)
{
	sksm_tracker_fini(rig->tracker);
	munmap(rig->reservation, RIG_RESERVED);
	unit_remove_dir(rig->dir);
}

/* Audits are made whenever they are wanted, however slow this machine is. */
static inline void rig_pass(struct rig *rig, unsigned int passes)
{
	while (passes--) {
		/* Without write-protection nothing is armed without one. */
		if (!rig->audits_are_dear)
			rig->tracker->audit.cost_ns = 0;
		sksm_tracker_pass(rig->tracker);
		unit_sleep_ms(1);
	}
}

static inline struct sksm_block *rig_block(const struct rig *rig, const void *address)
{
	return sksm_blocks_find(&rig->tracker->blocks, (uintptr_t)address >> SKSM_BLOCK_SHIFT);
}

static inline enum sksm_page_state rig_state(const struct rig *rig, const void *address)
{
	const struct sksm_block *block = rig_block(rig, address);

	return block ? block->state[(uintptr_t)address / PAGE % SKSM_BLOCK_PAGES] :
	       SKSM_PAGE_NONE;
}

#define RIG_BIT(state) (1u << SKSM_PAGE_##state)
#define RIG_DIGESTED (RIG_BIT(UNIQUE) | RIG_BIT(TWIN) | RIG_BIT(OFFERED) | RIG_BIT(REFUSED) | \
		      RIG_BIT(MERGED) | RIG_BIT(ZERO))

/* How many of @pages pages from @start are in one of @states (RIG_BITs). */
static inline unsigned int rig_count(const struct rig *rig, const char *start,
				     unsigned int pages, unsigned int states)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < pages; i++)
		count += states >> rig_state(rig, start + i * PAGE) & 1;
	return count;
}

/* Make passes until @want of the pages are in @states. False: not before the deadline. */
static inline bool rig_pass_until(struct rig *rig, const char *start, unsigned int pages,
				  unsigned int states, unsigned int want)
{
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;

	do {
		rig_pass(rig, 1);
		if (rig_count(rig, start, pages, states) >= want)
			return true;
	} while (unit_now_ms() < end_ms);
	return false;
}

/* "2 LOOSE at 17, 2046 MERGED at 0": for messages. Not for two threads at once. */
static inline const char *rig_states(const struct rig *rig, const char *start, unsigned int pages)
{
	static const char *const names[] = { "NONE", "LOOSE", "ARMED", "UNIQUE", "TWIN", "OFFERED",
					     "REFUSED", "MERGED", "ZERO", "SHARED" };
	static char text[512];
	size_t used = 0;

	text[0] = 0;
	for (unsigned int state = 0; state < sizeof(names) / sizeof(names[0]); state++) {
		unsigned int count = rig_count(rig, start, pages, 1u << state), first = 0;

		while (first < pages && rig_state(rig, start + first * PAGE) != state)
			first++;
		if (count > 0)
			used += snprintf(text + used, sizeof(text) - used, "%s%u %s at %u",
					 used > 0 ? ", " : "", count, names[state], first);
	}
	return text;
}

/* The counts, bits and totals of all blocks agree with one another. */
static inline bool rig_blocks_consistent(const struct sksm_blocks *blocks)
{
	uint64_t total[SKSM_PAGE_STATES] = { 0 }, armed = 0;

	for (struct sksm_block *block = blocks->table; block; block = block->hh.next) {
		unsigned int count[SKSM_PAGE_STATES] = { 0 };

		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
			uint8_t state = block->state[page];

			count[state]++;
			total[state]++;
			armed += sksm_bit(block->armed, page);
			if (sksm_bit(block->present, page) != (state != SKSM_PAGE_NONE) ||
			    sksm_bit(block->armed, page) !=
			    (state >= SKSM_PAGE_ARMED && !block->huge))
				return false;
		}
		for (int state = 0; state < SKSM_PAGE_STATES; state++)
			if (count[state] != block->count[state])
				return false;
	}
	return armed == blocks->armed && memcmp(total, blocks->total, sizeof(total)) == 0;
}

#endif
