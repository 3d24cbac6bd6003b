/* SPDX-License-Identifier: MIT */
/*
 * Processes that have the library and no record: it makes one when memory is mapped, so a small
 * program may run for days without. Likewise what is switched off or excluded, and setuid programs.
 */
#ifndef SKSM_UNRECORDED_H
#define SKSM_UNRECORDED_H

#include <stddef.h>
#include <sys/types.h>

#include "tracker/record.h"

struct sksm_unrecorded_process {
	pid_t pid;
	char comm[2 * SKSM_COMM_MAX];	/* clean */
};

struct sksm_unrecorded {
	struct sksm_unrecorded_process *list;	/* by pid */
	size_t count;
};

/*
 * Those of @domain (NULL: all) whose maps we may read. Reads the maps of every process: some 0.1 ms
 * each. 0 or -errno.
 */
int sksm_unrecorded_find(struct sksm_unrecorded *ret, const char *domain);

void sksm_unrecorded_fini(struct sksm_unrecorded *unrecorded);

#endif
