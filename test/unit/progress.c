/* SPDX-License-Identifier: MIT */
/* Whether pulses of ksmd bring what they cost, with counters of the kernel that the test sets. */
#include "unit.h"

#include "tools/ksmd.h"
#include "tools/progress.h"

#define MS 1000000ull
/* What waits, in pages, and the least that counts of it. */
#define WAITING 3200
#define LEAST (WAITING / 32 + 1)

static uint64_t sharing, scans;

uint64_t sksm_ksmd_counter(const char *name)
{
	if (strcmp(name, "pages_sharing") == 0)
		return sharing;
	if (strcmp(name, "full_scans") == 0)
		return scans;
	return strcmp(name, "pages_unshared") == 0 ? WAITING : 0;
}

/* So much offered that what is merged never counts for more than what waits. */
static const struct sksm_demand demand = {
	.offered_bytes = SKSM_CRUMB_PART * WAITING * (uint64_t)PAGE, .pending_bytes = WAITING * (uint64_t)PAGE,
};

static struct sksm_progress begin(void)
{
	struct sksm_progress progress;

	sharing = 1000;
	scans = 70;
	sksm_progress_begin(&progress, &demand);
	return progress;
}

/* In how many scans from now, in each of which @pages are merged, is it said to be fruitless? */
static unsigned int scans_until_fruitless(struct sksm_progress *progress, unsigned int pages)
{
	for (unsigned int scan = 1; scan < 100; scan++) {
		scans++;
		sharing += pages;
		if (sksm_progress_fruitless(progress, &demand))
			return scan;
		/* Within a scan nothing is known that was not before. */
		for (unsigned int i = 0; i < 10; i++)
			cr_assert_not(sksm_progress_fruitless(progress, &demand));
	}
	return 100;
}

Test(progress, nothing_merged)
{
	struct sksm_progress progress = begin();

	cr_assert_eq(scans_until_fruitless(&progress, 0), 4);
	cr_assert_not(sksm_progress_worth(&progress, &demand, 1));
}

Test(progress, something_merged_in_each_scan)
{
	struct sksm_progress progress = begin();

	cr_assert_eq(scans_until_fruitless(&progress, LEAST), 100);
	cr_assert(sksm_progress_worth(&progress, &demand, 1));
	cr_assert_eq(progress.gained, 99 * LEAST);
}

/* What is too little in one scan adds up, but not for more scans than could help. */
Test(progress, little_merged_in_each_scan)
{
	struct sksm_progress progress = begin();

	cr_assert_eq(scans_until_fruitless(&progress, LEAST / 4), 4);
	progress = begin();
	cr_assert_eq(scans_until_fruitless(&progress, LEAST / 3 + 1), 100);
}

Test(progress, the_last_scans_are_judged_like_the_first)
{
	struct sksm_progress progress = begin();

	sharing += 10 * LEAST;
	scans += 3;
	cr_assert_not(sksm_progress_fruitless(&progress, &demand));
	/* That was merged in the scan that is under way, or before. */
	cr_assert_eq(scans_until_fruitless(&progress, 0), 3);
}

/* A process ends, and its merged pages are gone: what is merged next counts nonetheless. */
Test(progress, merges_that_go)
{
	struct sksm_progress progress = begin();

	sharing = 0;
	scans++;
	cr_assert_not(sksm_progress_fruitless(&progress, &demand));
	sharing = LEAST;
	scans++;
	cr_assert_not(sksm_progress_fruitless(&progress, &demand));
	cr_assert_eq(progress.gained, LEAST);
}

Test(progress, pages_that_are_bought_dearly)
{
	struct sksm_progress progress = begin();

	sharing += 1000;
	cr_assert(sksm_progress_worth(&progress, &demand, 100 * MS));
	cr_assert_not(sksm_progress_worth(&progress, &demand, 101 * MS));
	/* A few are worth a little time. */
	progress = begin();
	sharing += LEAST;
	cr_assert(sksm_progress_worth(&progress, &demand, 50 * MS));
	cr_assert_not(sksm_progress_worth(&progress, &demand, 51 * MS));
}

/* Of little that waits beside much that is looked at, less than a crumb is nothing. */
Test(progress, crumbs)
{
	struct sksm_demand little = demand;
	struct sksm_progress progress = begin();
	uint64_t scanned = (WAITING + sharing) * PAGE;

	little.pending_bytes = PAGE;
	cr_assert_eq(sksm_progress_scanned(&little), scanned);
	sharing += 4;
	cr_assert_not(sksm_progress_worth(&progress, &little, 1));
	sharing += WAITING / SKSM_CRUMB_PART / 32 + 1000 / SKSM_CRUMB_PART / 32 + 1;
	cr_assert(sksm_progress_worth(&progress, &little, 1));
	/* The kernel counts other programs' pages too. */
	little.offered_bytes = PAGE;
	cr_assert_eq(sksm_progress_scanned(&little), PAGE);
}

Test(progress, all_that_waited_is_merged)
{
	struct sksm_progress progress = begin();
	struct sksm_demand more = demand, less = demand;

	cr_assert_not(sksm_progress_finished(&progress, &demand));
	sharing += WAITING - WAITING / 32 - 1;
	for (int i = 0; i < 2; i++)
		cr_assert_not(sksm_progress_finished(&progress, &demand));
	sharing++;
	/* It merges yet. */
	cr_assert_not(sksm_progress_finished(&progress, &demand));
	cr_assert(sksm_progress_finished(&progress, &demand));
	/* What is offered meanwhile waits, too; what is taken back has no part in it. */
	more.offered_bytes += WAITING * (uint64_t)PAGE;
	cr_assert_not(sksm_progress_finished(&progress, &more));
	sharing += WAITING;
	cr_assert_not(sksm_progress_finished(&progress, &more));
	cr_assert(sksm_progress_finished(&progress, &more));
	less.offered_bytes = 0;
	cr_assert(sksm_progress_finished(&progress, &less));
	/* Merges are undone. */
	sharing = 0;
	cr_assert_not(sksm_progress_finished(&progress, &demand));
}

