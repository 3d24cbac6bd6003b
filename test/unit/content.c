/* SPDX-License-Identifier: MIT */
/* Digests, twins, the age, and what is never looked into. */
#include "rig.h"

#include <sys/syscall.h>

#define PAGES 2048
#define BYTES (PAGES * PAGE)

static struct rig rig;

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(content, .fini = teardown);

Test(content, twins_within_the_process)
{
	char *data;

	rig_start(&rig, NULL);
	data = unit_map(BYTES);
	/* The first half occurs twice, the rest once. */
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i < PAGES / 2 ? i / 2 + 1 : i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES / 2, RIG_BIT(TWIN), PAGES / 2));
	cr_assert(rig_pass_until(&rig, data + BYTES / 2, PAGES / 2, RIG_BIT(UNIQUE), PAGES / 2));
	cr_assert_eq(rig.tracker->counters.duplicate, BYTES / 2);
	cr_assert_eq(rig.tracker->counters.digested, BYTES);
	cr_assert_eq(rig.tracker->counters.offered, 0);
	/* One that is new: the page that was there before learns of it. */
	unit_fill_page(data + BYTES - PAGE, PAGES / 2 + 1);
	cr_assert(rig_pass_until(&rig, data + BYTES / 2, 1, RIG_BIT(TWIN), 1));
	cr_assert(rig_pass_until(&rig, data + BYTES - PAGE, 1, RIG_BIT(TWIN), 1));
}

/* Each block of 2 MiB holds the same, so that samples of them do, too. */
Test(content, pages_digested_before_the_index_was_open)
{
	char *data;

	rig_start(&rig, NULL);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i % SKSM_BLOCK_PAGES + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_DIGESTED, PAGES));
	cr_assert(rig.tracker->index_open);
	rig_pass(&rig, 200);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(TWIN)), PAGES, "%u unique for ever",
		     rig_count(&rig, data, PAGES, RIG_BIT(UNIQUE)));
}

Test(content, zero_pages_have_a_twin)
{
	char *data;

	rig_start(&rig, NULL);
	data = unit_map(BYTES);
	memset(data, 0, BYTES);
	for (unsigned int i = 1; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i);
	cr_assert(rig_pass_until(&rig, data + PAGE, PAGES - 1, RIG_BIT(UNIQUE), PAGES - 1));
	cr_assert_eq(rig_state(&rig, data), SKSM_PAGE_TWIN);
}

/* A page is not digested before it stayed unwritten for the age, by the clock. */
Test(content, the_age)
{
	const char *const variables[] = { "SKSM_AGE_MS=400", NULL };
	uint64_t armed_ms = 0, end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	char *data;

	rig_start(&rig, variables);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	while (!rig_count(&rig, data, PAGES, RIG_DIGESTED) && unit_now_ms() < end_ms) {
		uint64_t before_ms = unit_now_ms();

		rig_pass(&rig, 1);
		if (!armed_ms && rig_count(&rig, data, PAGES, RIG_BIT(ARMED)))
			armed_ms = before_ms;
	}
	cr_assert_gt(armed_ms, 0);
	cr_assert_geq(unit_now_ms() - armed_ms, 350);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	cr_assert_eq(rig.tracker->counters.invariant, BYTES);
}

Test(content, memory_that_vanishes_while_it_is_digested)
{
	char *data;

	rig_start(&rig, rig_wp);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	inject_arm(INJECT_COPY_MEMORY, 1, EFAULT, true);
	rig_pass(&rig, 20);
	cr_assert_gt(inject.failed, 0);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_DIGESTED), 0);
	inject_arm(INJECT_COPY_MEMORY, 3, EFAULT, false);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
}

/* ---- memory in swap ---- */

static struct sksm_range swapped;

/* What /proc/PID/pagemap says of pages in swap. */
static ssize_t pread_swapped(int fd, void *buf, size_t size, uint64_t offset)
{
	ssize_t n = sksm_sys_kernel.pread(fd, buf, size, offset);
	uint64_t *entries = buf;

	for (ssize_t i = 0; i < n / 8 && fd == rig.tracker->pagemap_fd; i++) {
		uint64_t address = (offset / 8 + (uint64_t)i) * PAGE;

		if (address >= swapped.start && address < swapped.end)
			entries[i] = SKSM_PM_SWAP;
	}
	return n;
}

