/* SPDX-License-Identifier: MIT */
/* What arming costs a program that writes, counted in faults, and that calm memory is found. */
#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
#define SAMPLE_PAGES 8

static struct rig rig;

static void setup(void)
{
	rig_start(&rig, rig_wp);
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(heat, .init = setup, .fini = teardown);

/*
 * Write @pages pages of each of @blocks blocks before each of many passes, and check that faults
 * stay within a sample for each doubling of the time that a hot block is left alone.
 */
static void expect_backing_off(char *start, unsigned int pages, unsigned int blocks,
			       unsigned int samples)
{
	uint64_t begin_ms = unit_now_ms(), elapsed_ms, faults;
	unsigned int doublings = 1;

	for (unsigned int pass = 0; pass < 300; pass++) {
		for (unsigned int i = 0; i < pages; i++)
			start[i * PAGE] = (char)pass;
		rig_pass(&rig, 1);
	}
	elapsed_ms = unit_now_ms() - begin_ms;
	while (1ull << doublings < elapsed_ms + 2)
		doublings++;
	faults = rig.tracker->counters.writes_seen;
	cr_assert_gt(faults, 0);
	cr_assert_leq(faults, (uint64_t)blocks * samples * SAMPLE_PAGES * (doublings + 1),
		      "%lu faults in %lu ms", (unsigned long)faults, (unsigned long)elapsed_ms);
}

Test(heat, a_hot_block_is_left_alone_for_longer_and_longer)
{
	char *data = unit_map(BYTES);

	/*
	 * The last pass may have taken samples, and digested them: the age is 0. No two pages are
	 * equal, so that a sample has no twin in another one.
	 */
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	expect_backing_off(data, PAGES, PAGES / SKSM_BLOCK_PAGES, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_DIGESTED & ~RIG_BIT(UNIQUE)), 0);
	cr_assert_leq(rig_count(&rig, data, PAGES, RIG_DIGESTED),
		      PAGES / SKSM_BLOCK_PAGES * SAMPLE_PAGES, "%s", rig_states(&rig, data, PAGES));
	cr_assert_gt(rig.tracker->counters.hot, BYTES / 2);
}

/* Two regions that end and begin within one block of 2 MiB are judged like any other. */
Test(heat, a_hot_block_with_two_regions_in_it)
{
	char *data = unit_map(6 * MIB);

	rig.options.threshold_bytes = 512 << 10;
	/* The hole is too large for the guard of a stack. */
	cr_assert_eq(mprotect(data + 2 * MIB + 896 * 1024, 256 << 10, PROT_NONE), 0);
	cr_assert_eq(mprotect(data, 2 * MIB, PROT_NONE), 0);
	cr_assert_eq(mprotect(data + 4 * MIB, 2 * MIB, PROT_NONE), 0);
	for (unsigned int pass = 0; pass < 300; pass++) {
		for (unsigned int i = 0; i < 896 / 4; i++) {
			data[2 * MIB + i * PAGE] = (char)pass;
			data[3 * MIB + 128 * 1024 + i * PAGE] = (char)pass;
		}
		rig_pass(&rig, 1);
	}
	cr_assert_gt(rig.tracker->counters.writes_seen, 0);
	/* Each bulk arming of a block that did not prove calm would cost 448 faults. */
	cr_assert_leq(rig.tracker->counters.writes_seen, 40 * SAMPLE_PAGES, "%lu faults",
		      (unsigned long)rig.tracker->counters.writes_seen);
}

Test(heat, what_cooled_down_is_found)
{
	char *data = unit_map(BYTES);

	for (unsigned int pass = 0; pass < 50; pass++) {
		for (unsigned int i = 0; i < PAGES; i++)
			unit_fill_page(data + i * PAGE, i + 1);
		rig_pass(&rig, 1);
	}
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	cr_assert_eq(rig.tracker->counters.hot, 0);
}

/* One hot page does not keep its neighbours from being found. */
Test(heat, a_hot_page_among_calm_ones)
{
	char *data = unit_map(BYTES);
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	unsigned int found = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	while (found < PAGES - 1 && unit_now_ms() < end_ms) {
		data[77 * PAGE]++;
		rig_pass(&rig, 1);
		found = rig_count(&rig, data, 77, RIG_BIT(UNIQUE)) +
			rig_count(&rig, data + 78 * PAGE, PAGES - 78, RIG_BIT(UNIQUE));
	}
	cr_assert_eq(found, PAGES - 1);
}

static char *touch;

/* The program faults a page in after the scan and before the block of it is armed. */
static void touch_before_arming(unsigned long request, void *arg)
{
	const struct sksm_pm_scan_arg *scan = arg;

	if (request == SKSM_PAGEMAP_SCAN && scan->flags & SKSM_PM_SCAN_WP_MATCHING && touch &&
	    scan->start <= (uintptr_t)touch && (uintptr_t)touch < scan->end) {
		unit_fill_page(touch, 4711);
		touch = NULL;
	}
}

