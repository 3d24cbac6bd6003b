/* SPDX-License-Identifier: MIT */
/*
 * sksm-report: what SKSM has tracked, found and merged, per process.
 */
#include "report_arguments.h"

#include <err.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diagnose.h"
#include "doctor.h"
#include "estimate.h"
#include "html.h"
#include "live.h"
#include "text.h"

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	/* The other variables are the tracked programs' business. */
	if (!strcmp(name, "DIR") || !strcmp(name, "DOMAIN"))
		warnx("SKSM_%s=%s: not %s; the default is used", name, value, expected);
}

/* Nothing to show: say where there would be something. */
static int print_nothing(const struct sksm_report_arguments *arguments,
			 const struct sksm_census *census)
{
	const struct sksm_census_query *query = &arguments->query;

	printf("no %sprocess%s%s", query->scope == SKSM_CENSUS_LIVE ? "running " :
	       query->scope == SKSM_CENSUS_FINISHED ? "finished " : "",
	       query->run_id ? " of this command was tracked" : " in domain ",
	       query->run_id ? "" : query->domain);
	if (*census->other_domains)
		printf(" (but there are records in: %s)", census->other_domains);
	printf("\n");
	sksm_report_unrecorded(stdout, census);
	return EXIT_SUCCESS;
}

static int print_sites(const struct sksm_report_arguments *arguments,
		       const struct sksm_census *census)
{
	struct sksm_site_report sites;
	int error;

	if (!census->count)
		return print_nothing(arguments, census);
	error = sksm_sites_take(&sites, census);
	if (!error) {
		error = sksm_sites_table(&sites, &arguments->sites);
		sksm_sites_fini(&sites);
	}
	if (error)
		errx(EXIT_FAILURE, "%s", strerror(-error));
	return EXIT_SUCCESS;
}

static int print_json(const struct sksm_report_arguments *arguments,
		      const struct sksm_census *census, const struct sksm_host *host)
{
	struct sksm_site_report sites;
	int error;

	if (!arguments->by_site)
		return sksm_report_json(census, host, NULL, false);
	error = sksm_sites_take(&sites, census);
	if (error)
		return error;
	error = sksm_report_json(census, host, &sites, arguments->sites.by_mapping);
	sksm_sites_fini(&sites);
	return error;
}

static void fail(const struct sksm_report_arguments *arguments, int error)
{
	const char *path = arguments->html_path ? arguments->html_path : arguments->metrics_path;

	errx(EXIT_FAILURE, "%s%s%s", path ? path : "", path ? ": " : "", strerror(-error));
}

static int print_report(struct sksm_report_arguments *arguments, struct sksm_census *census,
			const struct sksm_options *options)
{
	struct sksm_host host;
	int error;

	sksm_report_sort(census, &arguments->order);
	if (arguments->by_site && !arguments->json && !arguments->html_path)
		return print_sites(arguments, census);
	sksm_host_look(&host, options);
	if (arguments->html_path) {
		error = sksm_html(census, &host, arguments->html_path);
	} else if (arguments->metrics) {
		error = sksm_report_metrics(census, &host, arguments->metrics_path);
	} else if (arguments->diagnose && (arguments->json || census->count)) {
		error = sksm_diagnose(census, &host, arguments->json);
	} else if (arguments->json) {
		error = print_json(arguments, census, &host);
	} else if (!census->count) {
		return print_nothing(arguments, census);
	} else {
		error = sksm_report_table(census, &arguments->view);
		sksm_report_unrecorded(stdout, census);
		sksm_report_advice(census, &host);
	}
	if (error)
		fail(arguments, error);
	return EXIT_SUCCESS;
}

static int prune(const struct sksm_census *census)
{
	size_t removed = sksm_census_prune(census);

	printf("%zu record%s removed\n", removed, removed == 1 ? "" : "s");
	return removed == census->count - census->living ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check(const struct sksm_options *options)
{
	struct sksm_examination examination;
	struct sksm_host host;

	sksm_host_look(&host, options);
	sksm_doctor_examine(&examination, &host);
	return sksm_doctor_print(&examination, &host);
}

static int estimate(const struct sksm_report_arguments *arguments,
		    const struct sksm_options *options)
{
	const struct sksm_estimate_query query = {
		.pids = arguments->query.pids,
		.count = arguments->query.pid_count,
		.interval_ms = arguments->interval_ms ? arguments->interval_ms : options->age_ms,
		.progress = isatty(STDERR_FILENO),
	};
	struct sksm_estimate found;
	struct sksm_host host;
	char reason[256];
	size_t i, refused = 0;
	int error;

	for (i = 0; i < query.count; i++) {
		if (!sksm_estimate_refuses(query.pids[i], reason, sizeof(reason)))
			continue;
		warnx("%s", reason);
		refused++;
	}
	if (refused)
		return EXIT_FAILURE;
	sksm_host_look(&host, options);
	error = sksm_estimate_take(&found, &query, &host);
	if (error)
		errx(EXIT_FAILURE, "%s", error == -ESRCH ? "all of them ended meanwhile" :
		     strerror(-error));
	error = arguments->json ? sksm_estimate_json(&found) : sksm_estimate_print(&found);
	sksm_estimate_fini(&found);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Every process that was asked for must have a record. */
static bool has_all(const struct sksm_census_query *query, const struct sksm_census *census)
{
	bool all = true;
	size_t i, j;

	for (i = 0; i < query->pid_count; i++) {
		for (j = 0; j < census->count; j++)
			if ((pid_t)census->list[j].record.pid == query->pids[i])
				break;
		if (j < census->count || query->scope != SKSM_CENSUS_ALL)
			continue;
		warnx("no record of process %d", (int)query->pids[i]);
		all = false;
	}
	return all;
}

/* Of the table and of the JSON, where they are about all that runs. */
static bool wants_unrecorded(const struct sksm_report_arguments *arguments)
{
	const struct sksm_census_query *query = &arguments->query;

	return !query->pid_count && !query->run_id && query->scope != SKSM_CENSUS_FINISHED &&
	       !arguments->html_path && !arguments->metrics && !arguments->diagnose &&
	       !arguments->prune && (arguments->json || !arguments->by_site);
}

static int run(struct sksm_report_arguments *arguments)
{
	struct sksm_options options;
	struct sksm_census census;
	int status = EXIT_FAILURE, error;

	sksm_options_parse(&options, environ, complain, NULL);
	if (arguments->check)
		return check(&options);
	if (arguments->estimate)
		return estimate(arguments, &options);
	if (!arguments->domain_given && !arguments->query.pid_count && !arguments->query.run_id &&
	    !arguments->metrics)
		arguments->query.domain = options.domain;
	if (arguments->live)
		return sksm_live(arguments, &options);
	arguments->query.unrecorded = wants_unrecorded(arguments);
	error = sksm_census_look(&census, &options, &arguments->query);
	if (error)
		errx(EXIT_FAILURE, "%s", strerror(-error));
	if (has_all(&arguments->query, &census))
		status = arguments->prune ? prune(&census) :
			 print_report(arguments, &census, &options);
	/* Nothing, since it is not to be had, is no answer. Why is said. */
	if (census.refused && !census.count)
		status = EXIT_FAILURE;
	sksm_census_fini(&census);
	return status;
}

int main(int argc, char **argv)
{
	struct sksm_report_arguments arguments;

	setlocale(LC_CTYPE, "");
	/* A reader that has seen enough ends us in the usual way, whoever started us. */
	signal(SIGPIPE, SIG_DFL);
	sksm_report_parse(&arguments, argc, argv);
	return sksm_text_close_stdout(run(&arguments));
}