/* Digesting it would read it in. */
Test(content, memory_in_swap_stays_there)
{
	static struct sksm_sys sys;	/* used until the teardown */
	char *data;

	rig_start(&rig, rig_wp);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	swapped = (struct sksm_range){ (uintptr_t)data, (uintptr_t)data + BYTES / 2 };
	sys = sksm_sys_kernel;
	sys.pread = pread_swapped;
	rig.tracker->sys = &sys;
	cr_assert(rig_pass_until(&rig, data + BYTES / 2, PAGES / 2, RIG_BIT(UNIQUE), PAGES / 2));
	rig_pass(&rig, 50);
	cr_assert_eq(rig_count(&rig, data, PAGES / 2, RIG_DIGESTED), 0);
	cr_assert_eq(rig_count(&rig, data, PAGES / 2, RIG_BIT(ARMED)), PAGES / 2);
	swapped.end = swapped.start;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
}

/* What a scan says of pages in swap: of runs that begin there. */
static int ioctl_swapped(int fd, unsigned long request, void *arg)
{
	const struct sksm_pm_scan_arg *scan = arg;
	int n = sksm_sys_kernel.ioctl(fd, request, arg);

	for (int i = 0; i < n && request == SKSM_PAGEMAP_SCAN; i++) {
		struct sksm_page_region *run = (struct sksm_page_region *)(uintptr_t)scan->vec + i;

		if (run->start >= swapped.start && run->start < swapped.end)
			run->categories ^= SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_SWAPPED;
	}
	return n;
}

/* It may be there for good, and each audit walks all page tables of the process. */
Test(content, memory_in_swap_asks_for_no_audits)
{
	static struct sksm_sys sys;	/* used until the teardown */
	uint64_t audited_ns;
	char *data;

	rig_start(&rig, rig_wp);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	swapped = (struct sksm_range){ (uintptr_t)data, (uintptr_t)data + BYTES };
	sys = sksm_sys_kernel;
	sys.pread = pread_swapped;
	sys.ioctl = ioctl_swapped;
	rig.tracker->sys = &sys;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(ARMED), PAGES));
	audited_ns = rig.tracker->audit.done_ns;
	rig_pass(&rig, 50);
	cr_assert_eq(rig.tracker->audit.done_ns, audited_ns);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(ARMED)), PAGES);
	swapped.end = swapped.start;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
}

/* ---- sensitive memory ---- */

static char *map_marked(int advice)
{
	char *p = unit_map(BYTES);

	if (advice)
		cr_assert_eq(madvise(p, BYTES, advice), 0);
	else if (syscall(SYS_mlock, p, BYTES))
		return NULL;
	/* Two of each: twins, were they looked at. */
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(p + i * PAGE, i / 2 + 1);
	return p;
}

static void expect_not_digested(const char *p)
{
	if (!p)
		return;
	cr_assert_eq(rig_count(&rig, p, PAGES, RIG_DIGESTED), 0);
	for (unsigned int i = 0; i < PAGES; i += SKSM_BLOCK_PAGES) {
		const struct sksm_block *block = rig_block(&rig, p + i * PAGE);

		cr_assert(!block || !block->digests);
	}
	cr_assert_not(unit_is_mergeable(p));
}

static bool has_guard(const char *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	ssize_t n = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * 8));

	close(fd);
	return n == sizeof(entry) && (entry & SKSM_PM_GUARD);
}

Test(content, sensitive_memory_is_neither_digested_nor_offered)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *plain, *locked, *dump, *wipe;

	rig_start(&rig, variables);
	locked = map_marked(0);
	dump = map_marked(MADV_DONTDUMP);
	wipe = map_marked(MADV_WIPEONFORK);
	plain = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(plain + i * PAGE, i / 2 + 1);
	cr_assert(rig_pass_until(&rig, plain, PAGES, RIG_DIGESTED, PAGES));
	rig_pass(&rig, 50);
	expect_not_digested(locked);
	expect_not_digested(dump);
	expect_not_digested(wipe);
	cr_assert_eq(rig.tracker->counters.sensitive_skipped, (locked ? 3 : 2) * BYTES);
}

/*
 * What was mapped after the last audit, however long ago that was: somebody says that it is calm, so
 * its age does not keep it from being read.
 */
