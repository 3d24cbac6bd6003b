/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/history.h"

#define SECOND 1000000000ull

static struct sksm_history history;

static void add(uint64_t at_ns, uint64_t saved)
{
	const struct sksm_sample sample = { .at_ns = at_ns, .saved = saved };

	sksm_history_add(&history, &sample);
}

static void reset(void)
{
	memset(&history, 0, sizeof(history));
}

Test(history, samples_keep_a_distance)
{
	reset();
	cr_assert(sksm_history_due(&history, 1));
	add(5 * SECOND, 1);
	cr_assert_not(sksm_history_due(&history, 5 * SECOND));
	cr_assert_not(sksm_history_due(&history, 4 * SECOND), "a clock that went back");
	add(5 * SECOND + 1, 2);
	cr_assert_eq(history.count, 1);
	add(6 * SECOND, 3);
	cr_assert_eq(history.count, 2);
	cr_assert_eq(history.list[1].saved, 3);
}

/* A sample a second for two days: the space is bounded, the whole life is covered, evenly. */
Test(history, a_long_life)
{
	const uint64_t start_ns = 100 * SECOND, seconds = 2 * 86400;
	uint64_t shortest = UINT64_MAX, longest = 0;

	reset();
	for (uint64_t i = 0; i < seconds; i++)
		add(start_ns + i * SECOND, i);
	cr_assert(sksm_history_valid(&history, start_ns));
	cr_assert_geq(history.count, SKSM_HISTORY_MAX / 2);
	cr_assert_leq(history.count, SKSM_HISTORY_MAX);
	for (uint32_t i = 1; i < history.count; i++) {
		uint64_t ns = history.list[i].at_ns - history.list[i - 1].at_ns;

		shortest = ns < shortest ? ns : shortest;
		longest = ns > longest ? ns : longest;
		cr_assert_eq(history.list[i].saved * SECOND + start_ns, history.list[i].at_ns);
	}
	cr_assert_leq(longest, shortest + 2 * SECOND, "%lu to %lu", shortest, longest);
	/* The first that is left is not far from the start, the last not far from now. */
	cr_assert_leq(history.list[0].at_ns - start_ns, 2 * longest);
	cr_assert_leq(start_ns + seconds * SECOND - history.list[history.count - 1].at_ns,
		      2 * longest);
}

Test(history, what_cannot_be)
{
	reset();
	cr_assert(sksm_history_valid(&history, 7), "none at all");
	add(10, 1);
	add(SECOND, 2);
	cr_assert(sksm_history_valid(&history, 10));
	cr_assert_not(sksm_history_valid(&history, 11), "before the start");
	history.list[1].at_ns = 9;
	cr_assert_not(sksm_history_valid(&history, 1), "back in time");
	history.list[1].at_ns = 11;
	history.list[1].merged = 1ull << 57;
	cr_assert_not(sksm_history_valid(&history, 1), "more than there can be");
	history.count = SKSM_HISTORY_MAX + 1;
	cr_assert_not(sksm_history_valid(&history, 1), "more than there is room for");
}
