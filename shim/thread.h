/* SPDX-License-Identifier: MIT */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include <stdbool.h>

/* Real, effective and saved ids, as in the Uid: and Gid: lines of /proc/PID/status. */
struct sksm_ids {
	unsigned int uid[3];
	unsigned int gid[3];
};

/* False where @status holds no such lines. */
bool shim_parse_ids(const char *status, struct sksm_ids *ret);

#endif
