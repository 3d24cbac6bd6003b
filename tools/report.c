/* SPDX-License-Identifier: MIT */
/*
 * sksm-report: what SKSM has tracked, found and merged, per process.
 */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "text.h"

#define EXIT_USAGE 2

enum { OPTION_RUN_ID = 256, OPTION_BY_SITE, OPTION_CHECK, OPTION_PRUNE, OPTION_COLUMNS, OPTION_SORT,
       OPTION_RAW, OPTION_PID };

struct arguments {
	bool json;
	bool by_site;
	bool check;
	bool prune;
	bool domain_given;
	bool descending;
	const struct sksm_column *sort;
	struct sksm_report_view view;
	struct sksm_census_query query;
};

static void print_help(void)
{
	size_t i;

	printf("Usage: sksm-report [OPTION]...\n"
	       "Show what SKSM has tracked, found and merged in each process of a domain.\n\n"
	       "      --json           print JSON (sizes in bytes)\n"
	       "      --live           only processes that run\n"
	       "      --finished       only processes that ended\n"
	       "      --domain NAME    of this domain (default: $SKSM_DOMAIN, or \"default\")\n"
	       "      --pid PID        only this process, of whichever domain\n"
	       "      --columns LIST   the columns of the table, separated by commas\n"
	       "      --sort COLUMN    sort by this column; COLUMN:desc from the greatest down\n"
	       "      --bytes          sizes in bytes, times in nanoseconds\n"
	       "      --by-site        savings by the place in the program that made the mapping\n"
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

static void parse_sort(struct arguments *arguments, char *text)
{
	char *order = strchr(text, ':');

	if (order) {
		*order++ = '\0';
		arguments->descending = !strcasecmp(order, "desc");
		if (!arguments->descending && strcasecmp(order, "asc"))
			errx(EXIT_USAGE, "--sort: '%s' is neither 'asc' nor 'desc'", order);
	}
	arguments->sort = find_column(text);
}

static uint64_t parse_number(const char *option, const char *text, uint64_t max)
{
	uint64_t value;

	if (!sksm_text_number(text, &value) || !value || value > max)
		errx(EXIT_USAGE, "%s: '%s' is not a number that it can be", option, text);
	return value;
}

static void parse_scope(struct arguments *arguments, enum sksm_census_scope scope)
{
	if (arguments->query.scope != SKSM_CENSUS_ALL && arguments->query.scope != scope)
		errx(EXIT_USAGE, "--live and --finished exclude one another");
	arguments->query.scope = scope;
}

static void parse_option(struct arguments *ret, int option)
{
	switch (option) {
	case 'j':
		ret->json = true;
		break;
	case 'l':
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
		ret->query.pid = (pid_t)parse_number("--pid", optarg, INT32_MAX);
		break;
	case OPTION_RUN_ID:
		ret->query.run_id = parse_number("--run-id", optarg, UINT64_MAX);
		break;
	case OPTION_COLUMNS:
		parse_columns(&ret->view, optarg);
		break;
	case OPTION_SORT:
		parse_sort(ret, optarg);
		break;
	case OPTION_RAW:
		ret->view.raw = true;
		break;
	case OPTION_BY_SITE:
		ret->by_site = true;
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

static void parse_arguments(struct arguments *ret, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "live", no_argument, NULL, 'l' },
		{ "finished", no_argument, NULL, 'f' },
		{ "domain", required_argument, NULL, 'd' },
		{ "pid", required_argument, NULL, OPTION_PID },
		{ "run-id", required_argument, NULL, OPTION_RUN_ID },
		{ "columns", required_argument, NULL, OPTION_COLUMNS },
		{ "sort", required_argument, NULL, OPTION_SORT },
		{ "bytes", no_argument, NULL, OPTION_RAW },
		{ "by-site", no_argument, NULL, OPTION_BY_SITE },
		{ "check", no_argument, NULL, OPTION_CHECK },
		{ "prune", no_argument, NULL, OPTION_PRUNE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	int option;
	size_t i;

	while ((option = getopt_long(argc, argv, "hV", longs, NULL)) != -1)
		parse_option(ret, option);
	if (optind < argc)
		errx(EXIT_USAGE, "unexpected argument '%s'", argv[optind]);
	if (ret->by_site)
		errx(EXIT_USAGE, "--by-site: which place in a program made a mapping is not "
		     "recorded yet");
	if (ret->view.column_count)
		return;
	for (i = 0; i < sksm_column_count; i++)
		if (sksm_columns[i].usual)
			ret->view.columns[ret->view.column_count++] = &sksm_columns[i];
}

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	/* The other variables are the tracked programs' business. */
	if (!strcmp(name, "SKSM_DIR") || !strcmp(name, "SKSM_DOMAIN"))
		warnx("%s=%s: not %s; the default is used", name, value, expected);
}

static int compare_for_sort(const void *a, const void *b, void *arg)
{
	const struct arguments *arguments = arg;
	int order = sksm_column_compare(arguments->sort, a, b);

	return arguments->descending ? -order : order;
}

/* Nothing to show: say where there would be something. */
static int print_nothing(const struct arguments *arguments, const struct sksm_census *census)
{
	const struct sksm_census_query *query = &arguments->query;

	if (query->pid)
		errx(EXIT_FAILURE, "no record of process %d", (int)query->pid);
	printf("no %sprocess%s%s", query->scope == SKSM_CENSUS_LIVE ? "running " :
	       query->scope == SKSM_CENSUS_FINISHED ? "finished " : "",
	       query->run_id ? " of this command was tracked" : " in domain ",
	       query->run_id ? "" : query->domain);
	if (*census->other_domains)
		printf(" (but there are records in: %s)", census->other_domains);
	printf("\n");
	return EXIT_SUCCESS;
}

static int print_report(struct arguments *arguments, struct sksm_census *census,
			const struct sksm_options *options)
{
	struct sksm_host host;
	int error;

	if (arguments->query.pid && !census->count)
		return print_nothing(arguments, census);
	if (arguments->sort && census->count)
		qsort_r(census->list, census->count, sizeof(*census->list), compare_for_sort,
			arguments);
	sksm_host_look(&host, options);
	if (arguments->json) {
		error = sksm_report_json(census, &host);
	} else if (!census->count) {
		return print_nothing(arguments, census);
	} else {
		error = sksm_report_table(census, &arguments->view);
		sksm_report_advice(census, &host);
	}
	if (error)
		errx(EXIT_FAILURE, "%s", strerror(-error));
	return EXIT_SUCCESS;
}

static int prune(const struct sksm_census *census)
{
	size_t removed = sksm_census_prune(census);

	printf("%zu record%s removed\n", removed, removed == 1 ? "" : "s");
	return removed == census->count - census->living ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(struct arguments *arguments)
{
	struct sksm_options options;
	struct sksm_census census;
	struct sksm_places places;
	struct sksm_host host;
	int status, error;

	sksm_options_parse(&options, environ, complain, NULL);
	if (arguments->check) {
		sksm_host_look(&host, &options);
		return sksm_report_check(&host);
	}
	if (!arguments->domain_given && !arguments->query.pid && !arguments->query.run_id)
		arguments->query.domain = options.domain;
	/* Who names a directory means that one; a run may have left records under several users. */
	error = sksm_places_find(&places, options.dir,
				 options.dir_given && !arguments->query.run_id);
	if (!error)
		error = sksm_census_take(&census, &places, &arguments->query);
	if (error)
		errx(EXIT_FAILURE, "%s", strerror(-error));
	status = arguments->prune ? prune(&census) : print_report(arguments, &census, &options);
	sksm_census_fini(&census);
	sksm_places_fini(&places);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };

	setlocale(LC_CTYPE, "");
	/* A reader that has seen enough ends us in the usual way, whoever started us. */
	signal(SIGPIPE, SIG_DFL);
	parse_arguments(&arguments, argc, argv);
	return sksm_text_close_stdout(run(&arguments));
}