Test(content, sensitive_memory_in_a_hurry)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", "SKSM_AGE_MS=600000", NULL };
	char *plain, *dump;

	rig_start(&rig, variables);
	plain = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(plain + i * PAGE, i / 2 + 1);
	rig.tracker->calm_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	/* Nor does the budget. */
	rig.tracker->budget.credit_ns = -20000000000;
	cr_assert(rig_pass_until(&rig, plain, PAGES, RIG_DIGESTED, PAGES));
	cr_assert_lt(rig.tracker->budget.credit_ns, 0);
	dump = map_marked(MADV_DONTDUMP);
	rig.tracker->audit.done_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	rig.tracker->audit.cost_ns = 1000000000000;
	rig.audits_are_dear = true;
	rig_pass(&rig, 20);
	expect_not_digested(dump);
	rig.audits_are_dear = false;
	rig_pass(&rig, 20);
	expect_not_digested(dump);
	rig.tracker->calm_ns = 0;
}

/* A thread's stack as glibc makes it since 2.42: its guard is no mapping (6.13), but shows (6.15). */
Test(content, stacks_with_guard_regions)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *plain, *stack;

	rig_start(&rig, variables);
	stack = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	cr_assert_neq(stack, MAP_FAILED);
	if (madvise(stack, PAGE, 102) || !has_guard(stack))
		cr_skip_test("no guard regions, or the page map does not show them");
	plain = unit_map(BYTES);
	for (unsigned int i = 1; i < PAGES; i++) {
		unit_fill_page(stack + i * PAGE, i / 2 + 1);
		unit_fill_page(plain + i * PAGE, i / 2 + 1);
	}
	cr_assert(rig_pass_until(&rig, plain, PAGES, RIG_DIGESTED, PAGES - 1));
	rig_pass(&rig, 50);
	expect_not_digested(stack);
}

/* Neither their neighbours are left out, nor do runs of twins lead across them. */
Test(content, sensitive_pages_among_others)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *data, *marked;

	rig_start(&rig, variables);
	data = unit_map(BYTES);
	marked = data + (PAGES / 2 + 100) * PAGE;
	cr_assert_eq(madvise(marked, 2 * PAGE, MADV_DONTDUMP), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i / 4 + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_DIGESTED, PAGES - 2));
	rig_pass(&rig, 50);
	cr_assert_eq(rig_count(&rig, marked, 2, RIG_DIGESTED), 0);
	cr_assert(unit_is_mergeable(marked - PAGE));
	cr_assert_not(unit_is_mergeable(marked));
	cr_assert(unit_is_mergeable(marked + 2 * PAGE));

	/* That is asked for again once a minute. */
	cr_assert_eq(madvise(marked, 2 * PAGE, MADV_DODUMP), 0);
	rig.tracker->audit.done_ns -= 60000000000ull;
	rig.tracker->audit.cost_ns = 0;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_DIGESTED, PAGES));
}

/* It was digested before that. */
Test(content, what_became_sensitive_is_not_offered)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *data, *marked;

	rig_start(&rig, variables);
	rig.tracker->engine = SKSM_ENGINE_NONE;
	data = unit_map(BYTES);
	marked = data + (PAGES / 2 + 100) * PAGE;
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i / 4 + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), PAGES));
	cr_assert_eq(madvise(marked, 2 * PAGE, MADV_DONTDUMP), 0);
	rig.tracker->audit.done_ns = 0;
	rig.tracker->engine = SKSM_ENGINE_KSM;
	rig_pass(&rig, 50);
	cr_assert_eq(rig_count(&rig, marked, 2, RIG_BIT(TWIN)), 2);
	cr_assert(unit_is_mergeable(marked - PAGE));
	cr_assert_not(unit_is_mergeable(marked));
	cr_assert(unit_is_mergeable(marked + 2 * PAGE));
}

Test(content, sensitive_memory_where_asked_for)
{
	const char *const variables[] = { "SKSM_SENSITIVE=merge", NULL };
	char *dump;

	rig_start(&rig, variables);
	dump = map_marked(MADV_DONTDUMP);
	cr_assert(rig_pass_until(&rig, dump, PAGES, RIG_BIT(TWIN), PAGES));
	cr_assert_eq(rig.tracker->counters.sensitive_skipped, 0);
}

/* In a large process an audit costs much, and is made rarely: memory may be newer than the last. */
Test(content, memory_newer_than_the_last_audit)
{
	char *plain, *dump;

	rig_start(&rig, NULL);
	plain = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(plain + i * PAGE, i / 2 + 1);
	cr_assert(rig_pass_until(&rig, plain, PAGES, RIG_DIGESTED, PAGES));
	cr_assert_gt(rig.tracker->audit.done_ns, 0);
	rig.tracker->audit.cost_ns = 100000000;
	rig.audits_are_dear = true;
	dump = map_marked(MADV_DONTDUMP);
	rig_pass(&rig, 100);
	expect_not_digested(dump);
}
