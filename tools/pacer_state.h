/* SPDX-License-Identifier: MIT */
/*
 * /run/sksm/pacer.state: what to put back. Written before the first change of a pulse and removed
 * after the last one was undone, so that its existence without a living pacer means that one was
 * killed in the middle.
 */
#ifndef SKSM_PACER_STATE_H
#define SKSM_PACER_STATE_H

#include "ksmd.h"

/* 0 or -errno; nothing may be changed where it could not be saved. */
int sksm_pacer_state_save(int home_fd, const struct sksm_ksmd_settings *original,
			  const struct sksm_ksmd_settings *ours);

/* 0, also where there is none; or -errno. */
int sksm_pacer_state_remove(int home_fd);

/*
 * Put back what a killed pacer left, with a message; for the holder of the pacer lock alone. A
 * file that does not pass each check is renamed to pacer.state.bad, with a message, and not acted
 * upon; one from before the last boot is removed. 1 where settings were put back, 0 where there
 * was nothing to do, -EBADMSG where the file was set aside, or -errno.
 */
int sksm_pacer_state_repair(int home_fd);

#endif
