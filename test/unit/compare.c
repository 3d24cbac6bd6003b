/* SPDX-License-Identifier: MIT */
/* The tracker that compares digests, on any kernel. */
#include "ksmd.h"
#include "rig.h"

#include <sys/resource.h>

#include "tracker/compare.h"
#include "tracker/scan.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
#define HUGE (2 * MIB)

static struct rig rig;

static void start(const char *more, const char *still_more)
{
	const char *const variables[] = { "SKSM_TRACKER=digest", more, still_more, NULL };

	rig_start(&rig, variables);
	cr_assert_eq(rig.tracker->kind, SKSM_TRACKER_DIGEST);
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(compare, .fini = teardown);

/* Nobody else has such pages. */
static uint64_t own(uint64_t content)
{
	return (uint64_t)getpid() << 32 | content;
}

static char *map_filled(unsigned int contents)
{
	char *data = unit_map(BYTES);

	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, own(i % contents + 1));
	return data;
}

static unsigned int count_minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (unsigned int)usage.ru_minflt;
}

Test(compare, calm_memory_is_digested_and_nothing_faults)
{
	unsigned int faults;
	char *data;

	start("SKSM_AGE_MS=20", NULL);
	data = map_filled(PAGES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES), "%s",
		  rig_states(&rig, data, PAGES));
	faults = count_minor_faults();
	for (unsigned int i = 0; i < PAGES; i++)
		data[i * PAGE]++;
	cr_assert_lt(count_minor_faults() - faults, 16);
	/* Nothing was protected. */
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(!(unit_pagemap_entry(data + i * PAGE) & SKSM_PM_UFFD_WP));
}

Test(compare, what_changes_before_it_is_ripe_is_not_published)
{
	uint64_t end_ms;
	char *data;

	start("SKSM_AGE_MS=30", NULL);
	data = map_filled(PAGES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(ARMED), PAGES / 2));
	/* Until that has cost it its sample; an audit comes before each. */
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	while (!rig_block(&rig, data)->level && unit_now_ms() < end_ms) {
		for (unsigned int i = 0; i < PAGES; i++)
			data[i * PAGE]++;
		rig_pass(&rig, 1);
		cr_assert_leq(rig_count(&rig, data, PAGES, RIG_DIGESTED), PAGES / 8);
	}
	cr_assert_gt(rig.tracker->counters.writes_seen, 0);
	cr_assert_gt(rig_block(&rig, data)->level, 0);
}

Test(compare, a_write_to_digested_memory_is_found_later)
{
	uint64_t writes, end_ms;
	char *data;

	start("SKSM_AGE_MS=10", NULL);
	data = map_filled(PAGES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	writes = rig.tracker->counters.writes_seen;
	for (unsigned int i = 0; i < PAGES; i += 2)
		unit_fill_page(data + i * PAGE, own(2 * PAGES + i));
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	while (rig.tracker->counters.writes_seen < writes + PAGES / 2 && unit_now_ms() < end_ms)
		rig_pass(&rig, 1);
	cr_assert_eq(rig.tracker->counters.writes_seen, writes + PAGES / 2);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
}

Test(compare, merges_zero_pages_and_breaks, .timeout = 100)
{
	unsigned int broken = 0;
	struct ksmd ksmd;
	char *data, *zero;
	uint64_t end_ms;

	start("SKSM_ENGINE=ksm", "SKSM_AGE_MS=20");
	ksmd = ksmd_start();
	data = map_filled(PAGES / 4);
	zero = unit_map(BYTES);
	memset(zero, 0, BYTES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES), "%s",
		  rig_states(&rig, data, PAGES));
	cr_assert(rig_pass_until(&rig, zero, PAGES, RIG_BIT(ZERO), PAGES), "%s",
		  rig_states(&rig, zero, PAGES));
	rig_pass(&rig, 50);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 0);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(MERGED)), PAGES, "%s",
		     rig_states(&rig, data, PAGES));
	for (unsigned int i = 5; i < PAGES; i += 100, broken += 2) {
		unit_fill_page(data + i * PAGE, own(2 * PAGES + i));
		unit_fill_page(zero + i * PAGE, own(4 * PAGES + i));
	}
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	while (rig.tracker->counters.cow_breaks < broken && unit_now_ms() < end_ms)
		rig_pass(&rig, 1);
	cr_assert_eq(rig.tracker->counters.cow_breaks, broken);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), broken / 2));
	for (unsigned int i = 0; i < PAGES; i++) {
		cr_assert(unit_page_holds(data + i * PAGE, own(i % 100 == 5 ? 2 * PAGES + i :
							       i % (PAGES / 4) + 1)));
		cr_assert(unit_page_holds(zero + i * PAGE,
					  i % 100 == 5 ? own(4 * PAGES + i) : 0));
	}
	ksmd_stop(&ksmd);
}

