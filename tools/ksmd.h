/* SPDX-License-Identifier: MIT */
/*
 * Stock KSM: its settings in /sys/kernel/mm/ksm, its counters, and the CPU time of its thread.
 * Reading needs no privilege, writing needs root.
 */
#ifndef SKSM_KSMD_H
#define SKSM_KSMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SKSM_KSMD_ROOT "/sys/kernel/mm/ksm"

/*
 * What a pulse changes, in the order in which it can be changed: pages_to_scan cannot be written
 * (EINVAL) while an advisor is on, and ksmd runs last. Putting back goes the other way round.
 */
enum sksm_ksmd_setting {
	SKSM_KSMD_ADVISOR_MODE,		/* since 6.8 */
	SKSM_KSMD_PAGES_TO_SCAN,
	SKSM_KSMD_SLEEP_MILLISECS,
	SKSM_KSMD_USE_ZERO_PAGES,
	SKSM_KSMD_SMART_SCAN,		/* since 6.7 */
	SKSM_KSMD_RUN,
	SKSM_KSMD_SETTINGS
};

#define SKSM_KSMD_VALUE_MAX 24

/* A value is empty where the kernel has no such setting. */
struct sksm_ksmd_settings {
	char value[SKSM_KSMD_SETTINGS][SKSM_KSMD_VALUE_MAX];
};

const char *sksm_ksmd_name(enum sksm_ksmd_setting setting);

/* True for what the kernel could have shown, and what may be written back: run is 0 or 1. */
bool sksm_ksmd_valid(enum sksm_ksmd_setting setting, const char *value);

/* All settings at once. 0; -ENOENT where the kernel has no KSM; or -errno. */
int sksm_ksmd_read(struct sksm_ksmd_settings *ret);

/* One setting. 0 or -errno. A value that is not valid is refused with -EINVAL. */
int sksm_ksmd_get(enum sksm_ksmd_setting setting, char ret[SKSM_KSMD_VALUE_MAX]);
int sksm_ksmd_set(enum sksm_ksmd_setting setting, const char *value);

/*
 * Change every setting that differs in @to from @from, in their order. Where one cannot be
 * written, those before it stay changed (sksm_ksmd_put_back). 0 or -errno.
 */
int sksm_ksmd_apply(const struct sksm_ksmd_settings *from, const struct sksm_ksmd_settings *to);

/*
 * Put back @original where what is set is still what we wrote, @ours; a value that somebody else
 * has written meanwhile is his and stays. 0, or the first -errno; goes on after a failure.
 */
int sksm_ksmd_put_back(const struct sksm_ksmd_settings *original,
		       const struct sksm_ksmd_settings *ours);

/* A number such as "full_scans" or "pages_sharing"; 0 where it cannot be read. */
uint64_t sksm_ksmd_counter(const char *name);

/* The pid of the kernel thread ksmd, 0 where there is none. Reads /proc once: keep the answer. */
pid_t sksm_ksmd_pid(void);

/* CPU time that ksmd has used since boot; 0 where it cannot be read. */
uint64_t sksm_ksmd_cpu_ns(pid_t ksmd);

#endif