Test(heat, a_page_that_appears_while_its_block_is_armed)
{
	char *data = unit_map(BYTES);

	for (unsigned int i = 0; i < PAGES; i++)
		if (i != 100)
			unit_fill_page(data + i * PAGE, i + 1);
	touch = data + 100 * PAGE;
	inject.before_ioctl = touch_before_arming;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES - 1));
	cr_assert_null(touch, "it was touched");
	inject.before_ioctl = NULL;
	/* It is protected, though nobody knew that it was there. */
	rig_pass(&rig, 200);
	cr_assert_eq(rig_state(&rig, data + 100 * PAGE), SKSM_PAGE_UNIQUE, "state %d for ever",
		     rig_state(&rig, data + 100 * PAGE));
	cr_assert(unit_page_holds(data + 100 * PAGE, 4711));
}

Test(heat, nothing_is_armed_without_a_budget)
{
	char *data = unit_map(BYTES);

	memset(data, 1, BYTES);
	rig.tracker->budget.credit_ns = -1000000000000ll;
	rig_pass(&rig, 5);
	cr_assert_eq(rig.tracker->counters.armed, 0);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(LOOSE)), PAGES);
	cr_assert_gt(sksm_tracker_pass(rig.tracker), 1000000000ull, "and the pause is long");
}

#define FAR_NS 1000000000000ull

/* Blocks of @data as if they had been hot for long; the first one is due. */
static void make_hot(char *data)
{
	for (unsigned int i = 0; i < PAGES; i += SKSM_BLOCK_PAGES) {
		struct sksm_block *block = rig_block(&rig, data + i * PAGE);

		block->level = 10;
		block->proven = false;
		block->sampling = 0;
		block->next_arm_ns = i ? rig.tracker->now_ns + FAR_NS : 0;
		for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
			sksm_block_set(&rig.tracker->blocks, block, page, SKSM_PAGE_LOOSE);
	}
	rig.tracker->next_thaw_ns = 0;
}

/* Of many hot blocks one is seen to have become calm: the others do not wait for their time. */
Test(heat, calm_spreads)
{
	/* Blocks of its own. */
	char *data = unit_map(BYTES + SKSM_BLOCK_BYTES);
	unsigned int before;

	data += -(uintptr_t)data % SKSM_BLOCK_BYTES;
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	rig.options.age_ms = 10000;
	rig_pass(&rig, 1);
	make_hot(data);
	/* Sampled, judged and armed: the first. */
	rig_pass(&rig, 2);
	before = rig_count(&rig, data + SKSM_BLOCK_BYTES, PAGES - SKSM_BLOCK_PAGES,
			   RIG_BIT(LOOSE));
	cr_assert_geq(before, PAGES - SKSM_BLOCK_PAGES - 8 * 3, "%u loose", before);
	rig_pass(&rig, 2);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(LOOSE)), 0);
}

/* Hot as before: those that are not due wait. */
Test(heat, heat_does_not_spread_calm)
{
	char *data = unit_map(BYTES + SKSM_BLOCK_BYTES);

	data += -(uintptr_t)data % SKSM_BLOCK_BYTES;
	memset(data, 1, BYTES);
	rig_pass(&rig, 1);
	make_hot(data);
	for (int pass = 0; pass < 6; pass++) {
		for (unsigned int i = 0; i < SKSM_BLOCK_PAGES; i++)
			data[i * PAGE]++;
		rig_pass(&rig, 1);
	}
	/* But for those that the first pass had sampled. */
	cr_assert_geq(rig_count(&rig, data + SKSM_BLOCK_BYTES, PAGES - SKSM_BLOCK_PAGES,
				RIG_BIT(LOOSE)), PAGES - SKSM_BLOCK_PAGES - 8 * 3);
}

/* The age after a merge was undone that was made @lived_ns ago. */
static unsigned int shift_after(struct sksm_block *block, unsigned int shift, uint64_t lived_ns)
{
	block->age_shift = (uint8_t)shift;
	block->merged_ns = rig.tracker->now_ns - lived_ns;
	sksm_heat_note_break(rig.tracker, block);
	sksm_heat_pass(rig.tracker);
	cr_assert_not(block->broken);
	return block->age_shift;
}

Test(heat, merges_that_did_not_pay)
{
	char *data = unit_map(BYTES);
	struct sksm_block *block;

	memset(data, 1, BYTES);
	rig_pass(&rig, 1);
	block = rig_block(&rig, data);
	rig.options.age_ms = 2000;
	rig.options.interval_ms = 1000;
	rig.tracker->pressure.memory_percent = 0;
	cr_assert_eq(shift_after(block, 0, 8900000000), 1);
	cr_assert_eq(shift_after(block, 3, 1000000000), 3, "three times at most");
	cr_assert_eq(shift_after(block, 3, 9100000000), 2);
	cr_assert_eq(shift_after(block, 0, 9100000000), 0);
	/* Where memory is short, less is enough. */
	rig.tracker->pressure.memory_percent = 50;
	cr_assert_eq(shift_after(block, 1, 3100000000), 0);
	cr_assert_eq(shift_after(block, 1, 2900000000), 2);
}
