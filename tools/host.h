/* SPDX-License-Identifier: MIT */
/*
 * This machine, as far as merging goes: what the kernel can do, who runs ksmd, and what is in the
 * way.
 */
#ifndef SKSM_HOST_H
#define SKSM_HOST_H

#include <stdbool.h>
#include <sys/utsname.h>

#include "ksmd.h"
#include "pacer_home.h"

#include "tracker/options.h"
#include "tracker/probe.h"

struct sksm_host {
	struct utsname kernel;
	struct sksm_options options;	/* of the environment of this program */
	struct sksm_probe probe;
	enum sksm_engine_kind engine;	/* what a process started like this one would use */
	bool has_ksm;			/* the rest is valid */
	struct sksm_ksmd_settings settings;
	pid_t ksmd;
	uint64_t ksmd_cpu_ns;		/* since boot, whoever let it run */
	pid_t pacer;			/* 0: none runs */
	struct sksm_pacer_stats stats;
	bool left_over;			/* a killed pacer left settings to put back */
};

void sksm_host_look(struct sksm_host *ret, const struct sksm_options *options);

/* Why something is so, and the command that would change it; either may be NULL. */
struct sksm_verdict {
	const char *reason;
	const char *command;
};

/*
 * True where pages that are offered now will be merged: by a kernel with MADV_MERGE, by a running
 * ksmd, or by a pacer, be it one that sksm-run would start for this user. What and who in
 * ret->reason, in words.
 */
bool sksm_host_can_merge(const struct sksm_host *host, struct sksm_verdict *ret);

/* True where nobody runs ksmd and so nothing that waits is merged; why and what to do in @ret. */
bool sksm_host_ksmd_stands(const struct sksm_host *host, struct sksm_verdict *ret);

#endif
