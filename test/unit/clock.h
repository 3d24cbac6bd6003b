/* SPDX-License-Identifier: MIT */
/*
 * The clock that the tracker reads is the test's (the linker's --wrap): hours pass at once, and
 * passes are exactly as far apart as the test says. CPU time is the machine's.
 */
#ifndef TEST_UNIT_CLOCK_H
#define TEST_UNIT_CLOCK_H

#include <stdint.h>
#include <time.h>

static uint64_t clock_ns;

uint64_t __real_sksm_clock_ns(int clock);
uint64_t __wrap_sksm_clock_ns(int clock);

uint64_t __wrap_sksm_clock_ns(int clock)
{
	if (clock != CLOCK_BOOTTIME && clock != CLOCK_MONOTONIC)
		return __real_sksm_clock_ns(clock);
	if (!clock_ns)
		clock_ns = __real_sksm_clock_ns(CLOCK_BOOTTIME);
	return clock_ns;
}

#endif
