/* SPDX-License-Identifier: MIT */
/* The diagnosis by call site: who made the pages, and whose merges writes undo. */
#ifndef SKSM_DIAGNOSE_SITES_H
#define SKSM_DIAGNOSE_SITES_H

#include "sites.h"

/*
 * What a page that process number @process of the census has at @address is called by: its call
 * site, else what kind of memory it is; NULL: the @name of its mapping tells as much. Stays as long
 * as @report.
 */
const char *sksm_diagnose_site_of(struct sksm_site_report *report, size_t process, uint64_t address,
				  const char *name);

/* Print which sites undo merges, most of them first; nothing where none were undone. */
void sksm_diagnose_print_undone(struct sksm_site_report *report);

struct json_object;

/* The same as an object, the caller's. */
struct json_object *sksm_diagnose_undone_object(struct sksm_site_report *report);

#endif
