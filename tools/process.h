/* SPDX-License-Identifier: MIT */
/*
 * Processes as /proc shows them, and what became of the one that wrote a record.
 */
#ifndef SKSM_PROCESS_H
#define SKSM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "nested.h"
#include "places.h"

struct sksm_process {
	char comm[16];
	bool dead;		/* gone but for its parent's wait: a zombie without live threads */
	bool leader_gone;	/* main called pthread_exit: ask a thread's /proc entry instead */
	bool kernel_thread;
	pid_t parent;
	uint64_t start_ticks;	/* since boot, 1/sysconf(_SC_CLK_TCK) s; not changed by exec */
};

enum sksm_life { SKSM_LIFE_RUNNING, SKSM_LIFE_EXITED, SKSM_LIFE_KILLED, SKSM_LIFE_EXEC };

/* /proc/PID/stat. 0 or -errno (-ESRCH, -ENOENT: there is no such process). */
int sksm_process_read(pid_t pid, struct sksm_process *ret);

/* True where one of the process' real, effective and saved user ids is @uid. */
bool sksm_process_has_uid(pid_t pid, uid_t uid);

/*
 * Open a file below /proc/PID that shows the address space ("maps", "smaps", "pagemap"), also
 * where the main thread has ended before the others. A descriptor or -errno.
 */
int sksm_process_open(pid_t pid, const char *name);

/* The same as a stream. 0 or -errno. */
int sksm_process_stream(pid_t pid, const char *name, FILE **ret);

/*
 * True where @record (made by a process with a file of @owner) can be about the process that has
 * its pid now: that one lives, did not start later, and runs for that user. Cheap.
 */
bool sksm_process_matches(const struct sksm_record *record, uid_t owner);

/* The same for one of @nested, by its own pid. Cheap where there are few. */
bool sksm_process_matches_nested(const struct sksm_record *record, uid_t owner,
				 const struct sksm_nested *nested);

/*
 * What became of the process. @superseded: a newer record has the same pid and parent.
 * Reads /proc/PID/maps: a program that was started without us maps no record. *ret_pid is the pid
 * by which we know a running one: its own, or one of @nested.
 */
enum sksm_life sksm_process_life(const struct sksm_place_record *found, bool superseded,
				 const struct sksm_nested *nested, pid_t *ret_pid);

const char *sksm_life_name(enum sksm_life life);

#endif
