/* SPDX-License-Identifier: MIT */
#include "report_arguments.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define EXIT_USAGE 2

enum { OPTION_RUN_ID = 256, OPTION_BY_SITE, OPTION_BY_MAPPING, OPTION_FOLDED, OPTION_CHECK,
       OPTION_PRUNE, OPTION_COLUMNS, OPTION_SORT, OPTION_RAW, OPTION_PID, OPTION_DIAGNOSE,
       OPTION_METRICS, OPTION_HTML, OPTION_ESTIMATE, OPTION_INTERVAL };

static void print_help(void)
{
	size_t i;

	printf("Usage: sksm-report [OPTION]...\n"
	       "Show what SKSM has tracked, found and merged in each process of a domain.\n\n"
	       "      --json           print JSON (sizes in bytes)\n"
	       "      --openmetrics[=FILE]\n"
	       "                       print what runs, in all domains unless one is named, for\n"
	       "                       Prometheus; or replace FILE by it at once\n"
	       "      --live [SECONDS]\n"
	       "                       the table of what runs, again every 2 s, or so many, until\n"
	       "                       'q' is pressed; with --json and other views: only what\n"
	       "                       runs, once\n"
	       "      --finished       only processes that ended\n"
	       "      --domain NAME    of this domain (default: $SKSM_DOMAIN, or \"default\")\n"
	       "      --pid PID        only this process, of whichever domain; may be repeated\n"
	       "      --columns LIST   the columns of the table, separated by commas\n"
	       "      --sort COLUMN    sort by this column; COLUMN:desc from the greatest down\n"
	       "      --bytes          sizes in bytes, times in nanoseconds\n"
	       "      --by-site        savings by the place in the program that made the mapping;\n"
	       "                       --sort: tracked, resident, duplicate, merged, saved, "
	       "undone\n"
	       "      --by-mapping     the same by address range and name\n"
	       "      --folded         the same as folded stacks, for flame graphs\n"
	       "      --html FILE      all of this as one page; - for standard output\n"
	       "      --diagnose       why memory was not merged: each part of it in words, what\n"
	       "                       the pages hold, near misses, and whose merges are undone\n"
	       "      --estimate       what merging would free of the processes --pid PID...,\n"
	       "                       which need not run under SKSM: nothing is changed\n"
	       "      --interval SECONDS\n"
	       "                       between two looks of --estimate (default: $SKSM_AGE_MS)\n"
	       "      --check          what this machine can do and what would help; status 0\n"
	       "                       when merging can happen\n"
	       "      --prune          remove the records of processes that ended\n"
	       "  -h, --help           show this help\n"
	       "  -V, --version        show the version\n\n"
	       "Root sees every user's processes and the kernel's own count of merged pages.\n\n"
	       "Columns (* usual):\n");
	for (i = 0; i < sksm_column_count; i++)
		printf("  %c %-10s %s\n", sksm_columns[i].usual ? '*' : ' ', sksm_columns[i].name,
		       sksm_columns[i].help);
}

static const struct sksm_column *find_column(const char *name)
{
	const struct sksm_column *column = sksm_column_find(name);

	if (!column)
		errx(EXIT_USAGE, "there is no column '%s' (see --help)", name);
	return column;
}

static void parse_columns(struct sksm_report_view *view, char *list)
{
	char *name, *rest = list;

	view->column_count = 0;
	while ((name = strsep(&rest, ","))) {
		if (view->column_count == SKSM_REPORT_COLUMNS_MAX)
			errx(EXIT_USAGE, "--columns: too many");
		view->columns[view->column_count++] = find_column(name);
	}
}

static void parse_sort(struct sksm_report_arguments *arguments)
{
	char *text = arguments->sort_by, *order = text ? strchr(text, ':') : NULL;

	arguments->sites.sort = -1;
	if (!text)
		return;
	/* Sites are of interest from the greatest down. */
	arguments->order.descending = arguments->by_site;

	if (order) {
		*order++ = '\0';
		arguments->order.descending = !strcasecmp(order, "desc");
		if (!arguments->order.descending && strcasecmp(order, "asc"))
			errx(EXIT_USAGE, "--sort: '%s' is neither 'asc' nor 'desc'", order);
	}
	if (!arguments->by_site) {
		arguments->order.by = find_column(text);
		return;
	}
	arguments->sites.ascending = !arguments->order.descending;
	arguments->sites.sort = sksm_sites_tally_find(text);
	if (arguments->sites.sort < 0)
		errx(EXIT_USAGE, "there is no column '%s' of call sites (see --help)", text);
}

static uint64_t parse_number(const char *option, const char *text, uint64_t max)
{
	uint64_t value;

	if (!sksm_text_number(text, &value) || !value || value > max)
		errx(EXIT_USAGE, "%s: '%s' is not a number that it can be", option, text);
	return value;
}

/* Seconds with a fraction, to milliseconds. */
static unsigned int parse_seconds(const char *option, const char *text)
{
	double seconds;
	char *end;

	errno = 0;
	seconds = strtod(text, &end);
	if (end == text || *end || errno || !(seconds >= 0.01 && seconds <= 86400))
		errx(EXIT_USAGE, "%s: '%s' is not a number of seconds from 0.01 to 86400", option,
		     text);
	return (unsigned int)(seconds * 1000 + 0.5);
}

static void add_pid(struct sksm_report_arguments *arguments, const char *text)
{
	if (arguments->query.pid_count == SKSM_ESTIMATE_PROCESSES_MAX)
		errx(EXIT_USAGE, "--pid: too many");
	arguments->pids[arguments->query.pid_count++] =
		(pid_t)parse_number("--pid", text, INT32_MAX);
	arguments->query.pids = arguments->pids;
}

