/* SPDX-License-Identifier: MIT */
/*
 * One pulse: ksmd runs with settings of ours, then everything is as it was. Between pulses nothing
 * in /sys/kernel/mm/ksm differs from what the administrator set, so that even a pacer that is
 * killed then leaves nothing behind. CPU time of ksmd is paid from a bucket that fills at the
 * budget's rate.
 */
#ifndef SKSM_PULSE_H
#define SKSM_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "ksmd.h"

#include "tracker/pressure.h"

struct sksm_pulse {
	int home_fd;
	int watch_fd;
	pid_t ksmd;		/* 0: it cannot be seen from here */
	unsigned int cpu_percent;
	struct sksm_pressure pressure;
	bool on;		/* until everything is put back */
	struct sksm_ksmd_settings original;
	struct sksm_ksmd_settings ours;
	int64_t tokens_ns;	/* CPU time that ksmd may use now; negative: debt */
	uint64_t filled_ns;	/* CLOCK_BOOTTIME when tokens_ns was last brought up to date */
	uint64_t ksmd_seen_ns;	/* ksmd's CPU time then, during a pulse */
	uint64_t ksmd_cpu_ns;	/* of all pulses */
	uint64_t pulses;
	uint64_t values_ns;	/* when all settings were last read */
	bool own_run;		/* the next word of a write to "run" is about our own */
	const char *failed;	/* what sksm_pulse_start could not write: a static path */
	int stop_error;		/* of the last sksm_pulse_stop */
};

/* What became of ksmd since the last look. */
enum sksm_pulse_state {
	SKSM_PULSE_FINE,
	SKSM_PULSE_DEBT,	/* the budget is used up */
	SKSM_PULSE_FOREIGN,	/* somebody else wrote a setting */
};

/* -ENOENT where the kernel has no KSM. @home_fd is borrowed. */
int sksm_pulse_init(struct sksm_pulse *pulse, int home_fd, unsigned int cpu_percent);

/* Stops a pulse that is on; where that fails it still is, and the state file is there. */
void sksm_pulse_fini(struct sksm_pulse *pulse);

/* True where a pulse may begin: ksmd stands still (run is 0) and there is some budget. */
bool sksm_pulse_ready(struct sksm_pulse *pulse);

/*
 * Begin one; none may be on. 0; -EBUSY where ksmd is not at rest after all; or -errno and
 * @pulse->failed, with nothing changed unless @pulse->on.
 */
int sksm_pulse_start(struct sksm_pulse *pulse);

/* To be called every few milliseconds while one is on (sksm_progress_step_ms). */
enum sksm_pulse_state sksm_pulse_check(struct sksm_pulse *pulse);

/*
 * Put everything back but what somebody else has written. 0; or -errno, and the pulse is still on:
 * to be called again, for ksmd may run on as fast as it can.
 */
int sksm_pulse_stop(struct sksm_pulse *pulse);

#endif
