/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <math.h>

#include "tools/trend.h"

#define SECOND 1000000000ull
#define START_NS (1000 * SECOND)
#define GIB (1ull << 30)

static struct sksm_record record;

static void reset(void)
{
	memset(&record, 0, sizeof(record));
	record.start_ns = START_NS;
	record.mode = SKSM_MODE_MERGE;
	record.engine = SKSM_ENGINE_KSM;
	record.updated_ns = START_NS;
	record.counters.resident = record.counters.invariant = 2 * GIB;
	record.counters.passes = 100;
}

/* What a pass publishes: the history takes of it what it would of a real one. */
static void publish(double seconds, double saved, double duplicate)
{
	struct sksm_sample sample = {
		.at_ns = START_NS + (uint64_t)(seconds * 1e9), .saved = (uint64_t)saved,
		.duplicate = (uint64_t)duplicate, .merged = (uint64_t)saved,
		.cow_breaks = record.counters.cow_breaks,
	};

	record.updated_ns = sample.at_ns;
	record.counters.saved = record.counters.merged = sample.saved;
	record.counters.duplicate = sample.duplicate;
	sksm_history_add(&record.history, &sample);
}

static void expect(enum sksm_trend_kind kind, double left, double within)
{
	struct sksm_trend trend = sksm_trend_judge(&record);

	cr_assert_eq(trend.kind, kind, "%d, not %d", trend.kind, kind);
	if (left < 0)
		cr_assert_lt(trend.left_seconds, 0, "%f s", trend.left_seconds);
	else
		cr_assert_lt(fabs(trend.left_seconds - left), within, "%f s, not %f",
			     trend.left_seconds, left);
}

Test(trend, too_few_samples)
{
	reset();
	expect(SKSM_TREND_UNKNOWN, -1, 0);
	publish(1, 0, 0);
	publish(2, 100 * MIB, 100 * MIB);
	publish(3, 200 * MIB, 200 * MIB);
	expect(SKSM_TREND_UNKNOWN, -1, 0);
}

/* A GiB has a twin from the beginning on; 10 MiB of it are merged a second. */
Test(trend, merging_at_a_steady_pace)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i * 10.0 * MIB, GIB);
	expect(SKSM_TREND_GROWING, 62.4, 3);
}

/* The same where ksmd is let run every fifth second only. */
Test(trend, merging_in_pulses)
{
	reset();
	for (int i = 1; i <= 45; i++)
		publish(i, i / 5 * 50.0 * MIB, GIB);
	expect(SKSM_TREND_GROWING, 57.4, 15);
}

/* Half of what is left each 20 s. */
Test(trend, growing_less_and_less)
{
	reset();
	for (int i = 1; i <= 60; i++)
		publish(i, GIB * (1 - exp2(-i / 20.0)), GIB * (1 - exp2(-i / 20.0)));
	/* 1/8 is left, and a 32nd of what there is is no change any more. */
	expect(SKSM_TREND_GROWING, 40, 8);
}

/* More is found as fast as it is merged: nobody knows how much there is. */
Test(trend, growing_without_an_end_in_sight)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i * 10.0 * MIB, i * 10.0 * MIB);
	expect(SKSM_TREND_GROWING, -1, 0);
}

/* A quarter of the memory was looked at in 40 s. */
Test(trend, growing_while_memory_is_looked_at)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i * 10.0 * MIB, i * 10.0 * MIB);
	record.counters.invariant = record.counters.digested = GIB / 2;
	expect(SKSM_TREND_GROWING, 120, 1);
}

Test(trend, growth_that_began_late)
{
	reset();
	for (int i = 1; i <= 1000; i++)
		publish(i, i < 900 ? 0 : (i - 900) * 10.0 * MIB, i < 900 ? 0 : 2.0 * GIB);
	expect(SKSM_TREND_GROWING, 104.8, 12);
}

Test(trend, grown_and_stays)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i < 20 ? i * 20.0 * MIB : 400.0 * MIB + i % 3 * 65536, GIB);
	expect(SKSM_TREND_CONVERGED, -1, 0);
}

/* All that has a twin is merged; more has not been found for a while. */
Test(trend, just_grown)
{
	reset();
	for (int i = 1; i <= 30; i++)
		publish(i, i < 28 ? i * 10.0 * MIB : 275.0 * MIB, 275 * MIB);
	expect(SKSM_TREND_CONVERGED, -1, 0);
	record.counters.pending = 20 * MIB;
	expect(SKSM_TREND_GROWING, 0, 1);
}

/* Slower than an even pace by little: there is no more than there is memory. */
Test(trend, growing_to_all_of_the_memory)
{
	double saved = 0;

	reset();
	for (int i = 1; i <= 40; i++) {
		saved += 40 * MIB * pow(0.99, i);
		publish(i, saved, saved);
	}
	/* 1263 MiB of 2 GiB, and about 28 MiB/s. */
	expect(SKSM_TREND_GROWING, 27, 4);
}

/* Long ago, so that samples are far apart. */
Test(trend, grown_long_ago)
{
	reset();
	for (int i = 1; i <= 86400; i += 8)
		publish(i, i < 86000 ? 100.0 * MIB : 400.0 * MIB, GIB);
	expect(SKSM_TREND_CONVERGED, -1, 0);
}

Test(trend, nothing_to_save)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, 0, 0);
	expect(SKSM_TREND_CONVERGED, -1, 0);
	record.counters.passes = 5;
	expect(SKSM_TREND_UNKNOWN, -1, 0);
}

