/* SPDX-License-Identifier: MIT */
/*
 * The parts of sksm-report.
 */
#ifndef SKSM_REPORT_H
#define SKSM_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "census.h"
#include "column.h"
#include "host.h"

#define SKSM_REPORT_COLUMNS_MAX 64

struct sksm_report_view {
	const struct sksm_column *columns[SKSM_REPORT_COLUMNS_MAX];
	size_t column_count;
	bool raw;	/* bytes and nanoseconds instead of sizes for people */
};

/* Print the table and the line of sums to stdout. 0 or -errno. */
int sksm_report_table(const struct sksm_census *census, const struct sksm_report_view *view);

/* Print the JSON of DESIGN 4.4 to stdout. 0 or -errno. */
int sksm_report_json(const struct sksm_census *census, const struct sksm_host *host);

/* Say in words, on stdout, what stands in the way of more, and what would help. */
void sksm_report_advice(const struct sksm_census *census, const struct sksm_host *host);

/* --check: what this machine can do. The exit status: 0 where merging can happen. */
int sksm_report_check(const struct sksm_host *host);

#endif
