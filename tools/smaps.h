/* SPDX-License-Identifier: MIT */
/*
 * The mappings of a process in which KSM may have merged something: VmFlags "mg" in
 * /proc/PID/smaps, or "KSM:" above 0 for what MADV_MERGE has done, which leaves no mark.
 */
#ifndef SKSM_SMAPS_H
#define SKSM_SMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sksm_smaps_range {
	uint64_t start;
	uint64_t end;
};

/*
 * These ranges of @pid in ascending order, joined where they touch. "KSM:" does not count zero
 * pages: @zeros says that KSM placed some, which may be in any anonymous mapping where none is
 * marked. The caller frees *ret. 0, or -errno (-EACCES where we may not look, -ESRCH where it has
 * gone).
 */
int sksm_smaps_mergeable(pid_t pid, bool zeros, struct sksm_smaps_range **ret, size_t *ret_count);

#endif
