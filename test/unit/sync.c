/* SPDX-License-Identifier: MIT */
/*
 * The engine "sksm" on kernels that merge in different ways. They are played by the injected calls:
 * what they merged is told by the page map that the tracker reads, and is not merged at all. The
 * real ones are met in test/kernel.
 */
#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
#define TRIED 16	/* pages of the probe */

struct fake_page {
	char *at;		/* NULL: not known to the kernel */
	uint64_t content;
	bool merged;
	bool pinned;
	bool shared;		/* by fork */
};

static struct kernel {
	/* What it is like. */
	bool stops;		/* at the first page that cannot be merged */
	int error;		/* what it says then */
	bool drops;		/* a merge takes the protection away */
	bool idle;		/* accepts the advice and does nothing */
	bool clings;		/* a write does not undo a merge */
	int busy;		/* denies all calls with this error */
	unsigned int page_us;	/* takes so long for each page */
	/* What it has. */
	struct fake_page pages[PAGES + TRIED];
	unsigned int calls;
	unsigned int longest;	/* of the calls since the test has looked, in pages */
} kernel;

static struct rig rig;
static char *data;

static struct fake_page *find(char *at)
{
	if (data && at >= data && at < data + BYTES)
		return &kernel.pages[(size_t)(at - data) / PAGE];
	for (unsigned int i = PAGES; i < PAGES + TRIED; i++)
		if (kernel.pages[i].at == at)
			return &kernel.pages[i];
	for (unsigned int i = PAGES; i < PAGES + TRIED; i++)
		if (!kernel.pages[i].at)
			return &kernel.pages[i];
	cr_assert_fail("too many pages tried");
	return NULL;
}

static uint64_t content(const char *at)
{
	return *(const volatile uint64_t *)at;
}

static void take(struct fake_page *page)
{
	page->merged = true;
	/* In a page that is armed this is a write. */
	if (kernel.drops)
		*(volatile char *)page->at += 0;
}

/* False where the page cannot be merged; one without a twin is remembered. */
static bool offer(char *at)
{
	struct fake_page *page = find(at);

	if (page->pinned)
		return false;
	if (page->at && page->merged && page->content == content(at))
		return true;
	page->at = at;
	page->merged = false;
	page->content = content(at);
	for (unsigned int i = 0; i < PAGES + TRIED; i++) {
		struct fake_page *other = &kernel.pages[i];

		if (other == page || !other->at || other->content != page->content ||
		    content(other->at) != page->content)
			continue;
		if (!other->merged)
			take(other);
		take(page);
		break;
	}
	return true;
}

static int merge(char *start, char *end)
{
	uint64_t until_us = unit_now_ms() * 1000 + kernel.page_us * (uint64_t)(end - start) / PAGE;

	kernel.calls++;
	if ((size_t)(end - start) / PAGE > kernel.longest)
		kernel.longest = (unsigned int)((size_t)(end - start) / PAGE);
	if (kernel.busy)
		return -kernel.busy;
	for (char *at = start; at < end && !kernel.idle; at += PAGE)
		if (!offer(at) && kernel.stops)
			return -kernel.error;
	while (kernel.page_us && unit_now_ms() * 1000 < until_us)
		;
	return 0;
}

static void entries(char *first, uint64_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *at = first + i * PAGE;
		struct fake_page *page = NULL;

		if (data && at >= data && at < data + BYTES)
			page = &kernel.pages[(size_t)(at - data) / PAGE];
		for (unsigned int j = PAGES; !page && j < PAGES + TRIED; j++)
			if (kernel.pages[j].at == at)
				page = &kernel.pages[j];
		if (page && (list[i] & SKSM_PM_PRESENT) &&
		    (page->shared || (page->merged && (kernel.clings ||
						       page->content == content(at)))))
			list[i] &= ~SKSM_PM_EXCLUSIVE;
	}
}

static void hook(void)
{
	inject.merge = merge;
	inject.entries = entries;
}

