/* SPDX-License-Identifier: MIT */
/*
 * The pacer that lives as long as sksm-run.
 */
#ifndef SKSM_RUN_PACER_H
#define SKSM_RUN_PACER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Start one where this can help: we are root and the command's environment, which is ours by now,
 * asks for merging by stock KSM. Its pid; 0 where none is needed, or where it failed, with
 * a message.
 */
pid_t sksm_run_pacer_start(void);

/*
 * Let it put back everything, and wait for its end. False where it had ended by itself. 0 is
 * ignored.
 */
bool sksm_run_pacer_stop(pid_t pacer);

#endif
