/* SPDX-License-Identifier: MIT */
/* Call sites as a table, and as folded stacks. */
#include "sites.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const struct column {
	const char *name;
	enum sksm_tally tally;
} columns[] = {
	{ "TRACKED", SKSM_TALLY_TRACKED },
	{ "RESIDENT", SKSM_TALLY_RESIDENT },
	{ "DUPLICATE", SKSM_TALLY_DUPLICATE },
	{ "MERGED", SKSM_TALLY_MERGED },
	{ "SAVED", SKSM_TALLY_SAVED },
	{ "UNDONE", SKSM_TALLY_BREAKS },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* What is shown in a line: a site over all processes, or a mapping. */
struct line {
	const uint64_t *tally;
	const struct sksm_place_row *mapping;	/* or NULL */
	size_t site;
	size_t order;		/* what is equal stays as it was */
};

static const struct sksm_sites_view *sort_view;

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_lines(const void *a, const void *b)
{
	static const enum sksm_tally usual[] = {
		SKSM_TALLY_SAVED, SKSM_TALLY_MERGED, SKSM_TALLY_DUPLICATE, SKSM_TALLY_TRACKED,
	};
	const struct line *left = a, *right = b;
	int order = 0;
	size_t i;

	if (sort_view->sort >= 0)
		order = compare_numbers(left->tally[sort_view->sort],
					right->tally[sort_view->sort]);
	for (i = 0; i < sizeof(usual) / sizeof(usual[0]) && !order && sort_view->sort < 0; i++)
		order = compare_numbers(left->tally[usual[i]], right->tally[usual[i]]);
	if (order)
		return sort_view->ascending ? order : -order;
	return compare_numbers(left->order, right->order);
}

static struct line *make_lines(const struct sksm_site_report *report,
			       const struct sksm_sites_view *view, size_t *ret_count)
{
	size_t room = view->by_mapping ? report->by_mapping.count : report->site_count, i;
	struct line *list = calloc(room + 1, sizeof(*list));
	size_t count = 0;

	for (i = 0; list && i < room; i++) {
		struct line *line = &list[count];

		line->order = i;
		if (view->by_mapping) {
			line->mapping = &report->by_mapping.list[i];
			line->tally = line->mapping->tally;
			line->site = line->mapping->site;
			count++;
		} else if (report->sites[i].processes) {
			line->tally = report->sites[i].tally;
			line->site = i;
			count++;
		}
	}
	sort_view = view;
	if (list && count && (!view->by_mapping || view->sort >= 0))
		qsort(list, count, sizeof(*list), compare_lines);
	*ret_count = count;
	return list;
}

static int fill_mapping(struct libscols_line *to, const struct sksm_site_report *report,
			const struct line *line)
{
	const struct sksm_place_row *row = line->mapping;
	char text[64], name[300];

	snprintf(text, sizeof(text), "%" PRIu32, report->census->list[row->process].record.pid);
	if (scols_line_set_data(to, 0, text))
		return -ENOMEM;
	snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64, row->start, row->end);
	if (scols_line_set_data(to, 1, text))
		return -ENOMEM;
	sksm_text_clean(name, sizeof(name), row->name ? row->name : "");
	return scols_line_set_data(to, 2, name) ? -ENOMEM : 0;
}

static int fill_line(struct libscols_table *table, struct sksm_site_report *report,
		     const struct sksm_sites_view *view, const struct line *line)
{
	struct libscols_line *to = scols_table_new_line(table, NULL);
	size_t at = view->by_mapping ? 3 : 0, i;
	char text[32], size[SKSM_TEXT_SIZE_MAX];

	if (!to || (line->mapping && fill_mapping(to, report, line)))
		return -ENOMEM;
	for (i = 0; i < COLUMNS; i++) {
		uint64_t value = line->tally[columns[i].tally];

		snprintf(text, sizeof(text), "%" PRIu64, value);
		if (scols_line_set_data(to, at + i, view->raw || columns[i].tally >=
					SKSM_TALLY_WRITES ? text : sksm_text_size(value, size)))
			return -ENOMEM;
	}
	return scols_line_set_data(to, at + COLUMNS, sksm_sites_label(report, line->site)) ?
	       -ENOMEM : 0;
}

