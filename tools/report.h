/* SPDX-License-Identifier: MIT */
/*
 * The parts of sksm-report.
 */
#ifndef SKSM_REPORT_H
#define SKSM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "census.h"
#include "column.h"
#include "host.h"
#include "sites.h"

#define SKSM_REPORT_COLUMNS_MAX 64

struct sksm_report_view {
	const struct sksm_column *columns[SKSM_REPORT_COLUMNS_MAX];
	size_t column_count;
	bool raw;	/* bytes and nanoseconds instead of sizes for people */
};

struct sksm_report_order {
	const struct sksm_column *by;	/* NULL: as they are */
	bool descending;
};

void sksm_report_sort(struct sksm_census *census, const struct sksm_report_order *order);

/* Print the table and the line of sums to stdout. 0 or -errno. */
int sksm_report_table(const struct sksm_census *census, const struct sksm_report_view *view);

/*
 * The table as text, the caller's; for a terminal of @width columns (0: none), with the header of
 * @marked shown in reverse (or NULL). 0 or -errno.
 */
int sksm_report_table_text(const struct sksm_census *census, const struct sksm_report_view *view,
			   unsigned int width, const struct sksm_column *marked, char **ret);

/* "4 running processes: ...", with no newline. */
void sksm_report_sums(FILE *out, const struct sksm_census *census);

/* A line about the processes that have the library and no record, where there are any. */
void sksm_report_unrecorded(FILE *out, const struct sksm_census *census);

struct json_object;

/* The JSON of DESIGN 4.4 as an object, the caller's; with call sites unless @sites is NULL. */
struct json_object *sksm_report_object(const struct sksm_census *census,
				       const struct sksm_host *host,
				       struct sksm_site_report *sites, bool mappings);

/*
 * Print the JSON of DESIGN 4.4 to stdout; with call sites, and mappings, unless @sites is NULL.
 * 0 or -errno.
 */
int sksm_report_json(const struct sksm_census *census, const struct sksm_host *host,
		     struct sksm_site_report *sites, bool mappings);

/*
 * Print what runs in @census as OpenMetrics to stdout, or replace the file @path by it (mode 0644,
 * at once). 0 or -errno.
 */
int sksm_report_metrics(const struct sksm_census *census, const struct sksm_host *host,
			const char *path);

/* Say in words, on stdout, what stands in the way of more, and what would help. */
void sksm_report_advice(const struct sksm_census *census, const struct sksm_host *host);

#endif
