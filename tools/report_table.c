/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

/* Of the processes without a record. */
#define UNRECORDED_SHOWN 8

static bool is_number(const struct sksm_column *column)
{
	return column->kind == SKSM_COLUMN_NUMBER32 || column->kind >= SKSM_COLUMN_SECONDS;
}

static int column_flags(const struct sksm_column *column)
{
	if (is_number(column))
		return SCOLS_FL_RIGHT;
	/* Arguments are long: cut them at the width of the terminal. */
	return column->kind == SKSM_COLUMN_TEXT || column->kind == SKSM_COLUMN_REASON ?
	       SCOLS_FL_TRUNC : 0;
}

static int add_columns(struct libscols_table *table, const struct sksm_report_view *view,
		       const struct sksm_column *marked)
{
	size_t j;

	for (j = 0; j < view->column_count; j++) {
		struct libscols_column *column =
			scols_table_new_column(table, view->columns[j]->name, 0,
					       column_flags(view->columns[j]));

		if (!column || (view->columns[j] == marked &&
				scols_cell_set_color(scols_column_get_header(column), "reverse")))
			return -ENOMEM;
	}
	return 0;
}

static int add_lines(struct libscols_table *table, const struct sksm_census *census,
		     const struct sksm_report_view *view)
{
	char cell[SKSM_COLUMN_CELL_MAX];
	size_t i, j;

	for (i = 0; i < census->count; i++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (!line)
			return -ENOMEM;
		for (j = 0; j < view->column_count; j++) {
			const char *text = sksm_column_cell(view->columns[j], &census->list[i],
							    view->raw, cell);

			if (scols_line_set_data(line, j, text))
				return -ENOMEM;
		}
	}
	return 0;
}

static int make_table(struct libscols_table **ret, const struct sksm_census *census,
		      const struct sksm_report_view *view, const struct sksm_column *marked)
{
	struct libscols_table *table;
	int error;

	scols_init_debug(0);
	table = scols_new_table();
	if (!table)
		return -ENOMEM;
	error = add_columns(table, view, marked);
	if (!error)
		error = add_lines(table, census, view);
	if (error)
		scols_unref_table(table);
	else
		*ret = table;
	return error;
}

static int compare_entries(const void *a, const void *b, void *arg)
{
	const struct sksm_report_order *order = arg;
	int difference = sksm_column_compare(order->by, a, b);

	return order->descending ? -difference : difference;
}

void sksm_report_sort(struct sksm_census *census, const struct sksm_report_order *order)
{
	struct sksm_report_order copy = *order;

	if (order->by && census->count)
		qsort_r(census->list, census->count, sizeof(*census->list), compare_entries, &copy);
}

void sksm_report_sums(FILE *out, const struct sksm_census *census)
{
	const struct sksm_counters *total = &census->total;
	char tracked[SKSM_TEXT_SIZE_MAX], duplicate[SKSM_TEXT_SIZE_MAX];
	char merged[SKSM_TEXT_SIZE_MAX], saved[SKSM_TEXT_SIZE_MAX];

	fprintf(out, "%zu %s process%s: %s tracked, %s duplicate, %s merged, %s saved",
		census->total_count, census->total_of, census->total_count == 1 ? "" : "es",
		sksm_text_size(total->tracked, tracked),
		sksm_text_size(total->duplicate, duplicate),
		sksm_text_size(total->merged, merged), sksm_text_size(total->saved, saved));
	if (census->count > census->total_count)
		fprintf(out, " (not counting %zu that ended)",
			census->count - census->total_count);
}

void sksm_report_unrecorded(FILE *out, const struct sksm_census *census)
{
	const struct sksm_unrecorded *unrecorded = &census->unrecorded;
	size_t shown = unrecorded->count < UNRECORDED_SHOWN ? unrecorded->count : UNRECORDED_SHOWN;
	size_t i;

	if (!shown)
		return;
	fprintf(out, "%zu more with the library, which mapped nothing yet or %s left alone:",
		unrecorded->count, unrecorded->count == 1 ? "is" : "are");
	for (i = 0; i < shown; i++)
		fprintf(out, "%s %s (%d)", i ? "," : "", unrecorded->list[i].comm,
			(int)unrecorded->list[i].pid);
	fprintf(out, "%s\n", shown < unrecorded->count ? ", ..." : "");
}

int sksm_report_table(const struct sksm_census *census, const struct sksm_report_view *view)
{
	struct libscols_table *table;
	int error = make_table(&table, census, view, NULL);

	if (error)
		return error;
	error = scols_print_table(table);
	scols_unref_table(table);
	if (error)
		return error;
	printf("\n");
	sksm_report_sums(stdout, census);
	printf("\n");
	return 0;
}

int sksm_report_table_text(const struct sksm_census *census, const struct sksm_report_view *view,
			   unsigned int width, const struct sksm_column *marked, char **ret)
{
	struct libscols_table *table;
	int error = make_table(&table, census, view, marked);

	if (error)
		return error;
	if (width) {
		scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS);
		scols_table_set_termwidth(table, width);
		scols_table_enable_colors(table, 1);
	}
	error = scols_print_table_to_string(table, ret);
	scols_unref_table(table);
	return error;
}
