/* SPDX-License-Identifier: MIT */
/*
 * sksm-report --check: what this machine and this user can do, why not more, and for each "no" the
 * command that changes it.
 */
#ifndef SKSM_DOCTOR_H
#define SKSM_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"

#define SKSM_SYMPTOMS_MAX 32
#define SKSM_SYMPTOM_TEXT_MAX 512

struct sksm_symptom {
	const char *name;	/* "pagemap_scan", "directory"...: stable, used in JSON */
	const char *text;	/* what it is for, in words */
	bool works;
	bool needed;		/* merging cannot happen without it */
	char reason[SKSM_SYMPTOM_TEXT_MAX];	/* why it does not work; empty where it does */
	const char *instead;	/* what is done without it, where something is; or NULL */
	char command[SKSM_SYMPTOM_TEXT_MAX];	/* what changes it; empty: nothing can */
};

struct sksm_examination {
	struct sksm_symptom list[SKSM_SYMPTOMS_MAX];
	size_t count;
	bool can_merge;		/* sksm_host_can_merge, and nothing needed is missing */
	struct sksm_verdict verdict;	/* why; points into @list or to static strings */
};

/* Look at everything: the abilities of the probe first, then what lies around them. */
void sksm_doctor_examine(struct sksm_examination *ret, const struct sksm_host *host);

/* Print it for people. The exit status: 0 where merging can happen. */
int sksm_doctor_print(const struct sksm_examination *examination, const struct sksm_host *host);

#endif
