/* SPDX-License-Identifier: MIT */
/*
 * What sksm-report is asked for.
 */
#ifndef SKSM_REPORT_ARGUMENTS_H
#define SKSM_REPORT_ARGUMENTS_H

#include "estimate.h"
#include "report.h"

struct sksm_report_arguments {
	bool json;
	bool metrics;
	bool by_site;		/* in any form */
	bool diagnose;
	bool check;
	bool estimate;
	unsigned int interval_ms;	/* 0: not given */
	pid_t pids[SKSM_ESTIMATE_PROCESSES_MAX];	/* query.pids */
	bool prune;
	bool domain_given;
	bool live;		/* the table, again and again */
	char *sort_by;
	const char *metrics_path;	/* NULL: standard output */
	const char *html_path;		/* NULL: no page is asked for */
	struct sksm_report_order order;
	struct sksm_report_view view;
	struct sksm_sites_view sites;
	struct sksm_census_query query;
};

/* Parse; wrong usage, --help and --version end the program. */
void sksm_report_parse(struct sksm_report_arguments *ret, int argc, char **argv);

#endif
