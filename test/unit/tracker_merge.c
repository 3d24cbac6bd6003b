/* SPDX-License-Identifier: MIT */
/* Merging for real, by ksmd, and what the tracker makes of it. */
#include "ksmd.h"
#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
#define CONTENTS 512		/* each of them four times */

static struct rig rig;
static struct ksmd ksmd;
static char *data;
static uint64_t content[PAGES];

static void setup(void)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", "SKSM_AGE_MS=20", NULL };

	rig_start(&rig, variables);
	ksmd = ksmd_start();
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++) {
		/* No other process of this machine has such pages. */
		content[i] = (uint64_t)getpid() << 32 | (i % CONTENTS + 1);
		unit_fill_page(data + i * PAGE, content[i]);
	}
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
	ksmd_stop(&ksmd);
}

TestSuite(tracker_merge, .init = setup, .fini = teardown);

static void expect_content(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(data + i * PAGE, content[i]), "page %u", i);
}

static void change(unsigned int page, uint64_t to)
{
	content[page] = to;
	unit_fill_page(data + page * PAGE, to);
}

/* As the kernel sees it: mapped elsewhere too. */
static unsigned int count_shared_frames(const char *start, unsigned int pages)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < pages; i++) {
		uint64_t entry = unit_pagemap_entry(start + i * PAGE);

		count += (entry & SKSM_PM_PRESENT) && !(entry & SKSM_PM_EXCLUSIVE);
	}
	return count;
}

Test(tracker_merge, own_merges_are_not_taken_for_writes)
{
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES), "%u merged",
		  rig_count(&rig, data, PAGES, RIG_BIT(MERGED)));
	cr_assert_eq(count_shared_frames(data, PAGES), PAGES);
	rig_pass(&rig, 20);
	cr_assert_eq(rig.tracker->counters.writes_seen, 0);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 0);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(MERGED)), PAGES);
	/* Armed again, or the next write would not be seen; and that undid nothing. */
	for (unsigned int i = 0; i < PAGES && rig.tracker->kind == SKSM_TRACKER_WP; i++)
		cr_assert(unit_pagemap_entry(data + i * PAGE) & SKSM_PM_UFFD_WP);
	cr_assert_eq(count_shared_frames(data, PAGES), PAGES);
	cr_assert_eq(rig.tracker->counters.pending, 0);
	expect_content();
}

Test(tracker_merge, writes_to_merged_pages_are_cow_breaks)
{
	unsigned int broken = 0;

	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	for (unsigned int i = 5; i < PAGES; i += 100, broken++)
		change(i, content[i] + 1000000 + i);
	/* Soon after the merge, however slow the machine is. */
	rig.options.age_ms = 60000;
	sksm_tracker_pass(rig.tracker);
	rig.options.age_ms = 0;
	cr_assert_eq(rig.tracker->counters.cow_breaks, broken);
	cr_assert_eq(rig.tracker->counters.writes_seen, broken);
	expect_content();
	/* They are unique now, and wait longer than the first time before they are looked at. */
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), broken));
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(MERGED)), PAGES - broken);
	cr_assert_gt(rig_block(&rig, data)->age_shift, 0);
	/* Equal again to what is merged: they are merged again. */
	for (unsigned int i = 5; i < PAGES; i += 100)
		change(i, (uint64_t)getpid() << 32 | (i % CONTENTS + 1));
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	expect_content();
}

Test(tracker_merge, zero_pages)
{
	char *zero = unit_map(BYTES);

	/* Written, so that memory is behind them. */
	memset(zero, 0, BYTES);
	cr_assert(rig_pass_until(&rig, zero, PAGES, RIG_BIT(ZERO), PAGES), "%u zero, %u merged",
		  rig_count(&rig, zero, PAGES, RIG_BIT(ZERO)),
		  rig_count(&rig, zero, PAGES, RIG_BIT(MERGED)));
	cr_assert_eq(rig.tracker->counters.writes_seen, 0);
	cr_assert_eq(rig.tracker->counters.resident, 2 * BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(zero + i * PAGE, 0));
	for (unsigned int i = 0; i < 10; i++)
		unit_fill_page(zero + i * PAGE, 1000 + i);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 10);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(zero + i * PAGE, i < 10 ? 1000 + i : 0));
}

Test(tracker_merge, merged_memory_that_goes_away)
{
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	cr_assert_eq(madvise(data, 512 * PAGE, MADV_DONTNEED), 0);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data, 512, RIG_BIT(NONE)), 512);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 0);
	for (unsigned int i = 0; i < 512; i++)
		content[i] = 0;
	expect_content();
	cr_assert_eq(munmap(data + BYTES / 2, BYTES / 2), 0);
	rig.options.threshold_bytes = MIB;
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data + BYTES / 2, PAGES / 2, RIG_BIT(NONE)), PAGES / 2);
}

static void wait_shared(const char *start, unsigned int pages)
{
	for (unsigned int tries = 0; count_shared_frames(start, pages) < pages; tries++) {
		cr_assert_lt(tries, 800, "%u of %u pages are merged",
			     count_shared_frames(start, pages), pages);
		unit_sleep_ms(10);
	}
}

