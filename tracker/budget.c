/* SPDX-License-Identifier: MIT */
#include "budget.h"

/* So many seconds' worth may be saved up, or owed; to begin with, half of it is there. */
#define SAVED_SECONDS 20

static int64_t saved_max_ns(const struct sksm_budget *budget)
{
	return (int64_t)budget->percent * SAVED_SECONDS * 10000000;
}

void sksm_budget_init(struct sksm_budget *budget, unsigned int percent, uint64_t now_ns,
		      uint64_t cpu_ns)
{
	budget->percent = percent;
	budget->last_ns = now_ns;
	budget->last_cpu_ns = cpu_ns;
	budget->credit_ns = saved_max_ns(budget) / 2;
}

void sksm_budget_update(struct sksm_budget *budget, uint64_t now_ns, uint64_t cpu_ns,
			uint64_t faults)
{
	/* A clock may stand still, but a step back must not wrap around. */
	uint64_t passed_ns = now_ns > budget->last_ns ? now_ns - budget->last_ns : 0;
	uint64_t used_ns = cpu_ns > budget->last_cpu_ns ? cpu_ns - budget->last_cpu_ns : 0;

	budget->last_ns = now_ns;
	budget->last_cpu_ns = cpu_ns;
	/* After a suspend an hour may have passed at once. */
	if (passed_ns > SAVED_SECONDS * 1000000000ull)
		passed_ns = SAVED_SECONDS * 1000000000ull;
	budget->credit_ns += (int64_t)(passed_ns / 100 * budget->percent);
	if (budget->credit_ns > saved_max_ns(budget))
		budget->credit_ns = saved_max_ns(budget);
	budget->credit_ns -= (int64_t)(used_ns + faults * SKSM_FAULT_NS);
	/* Who is in debt pauses, and a process that pauses for long is taken for dead. */
	if (budget->credit_ns < -saved_max_ns(budget))
		budget->credit_ns = -saved_max_ns(budget);
}

bool sksm_budget_ample(const struct sksm_budget *budget)
{
	return budget->credit_ns > saved_max_ns(budget) / 4;
}

uint64_t sksm_budget_pause_ns(const struct sksm_budget *budget)
{
	if (budget->credit_ns >= 0)
		return 0;
	return (uint64_t)-budget->credit_ns / budget->percent * 100;
}
