/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "locate.h"

#include "tracker/sys.h"

#define START_PACER "as root: sksm-pacer &    (or: echo 1 > " SKSM_KSMD_ROOT "/run)"
#define ALLOW_KSM "as root: echo 0 > " SKSM_KSMD_ROOT "/run && sksm-pacer &"

void sksm_host_look(struct sksm_host *ret, const struct sksm_options *options)
{
	memset(ret, 0, sizeof(*ret));
	uname(&ret->kernel);
	ret->options = *options;
	sksm_probe_run(&sksm_sys_kernel, NULL, &ret->probe);
	ret->engine = sksm_probe_engine(&ret->probe, options);
	ret->has_ksm = !sksm_ksmd_read(&ret->settings);
	if (!ret->has_ksm)
		return;
	ret->ksmd = sksm_ksmd_pid();
	ret->ksmd_cpu_ns = sksm_ksmd_cpu_ns(ret->ksmd);
	ret->pacer = sksm_pacer_home_holder();
	sksm_pacer_home_read_stats(&ret->stats);
	ret->left_over = !ret->pacer && !access(SKSM_PACER_HOME "/" SKSM_PACER_STATE, F_OK);
}

bool sksm_host_ksmd_stands(const struct sksm_host *host, struct sksm_verdict *ret)
{
	const char *run = host->settings.value[SKSM_KSMD_RUN];

	if (!host->has_ksm)
		return false;
	if (!strcmp(run, "2")) {
		ret->reason = "the administrator has switched merging off (run is 2)";
		ret->command = ALLOW_KSM;
		return true;
	}
	if (host->pacer || !strcmp(run, "1"))
		return false;
	ret->reason = "ksmd is stopped and nobody paces it";
	ret->command = START_PACER;
	return true;
}

/* Where the chosen engine is stock KSM: who will let ksmd run? */
static bool ksm_can_merge(const struct sksm_host *host, struct sksm_verdict *ret)
{
	char path[PATH_MAX];

	if (!host->has_ksm) {
		ret->reason = SKSM_KSMD_ROOT " cannot be read";
		ret->command = "mount -t sysfs sysfs /sys";
		return false;
	}
	if (!sksm_host_ksmd_stands(host, ret)) {
		ret->reason = host->pacer ? "a pacer runs ksmd when there is work" : "ksmd runs";
		return true;
	}
	if (!strcmp(host->settings.value[SKSM_KSMD_RUN], "2"))
		return false;
	if (geteuid() != 0 || access(SKSM_KSMD_ROOT "/run", W_OK))
		return false;
	if (sksm_locate_program("sksm-pacer", path)) {
		ret->reason = "ksmd is stopped, and there is no sksm-pacer beside this program";
		return false;
	}
	ret->reason = "ksmd is stopped; sksm-run starts a pacer for it";
	ret->command = NULL;
	return true;
}

bool sksm_host_can_merge(const struct sksm_host *host, struct sksm_verdict *ret)
{
	const char *obstacle = sksm_probe_obstacle(&host->probe,
						   sksm_probe_tracker(&host->probe,
								      &host->options));

	*ret = (struct sksm_verdict){ 0 };
	if (obstacle) {
		ret->reason = obstacle;
		return false;
	}
	if (host->options.mode != SKSM_MODE_MERGE) {
		ret->reason = "SKSM_MODE says not to";
		ret->command = "unset SKSM_MODE";
		return false;
	}
	switch (host->engine) {
	case SKSM_ENGINE_SKSM:
		ret->reason = "the kernel merges at our request (MADV_MERGE)";
		return true;
	case SKSM_ENGINE_KSM:
		return ksm_can_merge(host, ret);
	default:
		break;
	}
	if (host->options.engine == SKSM_ENGINE_AUTO) {
		ret->reason = "this kernel has neither MADV_MERGE nor samepage merging; "
			      "it can only be estimated what they would save";
		ret->command = "boot a kernel with CONFIG_KSM=y (Debian's has it)";
	} else {
		ret->reason = "SKSM_ENGINE chooses an engine that does not merge here";
		ret->command = "unset SKSM_ENGINE";
	}
	return false;
}
