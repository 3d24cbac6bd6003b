/* SPDX-License-Identifier: MIT */
/*
 * The mappings of a process that KSM may merge: VmFlags "mg" in /proc/PID/smaps.
 */
#ifndef SKSM_SMAPS_H
#define SKSM_SMAPS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sksm_smaps_range {
	uint64_t start;
	uint64_t end;
};

/*
 * The mergeable ranges of @pid in ascending order, joined where they touch. The caller frees
 * *ret. 0, or -errno (-EACCES where we may not look, -ESRCH where it has gone).
 */
int sksm_smaps_mergeable(pid_t pid, struct sksm_smaps_range **ret, size_t *ret_count);

#endif
