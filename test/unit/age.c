/* SPDX-License-Identifier: MIT */
/*
 * Ages far below the interval, where passes are a whole turn of an 8-bit clock apart (256
 * sixteenths of the age), or nearly: a few passes make memory invariant, not dozens.
 */
#include "clock.h"
#include "rig.h"

#define PAGES 2048
#define PASSES 12

static void expect_digested(const char *age, const char *interval, uint64_t interval_ms)
{
	const char *const variables[] = { "SKSM_TRACKER=wp", "SKSM_CPU_PERCENT=100", age, interval,
					  NULL };
	struct rig rig;
	char *data;

	rig_start(&rig, variables);
	data = unit_map(PAGES * PAGE);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	for (unsigned int pass = 0; pass < PASSES; pass++) {
		rig.tracker->audit.cost_ns = 0;
		sksm_tracker_pass(rig.tracker);
		clock_ns += interval_ms * 1000000;
	}
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_DIGESTED), PAGES);
	rig_stop(&rig);
}

Test(age, a_turn_apart)
{
	expect_digested("SKSM_AGE_MS=125", "SKSM_INTERVAL_MS=2000", 2000);
}

Test(age, nearly_a_turn_apart)
{
	expect_digested("SKSM_AGE_MS=62", "SKSM_INTERVAL_MS=1000", 1000);
}

Test(age, two_turns_apart)
{
	expect_digested("SKSM_AGE_MS=125", "SKSM_INTERVAL_MS=4000", 4000);
}
