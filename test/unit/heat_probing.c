/* SPDX-License-Identifier: MIT */
/*
 * Somebody writes merged pages over and over, to learn from the fault that they were merged: he is
 * offered ever less often. The clock that the tracker reads is the test's (the linker's --wrap), so
 * that hours of his pass at once; merging is played by the injected calls, as in sync.c.
 */
#include "clock.h"
#include "rig.h"

#define PAGES 1024
#define BYTES (PAGES * PAGE)
#define HOUR_S 3600u
#define OFFERS_MAX HOUR_S
/* An offer takes a look at the block (16 s at most) and the age (2 s, 8 times as long at most). */
#define FIRST_S 10u
#define LAST_S 20u

static struct merged_page {
	char *at;
	uint64_t content;
} merged[PAGES];

static unsigned int merged_count;

static uint64_t content(const char *at)
{
	return *(const volatile uint64_t *)at;
}

/* The kernel merges whatever is offered. */
static int merge(char *start, char *end)
{
	for (char *at = start; at < end; at += PAGE) {
		unsigned int i = 0;

		while (i < merged_count && merged[i].at != at)
			i++;
		cr_assert_lt(i, PAGES);
		merged[i] = (struct merged_page){ at, content(at) };
		merged_count += i == merged_count;
	}
	return 0;
}

static void entries(char *first, uint64_t *list, size_t count)
{
	for (unsigned int i = 0; i < merged_count; i++) {
		size_t at = (size_t)(merged[i].at - first) / PAGE;

		if (merged[i].at >= first && at < count && merged[i].content == content(merged[i].at))
			list[at] &= ~SKSM_PM_EXCLUSIVE;
	}
}

static void hook(void)
{
	inject.merge = merge;
	inject.entries = entries;
}

static struct rig rig;

static void setup(void)
{
	/* The defaults, whatever the environment; but CPU time passes by the machine's clock. */
	const char *const variables[] = { "SKSM_ENGINE=sksm", "SKSM_INTERVAL_MS=1000",
					  "SKSM_AGE_MS=2000", "SKSM_THRESHOLD=2M",
					  "SKSM_TRACKER=wp", "SKSM_CPU_PERCENT=100", NULL };

	hook();
	rig_start(&rig, variables);
	hook();
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(heat_probing, .init = setup, .fini = teardown);

/* The victim's pages, with as many of the same content in the prober's own memory. */
static char *map_guesses(unsigned int guesses)
{
	/* A block of its own for each. */
	char *data = unit_map(BYTES + 2 * SKSM_BLOCK_BYTES);

	data += -(uintptr_t)data % SKSM_BLOCK_BYTES;
	for (unsigned int i = 0; i < SKSM_BLOCK_PAGES; i++) {
		unit_fill_page(data + i * PAGE, i + 1);
		unit_fill_page(data + SKSM_BLOCK_BYTES + i * PAGE, i < guesses ? i + 1 : 9000 + i);
	}
	return data + SKSM_BLOCK_BYTES;
}

/*
 * For @seconds of the tracker's clock, write each of the guesses as soon as it is merged, and put
 * the same content back. When that was, in seconds: the count.
 */
static unsigned int probe(char *guess, unsigned int guesses, unsigned int seconds,
			  unsigned int ret_times[OFFERS_MAX])
{
	unsigned int count = 0;

	for (unsigned int second = 0; second < seconds; second++) {
		bool learned = false;

		/* What an audit costs is of another clock. */
		rig.tracker->audit.cost_ns = 0;
		sksm_tracker_pass(rig.tracker);
		clock_ns += 1000000000ull;
		for (unsigned int i = 0; i < guesses; i++) {
			if (rig_state(&rig, guess + i * PAGE) != SKSM_PAGE_MERGED)
				continue;
			for (unsigned int j = 0; j < merged_count; j++)
				if (merged[j].at == guess + i * PAGE)
					merged[j].content = ~content(merged[j].at);
			unit_fill_page(guess + i * PAGE, i + 1);
			learned = true;
		}
		if (learned)
			ret_times[count++] = second;
	}
	return count;
}

static void expect_ever_less_often(unsigned int guesses)
{
	static unsigned int times[OFFERS_MAX];
	char *guess = map_guesses(guesses);
	unsigned int count = probe(guess, guesses, HOUR_S, times), longest = 0;

	/* He does learn, or nothing is shown. */
	cr_assert_gt(count, 3);
	cr_assert_leq(times[0], FIRST_S);
	for (unsigned int i = 1; i < count; i++) {
		unsigned int gap = times[i] - times[i - 1];

		/* Looks at a block are at moments of its own, so that gaps vary by half of them. */
		cr_assert_geq(gap, longest / 2, "%u s after %u s", gap, longest);
		longest = gap > longest ? gap : longest;
	}
	cr_assert_geq(times[count - 1] - times[count - 2], LAST_S, "every %u s in the end",
		      times[count - 1] - times[count - 2]);
	cr_assert_leq(count, HOUR_S / LAST_S + 10, "%u times in an hour", count);
	cr_assert_eq(rig.tracker->counters.cow_breaks, (uint64_t)count * guesses);
	for (unsigned int i = 0; i < SKSM_BLOCK_PAGES; i++)
		cr_assert(unit_page_holds(guess + i * PAGE, i < guesses ? i + 1 : 9000 + i));
}

Test(heat_probing, one_page)
{
	expect_ever_less_often(1);
}

Test(heat_probing, a_block_full_of_guesses)
{
	expect_ever_less_often(SKSM_BLOCK_PAGES);
}

/* Whoever wrote them is not known: who stops is served like others again. */
Test(heat_probing, who_stops_is_forgiven)
{
	static unsigned int times[OFFERS_MAX];
	char *guess = map_guesses(1);
	struct sksm_block *block;

	cr_assert_gt(probe(guess, 1, HOUR_S, times), 3);
	cr_assert_gt(probe(guess, 0, 60, times) + 1, 0);
	block = rig_block(&rig, guess);
	cr_assert_eq(rig_state(&rig, guess), SKSM_PAGE_MERGED);
	cr_assert_gt(block->age_shift, 0);
	/* One write, long after: the merge had paid. */
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int before = block->age_shift;

		probe(guess, 1, 1, times);
		probe(guess, 0, 120, times);
		cr_assert_lt(block->age_shift, before ? before : 1);
	}
}
