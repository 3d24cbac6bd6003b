/* SPDX-License-Identifier: MIT */
/*
 * SKSM_CPU_PERCENT as a long-run mean: credit accrues with time, and what our thread computes and
 * what faults our arming causes are charged to it as they happen.
 */
#ifndef SKSM_BUDGET_H
#define SKSM_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* What the first write to an armed page costs the program (docs/kernel.md). */
#define SKSM_FAULT_NS 1000

struct sksm_budget {
	unsigned int percent;
	int64_t credit_ns;
	uint64_t last_ns;	/* CLOCK_BOOTTIME */
	uint64_t last_cpu_ns;	/* of our thread */
};

void sksm_budget_init(struct sksm_budget *budget, unsigned int percent, uint64_t now_ns,
		      uint64_t cpu_ns);

/* Bring the credit up to date: the clock's time, our thread's CPU time, @faults just seen. */
void sksm_budget_update(struct sksm_budget *budget, uint64_t now_ns, uint64_t cpu_ns,
			uint64_t faults);

/* May work that can wait go on? */
static inline bool sksm_budget_left(const struct sksm_budget *budget)
{
	return budget->credit_ns > 0;
}

/* Is a quarter of what may be saved up there, half of what is to begin with? */
bool sksm_budget_ample(const struct sksm_budget *budget);

/* How long to pause until the credit is positive again; 0 where it is. */
uint64_t sksm_budget_pause_ns(const struct sksm_budget *budget);

#endif