/* It stays as it is, for now: a GiB was not yet seen, or waits for ksmd. */
Test(trend, nothing_yet)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, 0, 0);
	record.counters.invariant = GIB;
	expect(SKSM_TREND_UNKNOWN, -1, 0);
	record.counters.hot = GIB / 2;
	record.counters.huge_kept = GIB / 2;
	expect(SKSM_TREND_CONVERGED, -1, 0);
	record.counters.pending = GIB;
	expect(SKSM_TREND_UNKNOWN, -1, 0);
}

Test(trend, coming_and_going)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i / 4 % 2 ? 400.0 * MIB : 100.0 * MIB, GIB);
	expect(SKSM_TREND_OSCILLATING, -1, 0);
}

/* In waves, on the way up. */
Test(trend, waves_while_growing)
{
	reset();
	for (int i = 1; i <= 48; i++)
		publish(i, i * 10.0 * MIB + 100 * MIB * (1 + sin(i / 2.0)), 2.0 * GIB);
	expect(SKSM_TREND_OSCILLATING, -1, 0);
}

/* It came and went at first, and has been growing since. */
Test(trend, waves_long_ago)
{
	reset();
	for (int i = 1; i <= 48; i++)
		publish(i, i < 20 ? i / 4 % 2 * 100.0 * MIB : i * 10.0 * MIB, GIB);
	expect(SKSM_TREND_GROWING, 54.4, 8);
}

/* What is merged stays as much: 50 MiB of 400 are undone each second, and merged again. */
Test(trend, undone_as_soon_as_made)
{
	reset();
	for (int i = 1; i <= 40; i++) {
		record.counters.cow_breaks = (uint64_t)i * 50 * MIB / SKSM_PAGE_BYTES;
		publish(i, 400.0 * MIB, GIB);
	}
	expect(SKSM_TREND_OSCILLATING, -1, 0);
	/* A hundredth of that is nothing. */
	reset();
	for (int i = 1; i <= 40; i++) {
		record.counters.cow_breaks = (uint64_t)i * MIB / 2 / SKSM_PAGE_BYTES;
		publish(i, 400.0 * MIB, GIB);
	}
	expect(SKSM_TREND_CONVERGED, -1, 0);
}

Test(trend, shrinking)
{
	reset();
	for (int i = 1; i <= 40; i++)
		publish(i, i < 20 ? 800.0 * MIB : 800.0 * MIB - (i - 20) * 20.0 * MIB, GIB);
	expect(SKSM_TREND_SHRINKING, -1, 0);
}

/* Where nothing is merged it is what has a twin that grows. */
Test(trend, estimating)
{
	reset();
	record.mode = SKSM_MODE_ESTIMATE;
	record.engine = SKSM_ENGINE_NONE;
	for (int i = 1; i <= 60; i++)
		publish(i, 0, GIB * (1 - exp2(-i / 20.0)));
	expect(SKSM_TREND_GROWING, 40, 8);
	for (int i = 61; i <= 300; i++)
		publish(i, 0, GIB);
	expect(SKSM_TREND_CONVERGED, -1, 0);
}

/* Whatever a record says that passed its checks. */
Test(trend, odd_numbers)
{
	uint64_t seed = 7;

	for (int round = 0; round < 2000; round++) {
		struct sksm_trend trend;
		uint64_t at_ns = START_NS;

		reset();
		record.history.count = (uint32_t)(unit_random(&seed) % (SKSM_HISTORY_MAX + 1));
		for (uint32_t i = 0; i < record.history.count; i++) {
			struct sksm_sample *sample = &record.history.list[i];

			at_ns += unit_random(&seed) % 3 ? unit_random(&seed) >> 20 : 0;
			sample->at_ns = at_ns;
			sample->saved = unit_random(&seed) >> (7 + unit_random(&seed) % 57);
			sample->duplicate = unit_random(&seed) >> (7 + unit_random(&seed) % 57);
			sample->merged = unit_random(&seed) >> (7 + unit_random(&seed) % 57);
			sample->cow_breaks = unit_random(&seed) >> unit_random(&seed) % 64;
		}
		record.updated_ns = unit_random(&seed) >> unit_random(&seed) % 64;
		cr_assert(sksm_history_valid(&record.history, START_NS));
		trend = sksm_trend_judge(&record);
		cr_assert_leq(trend.kind, SKSM_TREND_OSCILLATING);
		cr_assert(isfinite(trend.left_seconds), "round %d", round);
	}
}

static const char *text(enum sksm_trend_kind kind, double left, bool bare)
{
	static char room[SKSM_TREND_TEXT_MAX];
	const struct sksm_trend trend = { .kind = kind, .left_seconds = left };

	return sksm_trend_text(&trend, bare, room);
}

Test(trend, in_words)
{
	cr_assert_str_eq(text(SKSM_TREND_UNKNOWN, -1, false), "-");
	cr_assert_str_eq(text(SKSM_TREND_CONVERGED, -1, false), "converged");
	cr_assert_str_eq(text(SKSM_TREND_OSCILLATING, -1, false), "oscillating");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, -1, false), "growing");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, 4.2, false), "growing 5s");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, 130, false), "growing 3m");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, 7200 * 3, false), "growing 6h");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, 1e300, false), "growing");
	cr_assert_str_eq(text(SKSM_TREND_GROWING, 4.2, true), "growing");
	cr_assert_null(sksm_trend_name(SKSM_TREND_UNKNOWN));
}
