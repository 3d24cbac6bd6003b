/* SPDX-License-Identifier: MIT */
/* sksm-report --diagnose: why memory was not merged, in words. */
#ifndef SKSM_DIAGNOSE_H
#define SKSM_DIAGNOSE_H

#include <stdbool.h>

#include "census.h"
#include "host.h"
#include "sites.h"

#define SKSM_DIAGNOSE_FINDINGS_MAX 16

/* One part of a process's memory, and why it is as it is. */
struct sksm_finding {
	const char *cause;	/* "merged", "no_twin", "hot"...: stable, used in JSON */
	uint64_t bytes;
	const char *text;
	const char *remedy;	/* or NULL */
};

/* The findings of one process, largest first; *ret_count of them. */
void sksm_diagnose_process(const struct sksm_entry *entry, const struct sksm_host *host,
			   struct sksm_finding ret[SKSM_DIAGNOSE_FINDINGS_MAX], size_t *ret_count);

struct json_object;

/*
 * The diagnosis as JSON ("sksm-diagnosis/1") into *ret, the caller's; @sites are those of @census.
 * 0 or -errno.
 */
int sksm_diagnosis_object(const struct sksm_census *census, const struct sksm_host *host,
			  struct sksm_site_report *sites, struct json_object **ret);

/*
 * Print the findings of all processes in @census, which call sites undo merges, and of the living
 * ones that may be read what their pages hold and near misses (near.h). @census has read its call
 * sites (query.sites). 0 or -errno.
 */
int sksm_diagnose(const struct sksm_census *census, const struct sksm_host *host, bool json);

#endif
