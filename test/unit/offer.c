/* SPDX-License-Identifier: MIT */
/* What is marked for ksmd and what is not. Whether ksmd runs does not matter here. */
#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
#define OFFERED (RIG_BIT(OFFERED) | RIG_BIT(MERGED) | RIG_BIT(REFUSED) | RIG_BIT(ZERO))

static struct rig rig;
static char *data;

static void start(const char *engine)
{
	const char *const variables[] = { engine, NULL };

	rig_start(&rig, variables);
	if (rig.tracker->probe.error[SKSM_ABLE_KSM])
		unit_skip("the kernel has no KSM");
	data = unit_map(BYTES);
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(offer, .fini = teardown);

/* Runs of @twins pages that occur twice, then @unique that occur once, over and over. */
static unsigned int fill(unsigned int twins, unsigned int unique)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		bool twin = i % (twins + unique) < twins;

		unit_fill_page(data + i * PAGE, twin ? count / 2 + 1 : 100000 + i);
		count += twin;
	}
	/* A last one without its twin is none. */
	return count & ~1u;
}

static bool holds(unsigned int twins, unsigned int unique)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		bool twin = i % (twins + unique) < twins;

		if (!unit_page_holds(data + i * PAGE, twin ? count / 2 + 1 : 100000 + i))
			return false;
		count += twin;
	}
	return true;
}

Test(offer, only_runs_with_twins_are_marked)
{
	unsigned int twins;

	start("SKSM_ENGINE=ksm");
	twins = fill(64, 64);
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	cr_assert_eq(rig_count(&rig, data, PAGES, OFFERED), twins);
	cr_assert(unit_is_mergeable(data));
	cr_assert_not(unit_is_mergeable(data + 64 * PAGE));
	cr_assert(unit_is_mergeable(data + 128 * PAGE));
	cr_assert_eq(rig.tracker->counters.offered, twins * PAGE);
	cr_assert_geq(inject.advised[MADV_MERGEABLE], PAGES / 128);
	cr_assert(holds(64, 64));
}

/* Each mark may cut a mapping in three, so calm pages between two twins are taken along. */
Test(offer, small_gaps_are_bridged)
{
	unsigned int twins, before;

	start("SKSM_ENGINE=ksm");
	twins = fill(2, 2);
	before = unit_count_mappings();
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED | RIG_BIT(UNIQUE), PAGES));
	rig_pass(&rig, 5);
	cr_assert_leq(unit_count_mappings(), before + 64);
	cr_assert(holds(2, 2));
}

Test(offer, none_marks_nothing)
{
	unsigned int twins;

	start("SKSM_ENGINE=none");
	twins = fill(64, 64);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), twins));
	rig_pass(&rig, 20);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(TWIN)), twins);
	cr_assert_eq(inject.advised[MADV_MERGEABLE], 0);
	cr_assert_eq(inject.advised[MADV_UNMERGEABLE], 0);
	cr_assert_eq(inject.advised[SKSM_MADV_MERGE], 0);
	cr_assert_eq(rig.tracker->counters.offered, 0);
	cr_assert_eq(rig.tracker->counters.duplicate, twins * PAGE);
}

Test(offer, estimate_mode_marks_nothing_either)
{
	const char *const variables[] = { "SKSM_MODE=estimate", "SKSM_ENGINE=ksm", NULL };

	rig_start(&rig, variables);
	data = unit_map(BYTES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), fill(64, 64)));
	rig_pass(&rig, 10);
	cr_assert_eq(inject.advised[MADV_MERGEABLE], 0);
	cr_assert_not(unit_is_mergeable(data));
}

/* Never near vm.max_map_count, here set to what the process has, and a few. */
Test(offer, the_number_of_mappings_is_respected)
{
	unsigned int twins, limit;
	uint64_t end_ms, audited_ns;

	start("SKSM_ENGINE=ksm");
	twins = fill(17, 17);
	sksm_tracker_pass(rig.tracker);
	limit = unit_count_mappings() * 2 + 20;
	rig.tracker->max_mappings = limit;
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	while (rig_count(&rig, data, PAGES, RIG_DIGESTED) < PAGES && unit_now_ms() < end_ms) {
		rig_pass(&rig, 1);
		cr_assert_leq(unit_count_mappings(), limit);
	}
	for (unsigned int pass = 0; pass < 50; pass++) {
		rig_pass(&rig, 1);
		cr_assert_leq(unit_count_mappings(), limit);
	}
	cr_assert_gt(rig_count(&rig, data, PAGES, OFFERED), 0);
	cr_assert_gt(rig_count(&rig, data, PAGES, RIG_BIT(TWIN)), 0, "some had to wait");
	/* And ask for no audits meanwhile. */
	audited_ns = rig.tracker->audit.done_ns;
	rig_pass(&rig, 20);
	cr_assert_eq(rig.tracker->audit.done_ns, audited_ns);
	/* With room again the rest follows. */
	rig.tracker->max_mappings = 30000;
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	cr_assert(holds(17, 17));
}