Test(compare, holes_and_what_went)
{
	char *data;

	start(NULL, NULL);
	data = map_filled(PAGES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	cr_assert_eq(madvise(data, BYTES / 2, MADV_DONTNEED), 0);
	rig_pass(&rig, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(NONE)), PAGES / 2);
	cr_assert_eq(munmap(data + BYTES / 2, BYTES / 2), 0);
	rig_pass(&rig, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(NONE)), PAGES);
}

/* Read by nobody, not even to compare it with itself. */
static void expect_untouched(const char *data)
{
	const struct sksm_block *block;

	rig_pass(&rig, 100);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(LOOSE)), PAGES, "%s",
		     rig_states(&rig, data, PAGES));
	for (unsigned int i = 0; i < PAGES; i++) {
		block = rig_block(&rig, data + i * PAGE);
		cr_assert_eq(sksm_block_digest(block, i % SKSM_BLOCK_PAGES), 0);
	}
}

/* Blocks belong to it as a whole. */
static char *map_aligned(void)
{
	char *area = unit_map(BYTES + 2 * HUGE);
	char *data = (char *)(((uintptr_t)area + HUGE - 1) & -HUGE);

	munmap(area, (size_t)(data - area));
	munmap(data + BYTES, (size_t)(area + 2 * HUGE - data));
	return data;
}

Test(compare, sensitive_memory)
{
	char *data;

	start(NULL, NULL);
	data = map_aligned();
	cr_assert_eq(madvise(data, BYTES, MADV_DONTDUMP), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, own(1));
	expect_untouched(data);
}

Test(compare, sensitive_pages_among_others)
{
	char *data;

	start(NULL, NULL);
	data = map_aligned();
	cr_assert_eq(madvise(data + PAGE, PAGE, MADV_DONTDUMP), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, own(1));
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_DIGESTED, PAGES - 1));
	cr_assert_eq(sksm_block_digest(rig_block(&rig, data), 1), 0);
}

Test(compare, memory_of_the_programs_own_userfaultfd)
{
	int uffd = sksm_scan_open_uffd(&sksm_sys_kernel);
	char *data;

	if (uffd < 0)
		unit_skip("the kernel gives no userfaultfd");
	start(NULL, NULL);
	data = map_aligned();
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, own(1));
	cr_assert_eq(sksm_scan_register(&sksm_sys_kernel, uffd, (uintptr_t)data,
					(uintptr_t)data + BYTES), 0);
	expect_untouched(data);
	close(uffd);
}

Test(compare, huge_pages_stay_whole)
{
	uint64_t end_ms, huge = 0;
	char *data;

	start("SKSM_ENGINE=ksm", NULL);
	data = map_aligned();
	cr_assert_eq(madvise(data, BYTES, MADV_HUGEPAGE), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, own(i));
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	do {
		rig_pass(&rig, 1);
		huge = 0;
		for (unsigned int i = 0; i < PAGES; i += SKSM_BLOCK_PAGES)
			huge += rig_block(&rig, data + i * PAGE)->huge == SKSM_HUGE_KNOWN;
		if (!rig.tracker->audit.huge.count && rig.tracker->audit.done_ns)
			unit_skip("the kernel gave no huge pages");
	} while (huge < PAGES / SKSM_BLOCK_PAGES && unit_now_ms() < end_ms);
	cr_assert_eq(huge, PAGES / SKSM_BLOCK_PAGES);
	cr_assert_eq(rig.tracker->counters.huge_lost, 0);
}

Test(compare, very_large_mappings_are_left_out)
{
	size_t bytes = SKSM_COMPARE_MAX_BYTES + PAGE;
	char *data;

	start(NULL, NULL);
	data = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert_neq(data, MAP_FAILED);
	data[0] = 1;
	rig_pass(&rig, 3);
	cr_assert_null(rig_block(&rig, data));
	munmap(data, bytes);
}