static void start(void)
{
	const char *const variables[] = { "SKSM_ENGINE=sksm", NULL };

	hook();
	rig_start(&rig, variables);
	hook();
	if (!rig.tracker->probe.error[SKSM_ABLE_MADV_MERGE])
		data = unit_map(BYTES);
	memset(kernel.pages, 0, sizeof(kernel.pages));
	kernel.calls = kernel.longest = 0;
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(sync, .fini = teardown);

/* Pages 0 and 1024, 1 and 1025... are equal, but for the first and last @unique of each half. */
static void fill(unsigned int unique)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int at = i % (PAGES / 2);
		bool twin = at >= unique && at < PAGES / 2 - unique;

		unit_fill_page(data + i * PAGE, twin ? at + 1 : 100000 + i);
	}
}

static bool holds(unsigned int unique)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int at = i % (PAGES / 2);
		bool twin = at >= unique && at < PAGES / 2 - unique;

		if (!unit_page_holds(data + i * PAGE, twin ? at + 1 : 100000 + i))
			return false;
	}
	return true;
}

static void all_are_merged(unsigned int want)
{
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), want), "%s",
		  rig_states(&rig, data, PAGES));
	rig_pass(&rig, 10);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(MERGED)), want);
	cr_assert_eq(rig.tracker->counters.writes_seen, 0, "merges are no writes");
}

Test(sync, pages_with_twins_are_merged_and_no_others)
{
	start();
	fill(256);
	all_are_merged(PAGES / 2);
	for (unsigned int i = 0; i < 256; i++)
		cr_assert_null(kernel.pages[i].at, "page %u has no twin", i);
	cr_assert_leq(kernel.calls, 2 * PAGES / 8);
	cr_assert_eq(rig.tracker->counters.pending, 0, "no pacer has to work for it");
	cr_assert_eq(inject.advised[MADV_MERGEABLE], 0);
	cr_assert(holds(256));
}

/* As proposed in March 2025. */
Test(sync, a_kernel_that_stops_at_the_first_failure)
{
	kernel.stops = kernel.drops = true;
	kernel.error = EFAULT;
	start();
	fill(0);
	for (unsigned int i = 5; i < PAGES / 2; i += 200)
		kernel.pages[i].pinned = true;
	all_are_merged(PAGES - 12);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(REFUSED) | RIG_BIT(OFFERED)), 12);
	for (unsigned int i = 5; i < PAGES / 2; i += 200)
		cr_assert_eq(rig_state(&rig, data + i * PAGE), SKSM_PAGE_REFUSED);
	cr_assert(holds(0));
	/* The merges were armed again: what is written now is seen. */
	data[7 * PAGE] ^= 1;
	rig_pass(&rig, 3);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 1);
}

Test(sync, a_kernel_that_stops_and_does_not_say_so)
{
	kernel.stops = true;
	start();
	fill(0);
	kernel.pages[700].pinned = true;
	kernel.pages[1500].pinned = true;
	all_are_merged(PAGES - 4);
}

Test(sync, a_kernel_that_is_busy_is_left_alone)
{
	unsigned int calls;

	start();
	kernel.busy = EBUSY;
	fill(0);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), PAGES));
	/* The first pause is the interval: longer than the passes take on any machine. */
	rig.options.interval_ms = 600000;
	calls = kernel.calls;
	rig_pass(&rig, 100);
	cr_assert_leq(kernel.calls - calls, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(TWIN)), PAGES, "none is given up");
	rig.tracker->sync.retry_ns = 0;
	kernel.busy = 0;
	all_are_merged(PAGES);
}

/* It was digested before that. */
Test(sync, what_became_sensitive_is_not_offered)
{
	char *marked;

	start();
	kernel.busy = EBUSY;
	fill(0);
	marked = data + 100 * PAGE;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), PAGES));
	cr_assert_eq(madvise(marked, 2 * PAGE, MADV_DONTDUMP), 0);
	rig.tracker->audit.done_ns = 0;
	rig.tracker->sync.retry_ns = 0;
	kernel.busy = 0;
	/* Their twins are offered, and have none that is known to the kernel. */
	all_are_merged(PAGES - 4);
	cr_assert_eq(rig_count(&rig, marked, 2, RIG_BIT(TWIN)), 2);
	cr_assert_null(kernel.pages[100].at);
	cr_assert_null(kernel.pages[101].at);
}

