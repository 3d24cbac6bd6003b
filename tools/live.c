/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"
#include "tracker/sys.h"

#define DEFAULT_MS 2000u

struct live {
	const struct sksm_options *options;
	struct sksm_census_query query;
	struct sksm_report_view view;
	struct sksm_report_order order;
	unsigned int interval_ms;
	bool begun;
};

static void look(struct live *live, struct sksm_census *ret)
{
	int error = sksm_census_look(ret, live->options, &live->query);

	if (error) {
		sksm_screen_leave();
		errx(EXIT_FAILURE, "%s", strerror(-error));
	}
	/* It was said why nothing can be seen; later others may come. */
	if (!live->begun && ret->refused && !ret->count)
		exit(EXIT_FAILURE);
	live->begun = true;
	sksm_report_sort(ret, &live->order);
}

/* ---- on a terminal ---- */

/* What goes first where the window is too narrow for all; then what is furthest to the right. */
static size_t least_column(const struct live *live, const struct sksm_report_view *view)
{
	static const char *const least[] = { "STATE", "ENGINE", "TRACKED", "OFFERED", "INVARIANT",
					     "CPU", "DUPLICATE", "TREND", "RESIDENT" };
	size_t i, j;

	for (i = 0; i < sizeof(least) / sizeof(least[0]); i++)
		for (j = 0; j < view->column_count; j++)
			if (view->columns[j] != live->order.by &&
			    !strcmp(view->columns[j]->name, least[i]))
				return j;
	j = view->column_count - 1;
	return j && view->columns[j] == live->order.by ? j - 1 : j;
}

/* The table, without as many columns as do not fit. NULL: no memory. */
static char *compose_table(const struct live *live, const struct sksm_census *census)
{
	struct sksm_report_view view = live->view;
	unsigned int rows, width;
	char *table;

	sksm_screen_size(&rows, &width);
	while (!sksm_report_table_text(census, &view, width, live->order.by, &table)) {
		size_t least;

		if (view.column_count == 1 || sksm_screen_width(table) <= width)
			return table;
		free(table);
		least = least_column(live, &view);
		view.column_count--;
		memmove(&view.columns[least], &view.columns[least + 1],
			(view.column_count - least) * sizeof(view.columns[0]));
	}
	return NULL;
}