Test(offer, no_more_mappings_to_be_had)
{
	unsigned int twins;

	start("SKSM_ENGINE=ksm");
	twins = fill(64, 64);
	inject_arm(INJECT_MADVISE, 1, ENOMEM, true);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), twins));
	rig_pass(&rig, 5);
	cr_assert_gt(inject.failed, 0);
	cr_assert_eq(rig_count(&rig, data, PAGES, OFFERED), 0);
	cr_assert_eq(rig.tracker->counters.offered, 0);
	/* One failure ends the pass: the next may do better. */
	cr_assert_leq(inject.advised[MADV_MERGEABLE], rig.tracker->counters.passes);
	inject_reset();
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	cr_assert(holds(64, 64));
}

/* Memory that the program marked itself is not ours to unmark. */
Test(offer, the_programs_own_marks_stay)
{
	start("SKSM_ENGINE=ksm");
	cr_assert_eq(madvise(data, BYTES, MADV_MERGEABLE), 0);
	for (unsigned int pass = 0; pass < 120; pass++) {
		memset(data, (int)pass, BYTES);
		rig_pass(&rig, 1);
	}
	cr_assert_eq(inject.advised[MADV_UNMERGEABLE], 0);
	cr_assert(unit_is_mergeable(data));
}

static void audit(void)
{
	rig.tracker->audit.done_ns = 0;
	sksm_account_audit(rig.tracker, 0);
	sksm_tracker_pass(rig.tracker);
}

/* What is not watched for a while keeps its marks, and they stay ours. */
Test(offer, marks_stay_ours)
{
	start("SKSM_ENGINE=ksm");
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, fill(64, 64)));
	cr_assert_eq(mprotect(data, BYTES / 2 + 100 * PAGE, PROT_NONE), 0);
	rig_pass(&rig, 2);
	audit();
	cr_assert_eq(mprotect(data, BYTES, PROT_READ | PROT_WRITE), 0);
	rig_pass(&rig, 2);
	audit();
	for (unsigned int i = 0; i < PAGES; i += 512)
		cr_assert_not(rig_block(&rig, data + i * PAGE)->adopted, "page %u", i);
}

/* A mark goes with its mapping: addresses that are never used again are no memory of ours. */
Test(offer, what_is_unmapped_is_forgotten)
{
	start("SKSM_ENGINE=ksm");
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, fill(64, 64)));
	cr_assert_eq(munmap(data, BYTES / 2 + 100 * PAGE), 0);
	sksm_tracker_pass(rig.tracker);
	audit();
	for (unsigned int i = 0; i < PAGES / 2; i += 512)
		cr_assert_null(rig_block(&rig, data + i * PAGE));
	cr_assert_eq(munmap(data, BYTES), 0);
	sksm_tracker_pass(rig.tracker);
	audit();
	for (unsigned int i = 0; i < PAGES; i += 512)
		cr_assert_null(rig_block(&rig, data + i * PAGE));
}

/* What is offered while somebody waits for merges is told to the pacer. */
Test(offer, a_hurry_is_told)
{
	const struct sksm_counters *counters;

	start("SKSM_ENGINE=ksm");
	counters = &rig.tracker->counters;
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, fill(64, 64)));
	cr_assert_eq(counters->hurried, 0);
	/* Whatever the kernel has merged by now. */
	sksm_block_set(&rig.tracker->blocks, rig_block(&rig, data), 0, SKSM_PAGE_OFFERED);
	rig.tracker->calm_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	sksm_account_pass(rig.tracker);
	cr_assert_geq(counters->hurried, PAGE);
	cr_assert_eq(counters->hurried, counters->pending);
	rig.tracker->calm_ns = 0;
	sksm_account_pass(rig.tracker);
	cr_assert_eq(counters->hurried, 0);
}

/* With @waiting pages, and an audit of 5 ms that was made @age_ms ago: is one made? */
static bool audits(uint64_t waiting, uint64_t age_ms)
{
	uint64_t done_ns = sksm_clock_ns(CLOCK_BOOTTIME) - age_ms * 1000000;

	rig.tracker->audit.cost_ns = 5000000;
	rig.tracker->audit.done_ns = done_ns;
	sksm_account_audit(rig.tracker, waiting);
	return rig.tracker->audit.done_ns != done_ns;
}