static int fill_table(struct libscols_table *table, struct sksm_site_report *report,
		      const struct sksm_sites_view *view)
{
	size_t count, i;
	struct line *lines;
	int error = 0;

	if (view->by_mapping && (!scols_table_new_column(table, "PID", 0, SCOLS_FL_RIGHT) ||
				 !scols_table_new_column(table, "RANGE", 0, 0) ||
				 !scols_table_new_column(table, "NAME", 0, SCOLS_FL_TRUNC)))
		return -ENOMEM;
	for (i = 0; i < COLUMNS; i++)
		if (!scols_table_new_column(table, columns[i].name, 0, SCOLS_FL_RIGHT))
			return -ENOMEM;
	if (!scols_table_new_column(table, "SITE", 0, SCOLS_FL_TRUNC))
		return -ENOMEM;
	lines = make_lines(report, view, &count);
	if (!lines)
		return -ENOMEM;
	for (i = 0; i < count && !error; i++)
		error = fill_line(table, report, view, &lines[i]);
	free(lines);
	return error;
}

/* A frame of a folded stack: no separators in it. */
static void print_folded_name(const char *name)
{
	for (; *name; name++)
		putchar(*name == ';' ? ':' : *name == '\n' ? ' ' : *name);
}

static void print_folded_stack(struct sksm_site_report *report, size_t number)
{
	const struct sksm_symbols *symbols = sksm_sites_symbols(report, number);
	const struct sksm_place_site *site = &report->sites[number];
	char place[300];
	size_t i, j;

	if (site->owner != SKSM_OWNER_SITE || !symbols) {
		printf(";[%s]", sksm_sites_owner_name(site->owner));
		return;
	}
	for (i = site->frame_count; i-- > 0;) {
		const struct sksm_place_frame *frame = &site->frames[i];

		for (j = symbols[i].count; j-- > 0 && symbols[i].list[j].function;) {
			putchar(';');
			sksm_sites_print_name(stdout, symbols[i].list[j].function);
		}
		if (symbols[i].count && symbols[i].list[0].function)
			continue;
		snprintf(place, sizeof(place), "?");
		if (frame->module < report->module_count)
			sksm_symbol_place(&report->modules[frame->module], frame->address, place,
					  sizeof(place));
		putchar(';');
		print_folded_name(place);
	}
}

static void print_folded(struct sksm_site_report *report, const struct sksm_sites_view *view)
{
	enum sksm_tally tally = view->sort >= 0 ? (enum sksm_tally)view->sort :
			       SKSM_TALLY_TRACKED;
	size_t i;

	for (i = 0; i < report->by_site.count; i++) {
		const struct sksm_place_row *row = &report->by_site.list[i];

		if (!row->tally[tally])
			continue;
		print_folded_name(report->census->list[row->process].comm);
		print_folded_stack(report, row->site);
		printf(" %" PRIu64 "\n", row->tally[tally]);
	}
}

/* Say what the table cannot show. */
static void print_gaps(const struct sksm_site_report *report)
{
	if (report->unknown)
		printf("\n%zu process%s without call sites: not tracked for long enough, or with "
		       "SKSM_BACKTRACE=0\n", report->unknown, report->unknown == 1 ? "" : "es");
	if (report->lost)
		printf("\n%" PRIu64 " time%s there was no room to note who mapped memory: that is "
		       "[unknown]\n", report->lost, report->lost == 1 ? "" : "s");
}

int sksm_sites_table(struct sksm_site_report *report, const struct sksm_sites_view *view)
{
	struct libscols_table *table;
	int error;

	if (view->folded) {
		print_folded(report, view);
		return 0;
	}
	scols_init_debug(0);
	table = scols_new_table();
	if (!table)
		return -ENOMEM;
	error = fill_table(table, report, view);
	if (!error)
		error = scols_print_table(table);
	scols_unref_table(table);
	if (!error)
		print_gaps(report);
	return error;
}
