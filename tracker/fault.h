/* SPDX-License-Identifier: MIT */
/*
 * Failure injection, in test builds alone (SKSM_FAULT_BUILD): any kernel call of ours fails in any
 * way it can, at any count; any ability is not there.
 *
 * SKSM_FAULT is a list, separated by commas, of
 *	CALL:ERROR[:WHEN]	CALL as in fault.c; ERROR a name, a number or "short" (half of what
 *				was asked for is read or written); WHEN N (the Nth call), N+ (from
 *				the Nth on, default 1+) or /N (every Nth)
 *	mask:ABILITY		a name of probe.h
 * SKSM_FAULT_LOG is a file to which each part of the list appends a line when it first comes true.
 * A part that cannot be used is named on standard error; the others hold.
 */
#ifndef SKSM_FAULT_H
#define SKSM_FAULT_H

#include <stdbool.h>

#ifdef SKSM_FAULT_BUILD

/* Read the environment. Before any other call; not thread-safe. */
void sksm_fault_parse(char *const envp[]);

/*
 * Is this system call to fail? Then *ret_result is what the kernel would have said. May shorten
 * *length, the third argument. Thread- and signal-safe.
 */
bool sksm_fault_hit(long number, long second, long third, long *length, long *ret_result);

/* Is this ability (enum sksm_ability) masked? */
bool sksm_fault_masked(unsigned int ability);

#else

static inline bool sksm_fault_masked(unsigned int ability)
{
	return false;
}

#endif
#endif
