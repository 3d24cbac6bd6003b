/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>

#include "text.h"

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

static int fill_table(struct libscols_table *table, const struct sksm_census *census,
		      const struct sksm_report_view *view)
{
	char cell[SKSM_COLUMN_CELL_MAX];
	size_t i, j;

	for (j = 0; j < view->column_count; j++)
		if (!scols_table_new_column(table, view->columns[j]->name, 0,
					    column_flags(view->columns[j])))
			return -ENOMEM;
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

static void print_sums(const struct sksm_census *census)
{
	const struct sksm_counters *total = &census->total;
	char tracked[SKSM_TEXT_SIZE_MAX], duplicate[SKSM_TEXT_SIZE_MAX];
	char merged[SKSM_TEXT_SIZE_MAX], saved[SKSM_TEXT_SIZE_MAX];

	printf("\n%zu %s process%s: %s tracked, %s duplicate, %s merged, %s saved",
	       census->total_count, census->total_of, census->total_count == 1 ? "" : "es",
	       sksm_text_size(total->tracked, tracked),
	       sksm_text_size(total->duplicate, duplicate), sksm_text_size(total->merged, merged),
	       sksm_text_size(total->saved, saved));
	if (census->count > census->total_count)
		printf(" (not counting %zu that ended)", census->count - census->total_count);
	printf("\n");
}

int sksm_report_table(const struct sksm_census *census, const struct sksm_report_view *view)
{
	struct libscols_table *table;
	int error;

	scols_init_debug(0);
	table = scols_new_table();
	if (!table)
		return -ENOMEM;
	error = fill_table(table, census, view);
	if (!error)
		error = scols_print_table(table);
	scols_unref_table(table);
	if (!error)
		print_sums(census);
	return error;
}
