/* SPDX-License-Identifier: MIT */
/*
 * What this kernel can do for us, found by doing it once on memory of our own. An ability that a
 * version number promises may still be missing (seccomp, sysctl, configuration), so versions are
 * never looked at.
 */
#ifndef SKSM_PROBE_H
#define SKSM_PROBE_H

#include <stdbool.h>

#include "options.h"

struct sksm_sys;

enum sksm_ability {
	SKSM_ABLE_PROC,			/* /proc/thread-self/pagemap opens */
	SKSM_ABLE_PAGEMAP_SCAN,		/* ioctl PAGEMAP_SCAN, since 6.7 */
	SKSM_ABLE_USERFAULTFD,		/* userfaultfd(UFFD_USER_MODE_ONLY) */
	SKSM_ABLE_WP_ASYNC,		/* UFFD_FEATURE_WP_ASYNC, since 6.7 */
	SKSM_ABLE_ARM,			/* PAGEMAP_SCAN protects, and sees a write afterwards */
	SKSM_ABLE_PROCMAP_QUERY,	/* ioctl PROCMAP_QUERY, since 6.11 */
	SKSM_ABLE_READ,			/* process_vm_readv on ourselves */
	SKSM_ABLE_EXCLUSIVE,		/* pagemap bit 56 tells shared from exclusive pages */
	SKSM_ABLE_KSM,			/* madvise(MADV_MERGEABLE) is accepted: CONFIG_KSM */
	SKSM_ABLE_MADV_MERGE,		/* madvise(MADV_MERGE), advice 26 */
	SKSM_ABILITIES
};

struct sksm_probe {
	int error[SKSM_ABILITIES];	/* 0: works; else the positive errno behind the "no" */
};

/*
 * Try everything on two pages of private anonymous memory at @pages; NULL: on a mapping made for
 * it, which only a program that is our own may do (arena.h says why). Leaves no descriptor and no
 * mapping behind; what was in the pages is lost. Async-signal-safe, about 100 us.
 */
void sksm_probe_run(const struct sksm_sys *sys, void *pages, struct sksm_probe *ret);

/* "pagemap_scan", "madv_merge"...: stable, used as JSON keys. */
const char *sksm_ability_name(enum sksm_ability ability);

/* One sentence for people on what the ability is for and since when kernels have it. */
const char *sksm_ability_text(enum sksm_ability ability);

/*
 * The engine that would be used: @options' own choice where it works, the best one that works
 * for "auto". A chosen engine that is not there falls back to SKSM_ENGINE_NONE.
 */
enum sksm_engine_kind sksm_probe_engine(const struct sksm_probe *probe,
					const struct sksm_options *options);

/*
 * The tracker that would be used, WP or DIGEST: @options' own choice; for "auto" the first of the
 * two that works, or DIGEST where neither does.
 */
enum sksm_tracker_kind sksm_probe_tracker(const struct sksm_probe *probe,
					  const struct sksm_options *options);

/*
 * NULL where pages can be tracked that way (WP or DIGEST) with what was found, else the reason in
 * words, naming the missing ability (static string).
 */
const char *sksm_probe_obstacle(const struct sksm_probe *probe, enum sksm_tracker_kind kind);

#endif