/* Of a single page that waits nothing is left out. */
Test(progress, one_page_that_waits)
{
	struct sksm_demand one = demand;
	struct sksm_progress progress;

	one.pending_bytes = PAGE;
	sharing = 100000;
	sksm_progress_begin(&progress, &one);
	cr_assert_not(sksm_progress_finished(&progress, &one));
	sharing++;
	cr_assert_not(sksm_progress_finished(&progress, &one));
	cr_assert(sksm_progress_finished(&progress, &one));
	/* It was too little to be called fruitful. */
	cr_assert_not(sksm_progress_worth(&progress, &one, 1));
	cr_assert(progress.finished);
}

/* Nor is anything merged where less than a page is said to wait. */
Test(progress, nothing_that_waits)
{
	struct sksm_demand nothing = demand;
	struct sksm_progress progress;

	nothing.pending_bytes = 1;
	sksm_progress_begin(&progress, &nothing);
	cr_assert(sksm_progress_finished(&progress, &nothing));
	cr_assert_not(progress.finished);
}

static uint64_t wait_ns(uint64_t pages)
{
	const struct sksm_demand some = {
		.offered_bytes = 1 << 30, .pending_bytes = pages * PAGE,
	};

	return sksm_progress_wait_ns(&some, 3000 * MS);
}

/* Of 100,000 pages that each scan looks at: what is to wait how long. */
Test(progress, waits)
{
	const uint64_t most = 100000 * 5600ull * 1000;

	sharing = 100000 - WAITING;
	cr_assert_eq(wait_ns(100000), 0);
	cr_assert_eq(wait_ns(25000), 0);
	cr_assert_eq(wait_ns(24999), 3000 * MS);
	cr_assert_eq(wait_ns(5600), 3000 * MS);
	/* Dearer, and dearer. */
	cr_assert_eq(wait_ns(2800), 2 * 3000 * MS);
	cr_assert_eq(wait_ns(280), 20 * 3000 * MS);
	cr_assert_eq(wait_ns(56), 100 * 3000 * MS);
	cr_assert_eq(wait_ns(28), most);
	cr_assert_eq(wait_ns(1), most);
	cr_assert_eq(wait_ns(0), most);
}

/* Unless somebody waits for it. */
Test(progress, no_wait_in_a_hurry)
{
	const struct sksm_demand hurried = {
		.offered_bytes = 1 << 30, .pending_bytes = PAGE, .hurried_bytes = PAGE,
	};

	sharing = 100000 - WAITING;
	cr_assert_eq(sksm_progress_wait_ns(&hurried, 3000 * MS), 0);
}

/* Little in little memory is cheap. */
Test(progress, waits_in_little_memory)
{
	sharing = 0;
	cr_assert_eq(wait_ns(1), WAITING * 5600ull * 1000);
	sharing = 200;
	cr_assert_eq(wait_ns(WAITING), 0);
}

/* Does it grow @ms after the start, with so many pages waiting? */
static bool grows(struct sksm_growth *growth, uint64_t ms, uint64_t pages)
{
	const struct sksm_demand some = { .pending_bytes = pages * PAGE };

	return sksm_progress_grows(growth, &some, (77000 + ms) * MS);
}

/* Processes offer what they have in common one after the other. */
Test(progress, growth)
{
	struct sksm_growth growth = { 0 };

	cr_assert_not(grows(&growth, 0, 0));
	cr_assert(grows(&growth, 100, 800));
	cr_assert(grows(&growth, 750, 900));
	/* An eighth more was none. */
	cr_assert_not(grows(&growth, 800, 900));
	cr_assert(grows(&growth, 850, 901));
	cr_assert(grows(&growth, 1500, 1600));
	cr_assert_not(grows(&growth, 2200, 1600));
	/* What is gone meanwhile begins anew. */
	cr_assert_not(grows(&growth, 3000, 0));
	cr_assert(grows(&growth, 3100, 1));
	cr_assert_not(grows(&growth, 3800, 1));
}

Test(progress, growth_without_end)
{
	struct sksm_growth growth = { 0 };
	uint64_t pages = 1;

	for (uint64_t ms = 0; ms < 2500; ms += 250)
		cr_assert(grows(&growth, ms, pages *= 2), "after %llu ms", (unsigned long long)ms);
	cr_assert_not(grows(&growth, 2500, pages * 2));
}

Test(progress, no_growth_in_a_hurry)
{
	const struct sksm_demand hurried = { .pending_bytes = PAGE, .hurried_bytes = PAGE };
	struct sksm_growth growth = { 0 };

	cr_assert_not(sksm_progress_grows(&growth, &hurried, MS));
}

/* The more the others leave to ksmd, the sooner it is looked after again. */
Test(progress, steps)
{
	cr_assert_eq(sksm_progress_step_ms(SKSM_STEP_MS, 5 * MS), SKSM_STEP_MS);
	cr_assert_eq(sksm_progress_step_ms(SKSM_STEP_MS, 5 * MS - 1), 2 * SKSM_STEP_MS);
	cr_assert_eq(sksm_progress_step_ms(80, 0), 160);
	cr_assert_eq(sksm_progress_step_ms(160, 0), 160);
	cr_assert_eq(sksm_progress_step_ms(160, 40 * MS), SKSM_STEP_MS);
}