static void print_time(FILE *out, const char *format)
{
	time_t now = time(NULL);
	char text[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(text, sizeof(text), format, &tm);
	fputs(text, out);
}

/* Where the table has more lines than the window, say how many. */
static void print_table(FILE *out, const char *table, unsigned int rows)
{
	size_t lines = 1;
	const char *at;

	for (at = table; *at; at++)
		lines += *at == '\n';
	for (at = table; lines > rows && rows > 1 && *at; rows--) {
		size_t length = strcspn(at, "\n");

		fprintf(out, "%.*s\n", (int)length, at);
		at += length + (at[length] == '\n');
		lines--;
	}
	if (lines > rows)
		fprintf(out, "and %zu more", lines);
	else
		fputs(at, out);
}

static char *compose(const struct live *live, const struct sksm_census *census)
{
	char *text = NULL, *table = compose_table(live, census);
	unsigned int rows, columns;
	size_t size;
	FILE *out = table ? open_memstream(&text, &size) : NULL;

	if (out) {
		sksm_screen_size(&rows, &columns);
		print_time(out, "%H:%M:%S  ");
		sksm_report_sums(out, census);
		fprintf(out, "\nby %s %s; q quits, < > another column, r turns it, space looks "
			"again\n\n", live->order.by->name, live->order.descending ? "down" : "up");
		print_table(out, table, rows > 3 ? rows - 3 : 1);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	free(table);
	return text;
}

static bool draw(const struct live *live, const struct sksm_census *census)
{
	char *text = compose(live, census);
	bool drawn;

	if (!text)
		errx(EXIT_FAILURE, "%s", strerror(ENOMEM));
	drawn = sksm_screen_draw(text);
	free(text);
	return drawn;
}

/* Numbers are of interest from the greatest down. */
static void sort_by(struct live *live, const struct sksm_column *column)
{
	live->order.by = column;
	live->order.descending = sksm_column_is_summed(column) ||
				 column->kind == SKSM_COLUMN_SECONDS;
}

static void move_sort(struct live *live, int step)
{
	size_t count = live->view.column_count, at = 0;

	while (at < count && live->view.columns[at] != live->order.by)
		at++;
	if (at == count)
		at = step > 0 ? count - 1 : 0;
	sort_by(live, live->view.columns[(at + count + (size_t)step) % count]);
}

static uint64_t now_ms(void)
{
	return sksm_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

/* Answer keys until it is time for another look. False: it is the end. */
static bool answer(struct live *live, struct sksm_census *census)
{
	uint64_t until_ms = now_ms() + live->interval_ms, ms;

	while ((ms = now_ms()) < until_ms) {
		switch (sksm_screen_key((unsigned int)(until_ms - ms))) {
		case 'q':
		case 'Q':
		case SKSM_KEY_END:
			return false;
		case ' ':
		case '\n':
		case SKSM_KEY_NONE:
			return true;
		case '<':
		case SKSM_KEY_LEFT:
			move_sort(live, -1);
			break;
		case '>':
		case SKSM_KEY_RIGHT:
			move_sort(live, 1);
			break;
		case 'r':
			live->order.descending = !live->order.descending;
			break;
		case SKSM_KEY_RESIZE:
			break;
		default:
			continue;
		}
		sksm_report_sort(census, &live->order);
		if (!draw(live, census))
			return false;
	}
	return true;
}

static int run_on_screen(struct live *live)
{
	struct sksm_census census;
	bool more = true;
	int error;

	/* What it complains of is seen before the page is taken. */
	look(live, &census);
	error = sksm_screen_enter();
	if (error)
		errx(EXIT_FAILURE, "the terminal: %s", strerror(-error));
	while (more) {
		more = draw(live, &census) && answer(live, &census);
		sksm_census_fini(&census);
		if (more)
			look(live, &census);
	}
	sksm_screen_leave();
	return EXIT_SUCCESS;
}

/* ---- elsewhere ---- */

/* Nobody has to wait for our next line to learn that we have gone. */
static void wait_or_end(unsigned int ms)
{
	struct pollfd reader = { .fd = STDOUT_FILENO };
	uint64_t until_ms = now_ms() + ms, now;

	while ((now = now_ms()) < until_ms)
		if (poll(&reader, 1, (int)(until_ms - now)) > 0) {
			if (reader.revents & POLLERR)
				raise(SIGPIPE);
			/* Cannot be waited for. */
			reader.fd = -1;
		}
}

static int run_in_pipe(struct live *live)
{
	struct sksm_census census;

	for (bool first = true;; first = false) {
		char *table;
		int error;

		look(live, &census);
		error = sksm_report_table_text(&census, &live->view, 0, NULL, &table);
		if (error)
			errx(EXIT_FAILURE, "%s", strerror(-error));
		fputs(first ? "" : "\n", stdout);
		print_time(stdout, "%Y-%m-%d %H:%M:%S  ");
		sksm_report_sums(stdout, &census);
		printf("\n%s%s", table, *table ? "\n" : "");
		free(table);
		sksm_census_fini(&census);
		if (fflush(stdout))
			err(EXIT_FAILURE, "standard output");
		wait_or_end(live->interval_ms);
	}
}

int sksm_live(const struct sksm_report_arguments *arguments, const struct sksm_options *options)
{
	struct live live = {
		.options = options,
		.query = arguments->query,
		.view = arguments->view,
		.order = arguments->order,
		.interval_ms = arguments->interval_ms ? arguments->interval_ms : DEFAULT_MS,
	};

	if (!live.order.by)
		sort_by(&live, sksm_column_find("SAVED"));
	return sksm_screen_usable() ? run_on_screen(&live) : run_in_pipe(&live);
}
