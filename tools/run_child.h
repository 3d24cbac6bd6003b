/* SPDX-License-Identifier: MIT */
/*
 * A command as a child that behaves, for its user and its terminal, as if it had been started
 * without us: the same process group, signals passed on, stops followed, the same end.
 */
#ifndef SKSM_RUN_CHILD_H
#define SKSM_RUN_CHILD_H

#include <sys/types.h>

/*
 * Prepare this process (single-threaded): block the signals that are passed on. Call before any
 * child is started.
 */
void sksm_run_child_prepare(void);

/* In a new child, before exec: the signal mask and actions that we were started with. */
void sksm_run_child_reset_signals(void);

/*
 * Start @argv, found in PATH. The child prints why it cannot, and ends with 127 (not found) or 126
 * (cannot be executed). Its pid or -errno.
 */
pid_t sksm_run_child_start(char *const argv[]);

/*
 * Pass on signals and stops until @child ends; then 0 and its wait status. -errno on failure. Other
 * children that end meanwhile are left to their waiters.
 */
int sksm_run_child_wait(pid_t child, int *ret_status);

/* End as the child did: by its exit status or by its signal (without a second core dump). */
void sksm_run_child_end_like(int status) __attribute__((noreturn));

#endif
