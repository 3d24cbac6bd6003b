/* SPDX-License-Identifier: MIT */
/*
 * /run/sksm as the pacer uses it. Root's own SKSM_DIR and so 0700, owned by root; beside the
 * domains it holds:
 *
 *	pacer.lock	locked by the one pacer that may touch ksmd (POSIX lock: F_GETLK names it)
 *	pacer.state	the settings to put back, while a pulse lasts (pacer_state.h)
 *	pacer.stats	CPU time used since boot
 *	pacer.d/PID	the SKSM_DIR that the pacer PID wants to have served by whoever is active
 */
#ifndef SKSM_PACER_HOME_H
#define SKSM_PACER_HOME_H

#include <stdint.h>
#include <sys/types.h>

#define SKSM_PACER_HOME "/run/sksm"
#define SKSM_PACER_STATE "pacer.state"

struct sksm_pacer_stats {
	uint64_t pacer_cpu_ns;	/* of the pacers themselves */
	uint64_t ksmd_cpu_ns;	/* of ksmd while they let it run */
	uint64_t pulses;
};

/*
 * Open /run/sksm, making it and pacer.d where they are missing. Root only. The descriptor; -EPERM
 * where it is not a directory that root alone can write; or -errno.
 */
int sksm_pacer_home_open(void);

/*
 * Try to become the active pacer. A lock descriptor to keep open until the end, or -EAGAIN and the
 * holder's pid in *ret_holder, or -errno. The lock goes when the process ends or closes *any*
 * descriptor of pacer.lock: the holder must not call sksm_pacer_home_holder.
 */
int sksm_pacer_home_lock(int home_fd, pid_t *ret_holder);

/* The pid of the active pacer, 0 where none is. Root asks the lock, others look through /proc. */
pid_t sksm_pacer_home_holder(void);

/* Announce, and take back, that @dir is to be served for this process. 0 or -errno. */
int sksm_pacer_home_register(int home_fd, const char *dir);
void sksm_pacer_home_unregister(int home_fd);

/*
 * Call @found with each directory that a living pacer has registered. Entries of dead ones are
 * removed where we may.
 */
void sksm_pacer_home_registered(void (*found)(const char *dir, void *arg), void *arg);

/* Zeroes where there are none yet or they cannot be read (-errno then). */
int sksm_pacer_home_read_stats(struct sksm_pacer_stats *ret);
int sksm_pacer_home_write_stats(int home_fd, const struct sksm_pacer_stats *stats);

#endif