/* The fewer pages wait for an audit, and the dearer it is, the longer they do. */
Test(offer, a_few_pages_wait_for_a_dear_audit)
{
	start("SKSM_ENGINE=ksm");
	cr_assert_not(audits(256, 400));
	cr_assert(audits(256, 600));
	cr_assert_not(audits(100, 9500));
	cr_assert(audits(100, 10500));
	cr_assert_not(audits(25, 39000));
	cr_assert(audits(25, 41000));
	cr_assert_not(audits(1, 79000));
	cr_assert(audits(1, 81000));
	/* One for nothing but what others may have done. */
	rig.tracker->audit.done_ns = 0;
	sksm_account_audit(rig.tracker, 0);
	cr_assert_not(audits(0, 59000));
	cr_assert(audits(0, 61000));
}

/* As over two mappings of which the second refuses: the first is marked. */
static int madvise_half(void *addr, size_t size, int advice)
{
	if (advice != MADV_MERGEABLE)
		return inject_sys.madvise(addr, size, advice);
	inject_sys.madvise(addr, size / 2, advice);
	return -EINVAL;
}

Test(offer, half_a_mark_is_taken_back)
{
	static struct sksm_sys sys;	/* used until the teardown */

	start("SKSM_ENGINE=ksm");
	sys = inject_sys;
	sys.madvise = madvise_half;
	rig.tracker->sys = &sys;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), fill(64, 64)));
	while (!inject.advised[MADV_MERGEABLE])
		rig_pass(&rig, 1);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert_not(unit_is_mergeable(data + i * PAGE), "page %u", i);
	/* Not taken for the program's. */
	rig.tracker->sys = &inject_sys;
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, fill(64, 64)));
	cr_assert_not(rig_block(&rig, data + BYTES / 2)->adopted);
}

/* Offered memory that turned hot is taken back, once nothing of it is merged. */
Test(offer, hot_memory_is_taken_back)
{
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	unsigned char value = 0;
	unsigned int twins;

	start("SKSM_ENGINE=ksm");
	twins = fill(512, 512);
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	cr_assert(unit_is_mergeable(data));
	do {
		value++;
		for (unsigned int i = 0; i < PAGES; i++)
			data[i * PAGE + i % 512] = (char)value;
		rig_pass(&rig, 1);
	} while (unit_is_mergeable(data) && unit_now_ms() < end_ms);
	cr_assert_not(unit_is_mergeable(data));
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert_eq((unsigned char)data[i * PAGE + i % 512], value);
}

/* Every twelfth page is never written; it has no twin and is taken along with those that do. */
static bool is_calm(uint64_t page)
{
	return page % 12 == 8;
}

static bool pretend_merged;

/* ksmd found somebody who has the same in memory that we know nothing of: only bit 56 says so. */
static ssize_t pread_merged(int fd, void *buf, size_t size, uint64_t offset)
{
	ssize_t n = sksm_sys_kernel.pread(fd, buf, size, offset);
	uint64_t *entries = buf;

	for (ssize_t i = 0; i < n / 8 && pretend_merged && fd == rig.tracker->pagemap_fd; i++) {
		uint64_t page = offset / 8 + (uint64_t)i - (uintptr_t)data / PAGE;

		if (page < PAGES && is_calm(page))
			entries[i] &= ~SKSM_PM_EXCLUSIVE;
	}
	return n;
}

static void write_hot_pages(unsigned int passes)
{
	static unsigned char value;

	while (passes--) {
		value++;
		for (unsigned int i = 0; i < PAGES; i++)
			if (!is_calm(i))
				data[i * PAGE + i % 512] = (char)value;
		rig_pass(&rig, 1);
	}
}

/* Unmarking would copy them. */
Test(offer, hot_memory_stays_marked_around_merged_pages)
{
	static struct sksm_sys sys;	/* used until the teardown */
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	unsigned int twins;

	start("SKSM_ENGINE=ksm");
	twins = fill(8, 4);
	cr_assert(rig_pass_until(&rig, data, PAGES, OFFERED, twins));
	sys = inject_sys;
	sys.pread = pread_merged;
	rig.tracker->sys = &sys;
	pretend_merged = true;
	while (rig_block(&rig, data + BYTES / 2)->level < 6 && unit_now_ms() < end_ms)
		write_hot_pages(1);
	write_hot_pages(50);
	cr_assert_eq(inject.advised[MADV_UNMERGEABLE], 0);
	pretend_merged = false;
	while (!inject.advised[MADV_UNMERGEABLE] && unit_now_ms() < end_ms)
		write_hot_pages(1);
	cr_assert_gt(inject.advised[MADV_UNMERGEABLE], 0);
}