Test(sync, a_kernel_that_denies_everything)
{
	unsigned int calls;

	start();
	kernel.busy = EPERM;
	fill(0);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_DIGESTED, PAGES));
	rig.options.interval_ms = 600000;
	calls = kernel.calls;
	rig_pass(&rig, 100);
	/* A run, and single pages of it (DENIALS_MAX). */
	cr_assert_leq(kernel.calls - calls, 1 + 8);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(MERGED)), 0);
	cr_assert(holds(0));
}

Test(sync, calls_that_take_long_get_shorter)
{
	unsigned int batch;

	kernel.page_us = 50;
	start();
	fill(0);
	kernel.longest = 0;
	all_are_merged(PAGES);
	cr_assert_leq(kernel.longest, 32);
	cr_assert_lt(rig.tracker->sync.batch_pages, 32);
	cr_assert_geq(rig.tracker->sync.longest_ns, 1000000);
	kernel.page_us = 0;
	batch = rig.tracker->sync.batch_pages;
	for (unsigned int i = 0; i < PAGES; i++)
		data[i * PAGE + 1] ^= 1;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	cr_assert_gt(rig.tracker->sync.batch_pages, batch, "and longer again: %u after %u",
		     rig.tracker->sync.batch_pages, batch);
}

Test(sync, what_fork_shares_is_not_offered)
{
	start();
	kernel.busy = EBUSY;
	fill(0);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), PAGES));
	for (unsigned int i = 0; i < 100; i++)
		kernel.pages[i].shared = true;
	kernel.busy = 0;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES - 200));
	cr_assert_eq(rig_count(&rig, data, 100, RIG_BIT(MERGED)), 0);
	for (unsigned int i = 0; i < 100; i++)
		cr_assert_null(kernel.pages[i].at);
}

/* The twin is in a process that does not get to offer it. */
Test(sync, a_candidate_is_not_offered_over_and_over)
{
	unsigned int calls;

	start();
	fill(0);
	for (unsigned int i = PAGES / 2; i < PAGES; i++)
		kernel.pages[i].pinned = true;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(REFUSED), PAGES), "%s",
		  rig_states(&rig, data, PAGES));
	calls = kernel.calls;
	rig_pass(&rig, 50);
	cr_assert_eq(kernel.calls, calls);
	/* Merged later, by the other's offer; an audit tells. */
	for (unsigned int i = 0; i < PAGES / 2; i++)
		kernel.pages[i].merged = true;
	rig.tracker->audit.merged_bytes = BYTES / 2;
	rig.tracker->audit.done_ns++;
	rig_pass(&rig, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES / 2, RIG_BIT(MERGED)), PAGES / 2);
}

Test(sync, zeros)
{
	start();
	for (unsigned int i = 0; i < PAGES; i++)
		data[i * PAGE] = 1;
	for (unsigned int i = 0; i < PAGES; i++)
		data[i * PAGE] = 0;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(ZERO), PAGES), "%s",
		  rig_states(&rig, data, PAGES));
}

/* The advice is used where it was seen to merge, and to come undone by a write. */
Test(sync, an_advice_that_does_not_merge_is_not_used)
{
	kernel.idle = true;
	start();
	cr_assert_eq(rig.tracker->probe.error[SKSM_ABLE_MADV_MERGE], ENODATA);
	cr_assert_eq(rig.tracker->engine, SKSM_ENGINE_NONE);
}

Test(sync, an_advice_that_keeps_what_was_written_is_not_used)
{
	kernel.clings = true;
	start();
	cr_assert_eq(rig.tracker->probe.error[SKSM_ABLE_MADV_MERGE], EIO);
	cr_assert_eq(rig.tracker->engine, SKSM_ENGINE_NONE);
}
