/* SPDX-License-Identifier: MIT */
/*
 * Notices that somebody else writes a setting of KSM, even if he writes the value that we wrote
 * ("echo 1 > run" during a pulse means: keep it running). Reading values back cannot tell that.
 */
#ifndef SKSM_WATCH_H
#define SKSM_WATCH_H

#include <stdbool.h>

#include "ksmd.h"

/* An inotify descriptor, or -errno; all the functions below then do nothing. */
int sksm_watch_open(void);

/* Forget what was written until now: call after our own writes. */
void sksm_watch_forget(int watch_fd);

/* Fill @ret with which settings were written since the last call; true where any was. */
bool sksm_watch_written(int watch_fd, bool ret[SKSM_KSMD_SETTINGS]);

#endif