/* What the kernel merged before we came to digest it is a twin to others nonetheless. */
Test(tracker_merge, twins_of_what_was_merged_before)
{
	char *marked = unit_map(BYTES), *lone = unit_map(BYTES);

	for (unsigned int i = 0; i < PAGES; i++) {
		unit_fill_page(marked + i * PAGE, 5000 + i % 64);
		unit_fill_page(lone + i * PAGE, 10000 + i);
	}
	cr_assert_eq(madvise(marked, BYTES, MADV_MERGEABLE), 0);
	wait_shared(marked, PAGES);
	ksmd_write("run", "0");
	cr_assert(rig_pass_until(&rig, marked, PAGES, RIG_BIT(MERGED), PAGES), "%s",
		  rig_states(&rig, marked, PAGES));
	cr_assert_eq(count_shared_frames(marked, PAGES), PAGES, "to be digested undoes a merge");
	ksmd_write("run", "1");
	unit_fill_page(lone, 5000);
	cr_assert(rig_pass_until(&rig, lone, 1, RIG_BIT(MERGED), 1), "%s",
		  rig_states(&rig, lone, PAGES));
	cr_assert_eq(rig_count(&rig, marked, PAGES, RIG_BIT(MERGED)), PAGES, "%s",
		     rig_states(&rig, marked, PAGES));
	/* Withdrawn like others: where nothing holds it any more, it has no twin. */
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(marked + i * PAGE, 20000 + i);
	cr_assert(rig_pass_until(&rig, marked, PAGES, RIG_BIT(UNIQUE), PAGES), "%s",
		  rig_states(&rig, marked, PAGES));
	unit_fill_page(lone + 512 * PAGE, 5001);
	cr_assert(rig_pass_until(&rig, lone + 512 * PAGE, 1, RIG_BIT(UNIQUE), 1), "%s",
		  rig_states(&rig, lone, PAGES));
}

/* Likewise what was written to a marked run, and merged again before it was digested. */
Test(tracker_merge, twins_of_what_was_merged_undigested)
{
	char *small = unit_map(4 * PAGE), *lone = unit_map(BYTES);
	unsigned int age_ticks = rig.tracker->age_ticks;

	if (rig.tracker->kind != SKSM_TRACKER_WP)
		unit_skip("what is merged while it waits is known by its write-protection");
	/* Guards: two frames in memory that is not watched, and no part of a larger region. */
	cr_assert_eq(mprotect(small, PAGE, PROT_NONE), 0);
	cr_assert_eq(mprotect(small + 3 * PAGE, PAGE, PROT_NONE), 0);
	small += PAGE;
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(lone + i * PAGE, 40000 + i);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	for (unsigned int i = 0; i < 2; i++)
		unit_fill_page(small + i * PAGE, 30000);
	cr_assert_eq(madvise(small, 2 * PAGE, MADV_MERGEABLE), 0);
	wait_shared(small, 2);

	ksmd_write("run", "0");
	rig.tracker->age_ticks = 200;
	change(5, 30000);
	cr_assert(rig_pass_until(&rig, data + 5 * PAGE, 1, RIG_BIT(ARMED), 1));
	ksmd_write("run", "1");
	wait_shared(data + 5 * PAGE, 1);
	rig_pass(&rig, 1);
	cr_assert_eq(rig_state(&rig, data + 5 * PAGE), SKSM_PAGE_MERGED);
	rig.tracker->age_ticks = age_ticks;
	unit_fill_page(lone, 30000);
	cr_assert(rig_pass_until(&rig, lone, 1, RIG_BIT(MERGED), 1), "%s",
		  rig_states(&rig, lone, PAGES));
	expect_content();
}

/* Any change at any time: what the program put there is there. */
Test(tracker_merge, random_writes_while_merging)
{
	uint64_t seed = 11, end_ms = unit_now_ms() + 3000;
	unsigned int merged = 0;

	/* On a busy machine it takes a while until there is anything to disturb. */
	while (unit_now_ms() < end_ms || (!merged && unit_now_ms() < end_ms + RIG_DEADLINE_MS)) {
		for (unsigned int i = 0; i < 20; i++)
			change(unit_random(&seed) % PAGES,
			       unit_random(&seed) % 3 ? unit_random(&seed) % 64 : 0);
		rig_pass(&rig, 1);
		merged |= rig_count(&rig, data, PAGES, RIG_BIT(MERGED) | RIG_BIT(ZERO));
		for (unsigned int i = 0; i < 50; i++) {
			unsigned int page = unit_random(&seed) % PAGES;

			cr_assert(unit_page_holds(data + page * PAGE, content[page]));
		}
	}
	expect_content();
	cr_assert_gt(merged, 0);
	/* And once it is quiet, all twins are merged. */
	for (unsigned int i = 0; i < PAGES; i++)
		change(i, i % 64 + 1);
	/* What comparing does not see: one that was merged again before it was looked at. */
	cr_assert(rig_pass_until(&rig, data, PAGES, rig.tracker->kind == SKSM_TRACKER_WP ?
				 RIG_BIT(MERGED) : RIG_BIT(MERGED) | RIG_BIT(ZERO), PAGES), "%s",
		  rig_states(&rig, data, PAGES));
	expect_content();
}
