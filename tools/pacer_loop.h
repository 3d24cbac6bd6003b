/* SPDX-License-Identifier: MIT */
/*
 * The active pacer: looks for work, gives ksmd its pulses, stops when it is told to.
 */
#ifndef SKSM_PACER_LOOP_H
#define SKSM_PACER_LOOP_H

#include <stdbool.h>

/* Signals that end a pacer are taken between two steps, never in the middle of one. */
void sksm_pacer_loop_block_signals(void);

/* Sleep; true where a signal says to end. */
bool sksm_pacer_loop_sleep(unsigned int ms);

/*
 * Pace ksmd until a signal says to end, or (@once) until nothing waits. @own_dir is served besides
 * the usual places. The caller holds the pacer lock. Returns the exit status.
 */
int sksm_pacer_loop(int home_fd, const char *own_dir, unsigned int cpu_percent, bool once);

#endif