static void parse_scope(struct sksm_report_arguments *arguments, enum sksm_census_scope scope)
{
	if (arguments->query.scope != SKSM_CENSUS_ALL && arguments->query.scope != scope)
		errx(EXIT_USAGE, "--live (or --openmetrics) and --finished exclude one another");
	arguments->query.scope = scope;
}

static void parse_option(struct sksm_report_arguments *ret, int option)
{
	switch (option) {
	case 'j':
		ret->json = true;
		break;
	case OPTION_METRICS:
		ret->metrics = true;
		ret->metrics_path = optarg;
		parse_scope(ret, SKSM_CENSUS_LIVE);
		break;
	case 'l':
		ret->live = true;
		if (optarg)
			ret->interval_ms = parse_seconds("--live", optarg);
		parse_scope(ret, SKSM_CENSUS_LIVE);
		break;
	case 'f':
		parse_scope(ret, SKSM_CENSUS_FINISHED);
		break;
	case 'd':
		if (!sksm_options_domain_valid(optarg))
			errx(EXIT_USAGE, "--domain: '%s' cannot be a domain: 1 to 63 letters, "
			     "digits, '.', '_' and '-', not starting with a dot", optarg);
		ret->query.domain = optarg;
		ret->domain_given = true;
		break;
	case OPTION_PID:
		add_pid(ret, optarg);
		break;
	case OPTION_RUN_ID:
		ret->query.run_id = parse_number("--run-id", optarg, UINT64_MAX);
		break;
	case OPTION_COLUMNS:
		parse_columns(&ret->view, optarg);
		break;
	case OPTION_SORT:
		ret->sort_by = optarg;
		break;
	case OPTION_RAW:
		ret->view.raw = true;
		ret->sites.raw = true;
		break;
	case OPTION_BY_SITE:
	case OPTION_BY_MAPPING:
	case OPTION_FOLDED:
		ret->by_site = true;
		ret->query.sites = true;
		ret->sites.by_mapping |= option == OPTION_BY_MAPPING;
		ret->sites.folded |= option == OPTION_FOLDED;
		break;
	case OPTION_HTML:
		ret->html_path = optarg;
		ret->query.sites = true;
		break;
	case OPTION_DIAGNOSE:
		ret->diagnose = true;
		ret->query.sites = true;
		break;
	case OPTION_ESTIMATE:
		ret->estimate = true;
		break;
	case OPTION_INTERVAL:
		ret->interval_ms = parse_seconds("--interval", optarg);
		break;
	case OPTION_CHECK:
		ret->check = true;
		break;
	case OPTION_PRUNE:
		ret->prune = true;
		ret->query.clean = true;
		break;
	case 'h':
		print_help();
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	case 'V':
		printf("sksm-report " SKSM_VERSION "\n");
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	default:
		fprintf(stderr, "Try 'sksm-report --help'.\n");
		exit(EXIT_USAGE);
	}
}

void sksm_report_parse(struct sksm_report_arguments *ret, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "openmetrics", optional_argument, NULL, OPTION_METRICS },
		{ "live", optional_argument, NULL, 'l' },
		{ "finished", no_argument, NULL, 'f' },
		{ "domain", required_argument, NULL, 'd' },
		{ "pid", required_argument, NULL, OPTION_PID },
		{ "run-id", required_argument, NULL, OPTION_RUN_ID },
		{ "columns", required_argument, NULL, OPTION_COLUMNS },
		{ "sort", required_argument, NULL, OPTION_SORT },
		{ "bytes", no_argument, NULL, OPTION_RAW },
		{ "by-site", no_argument, NULL, OPTION_BY_SITE },
		{ "diagnose", no_argument, NULL, OPTION_DIAGNOSE },
		{ "html", required_argument, NULL, OPTION_HTML },
		{ "by-mapping", no_argument, NULL, OPTION_BY_MAPPING },
		{ "folded", no_argument, NULL, OPTION_FOLDED },
		{ "estimate", no_argument, NULL, OPTION_ESTIMATE },
		{ "interval", required_argument, NULL, OPTION_INTERVAL },
		{ "check", no_argument, NULL, OPTION_CHECK },
		{ "prune", no_argument, NULL, OPTION_PRUNE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	uint64_t number;
	int option;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	while ((option = getopt_long(argc, argv, "hV", longs, NULL)) != -1)
		parse_option(ret, option);
	/* --estimate --pid 1 2 3, as from pidof. */
	while (ret->estimate && optind < argc)
		add_pid(ret, argv[optind++]);
	if (ret->live && !ret->estimate && optind + 1 == argc)
		ret->interval_ms = parse_seconds("--live", argv[optind++]);
	if (optind < argc)
		errx(EXIT_USAGE, "unexpected argument '%s'%s", argv[optind],
		     sksm_text_number(argv[optind], &number) ? ": --pid goes before it" : "");
	if (ret->estimate && !ret->query.pid_count)
		errx(EXIT_USAGE, "--estimate: which processes? --pid PID...");
	parse_sort(ret);
	/* For other views it is the same as ever: what runs. */
	ret->live = ret->live && !ret->json && !ret->metrics && !ret->by_site && !ret->html_path &&
		    !ret->diagnose && !ret->estimate && !ret->check && !ret->prune;
	if (ret->view.column_count)
		return;
	for (i = 0; i < sksm_column_count; i++)
		if (sksm_columns[i].usual)
			ret->view.columns[ret->view.column_count++] = &sksm_columns[i];
}
