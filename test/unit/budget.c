/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/budget.h"

#define SECOND 1000000000ull

Test(budget, half_of_the_savings_are_there_at_first)
{
	struct sksm_budget budget;

	sksm_budget_init(&budget, 5, 100 * SECOND, SECOND);
	/* 5 % of 20 seconds, half of it. */
	cr_assert_eq(budget.credit_ns, (int64_t)SECOND / 2);
	cr_assert(sksm_budget_left(&budget));
	cr_assert_eq(sksm_budget_pause_ns(&budget), 0);
}

Test(budget, credit_accrues_and_is_capped)
{
	struct sksm_budget budget;

	sksm_budget_init(&budget, 5, 0, 0);
	sksm_budget_update(&budget, 2 * SECOND, 0, 0);
	cr_assert_eq(budget.credit_ns, (int64_t)(SECOND / 2 + SECOND / 10));
	sksm_budget_update(&budget, 10000 * SECOND, 0, 0);
	cr_assert_eq(budget.credit_ns, (int64_t)SECOND);
}

Test(budget, work_and_faults_are_charged)
{
	struct sksm_budget budget;

	sksm_budget_init(&budget, 10, 0, 7 * SECOND);
	sksm_budget_update(&budget, 0, 7 * SECOND + 1000, 3);
	cr_assert_eq(budget.credit_ns, (int64_t)SECOND - 1000 - 3 * SKSM_FAULT_NS);
	/* The same CPU time is not charged twice. */
	sksm_budget_update(&budget, 0, 7 * SECOND + 1000, 0);
	cr_assert_eq(budget.credit_ns, (int64_t)SECOND - 1000 - 3 * SKSM_FAULT_NS);
}

Test(budget, clocks_that_go_back_change_nothing)
{
	struct sksm_budget budget;
	int64_t before;

	sksm_budget_init(&budget, 5, 50 * SECOND, 5 * SECOND);
	before = budget.credit_ns;
	sksm_budget_update(&budget, 40 * SECOND, 4 * SECOND, 0);
	cr_assert_eq(budget.credit_ns, before);
	sksm_budget_update(&budget, 41 * SECOND, 4 * SECOND, 0);
	cr_assert_eq(budget.credit_ns, before + (int64_t)SECOND / 20);
}

Test(budget, a_suspended_machine_earns_no_more_than_the_cap)
{
	struct sksm_budget budget;

	sksm_budget_init(&budget, 100, 0, 0);
	sksm_budget_update(&budget, UINT64_MAX / 2, 0, 0);
	cr_assert_eq(budget.credit_ns, (int64_t)(20 * SECOND));
}

Test(budget, debt_pauses_until_it_is_paid)
{
	struct sksm_budget budget;
	uint64_t pause_ns;

	for (unsigned int percent = 1; percent <= 100; percent++) {
		sksm_budget_init(&budget, percent, 0, 0);
		sksm_budget_update(&budget, 0, 30 * SECOND, 12345);
		cr_assert_not(sksm_budget_left(&budget));
		pause_ns = sksm_budget_pause_ns(&budget);
		cr_assert_gt(pause_ns, 0);
		/* Not much earlier is it paid, and not much later. */
		cr_assert_lt(budget.credit_ns + (int64_t)(pause_ns / 100 * percent), 1000);
		cr_assert_gt(budget.credit_ns + (int64_t)(pause_ns / 100 * percent), -1000);
	}
}

/* Or is forgiven: who pauses for long is taken for dead. */
Test(budget, debt_has_an_end)
{
	struct sksm_budget budget;

	for (unsigned int percent = 1; percent <= 100; percent++) {
		sksm_budget_init(&budget, percent, 0, 0);
		sksm_budget_update(&budget, 0, 3600 * SECOND, 0);
		cr_assert_leq(sksm_budget_pause_ns(&budget), 20 * SECOND);
	}
}

/* Whoever works whenever there is credit ends at the percentage, as a long-run mean. */
Test(budget, long_run_mean)
{
	struct sksm_budget budget;
	uint64_t now_ns = 0, cpu_ns = 0, faults = 0, used_ns, seed = 2;
	double share;

	sksm_budget_init(&budget, 5, 0, 0);
	while (now_ns < 3600 * SECOND) {
		uint64_t new_faults = 0;

		now_ns += 50000000 + unit_random(&seed) % 100000000;
		if (sksm_budget_left(&budget)) {
			cpu_ns += unit_random(&seed) % 40000000;
			new_faults = unit_random(&seed) % 20000;
		}
		faults += new_faults;
		sksm_budget_update(&budget, now_ns, cpu_ns, new_faults);
	}
	used_ns = cpu_ns + faults * SKSM_FAULT_NS;
	share = (double)used_ns * 100 / (double)now_ns;
	cr_assert(share > 4.9 && share < 5.1, "%f percent", share);
}
