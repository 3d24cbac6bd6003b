/* SPDX-License-Identifier: MIT */
/*
 * sksm-run: runs a command with the library preloaded and, as root, a pacer for as long as the
 * command runs.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "locate.h"
#include "run_child.h"
#include "run_pacer.h"
#include "text.h"

#include "tracker/options.h"

#define EXIT_USAGE 2
#define EXIT_OURS 125	/* sksm-run itself failed, in the manner of env(1) */
#define SEPARATORS " :"	/* what the loader splits LD_PRELOAD at; no way to quote them */

struct arguments {
	bool no_pacer;
	bool report;
	char **command;
};

static void print_help(void)
{
	printf("Usage: sksm-run [OPTION]... [--] COMMAND [ARG...]\n"
	       "Run COMMAND with SKSM preloaded: memory that it holds unchanged for a while, and\n"
	       "that another process of the domain holds too, is merged.\n\n"
	       "      --estimate     find duplicates but merge nothing (SKSM_MODE=estimate)\n"
	       "      --domain NAME  merge with the processes of this domain (SKSM_DOMAIN)\n"
	       "      --no-pacer     do not start sksm-pacer, which only root can\n"
	       "      --report       at the end, report on the command's processes (stderr)\n"
	       "  -e VAR=VALUE       set a variable for the command; may be repeated\n"
	       "  -h, --help         show this help\n"
	       "  -V, --version      show the version\n\n"
	       "The exit status is the command's: 127 where it is not found, 126 where it cannot\n"
	       "be executed, 125 where sksm-run itself fails. SKSM_PRELOAD names another\n"
	       "library.\n");
}

static void set_variable(const char *name, const char *value)
{
	if (setenv(name, value, 1))
		err(EXIT_OURS, "setenv");
}

static void set_assignment(char *assignment)
{
	char *equals = strchr(assignment, '=');

	if (!equals || equals == assignment)
		errx(EXIT_USAGE, "-e: '%s' is not VAR=VALUE", assignment);
	*equals = '\0';
	set_variable(assignment, equals + 1);
	*equals = '=';
}

static void parse_option(struct arguments *ret, int option)
{
	switch (option) {
	case 'E':
		set_variable("SKSM_MODE", "estimate");
		break;
	case 'd':
		if (!sksm_options_domain_valid(optarg))
			errx(EXIT_USAGE, "--domain: '%s' cannot be a domain: 1 to 63 letters, "
			     "digits, '.', '_' and '-', not starting with a dot", optarg);
		set_variable("SKSM_DOMAIN", optarg);
		break;
	case 'n':
		ret->no_pacer = true;
		break;
	case 'r':
		ret->report = true;
		break;
	case 'e':
		set_assignment(optarg);
		break;
	case 'h':
		print_help();
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	case 'V':
		printf("sksm-run " SKSM_VERSION "\n");
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	default:
		fprintf(stderr, "Try 'sksm-run --help'.\n");
		exit(EXIT_USAGE);
	}
}

static void parse_arguments(struct arguments *ret, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "estimate", no_argument, NULL, 'E' },
		{ "domain", required_argument, NULL, 'd' },
		{ "no-pacer", no_argument, NULL, 'n' },
		{ "report", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	int option;

	/* '+': what follows the command belongs to it. */
	while ((option = getopt_long(argc, argv, "+e:hV", longs, NULL)) != -1)
		parse_option(ret, option);
	if (optind == argc) {
		warnx("no command");
		fprintf(stderr, "Try 'sksm-run --help'.\n");
		exit(EXIT_USAGE);
	}
	ret->command = argv + optind;
}

/* The library first, then what was preloaded before, without a second mention of the library. */
static void set_preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *copy, *value, *name, *rest;
	size_t used;

	copy = strdup(before ? before : "");
	value = malloc(strlen(library) + (before ? strlen(before) : 0) + 2);
	if (!copy || !value)
		err(EXIT_OURS, "LD_PRELOAD");
	used = (size_t)sprintf(value, "%s", library);
	rest = copy;
	while ((name = strsep(&rest, SEPARATORS)))
		if (*name && strcmp(name, library))
			used += (size_t)sprintf(value + used, ":%s", name);
	set_variable("LD_PRELOAD", value);
	free(value);
	free(copy);
}

static void choose_library(char ret[PATH_MAX])
{
	if (sksm_locate_preload(ret))
		errx(EXIT_OURS, "libsksm_preload.so is not there (looked for: %s); "
		     "SKSM_PRELOAD=/path/to/libsksm_preload.so names it", ret);
	if (strpbrk(ret, SEPARATORS))
		errx(EXIT_OURS, "'%s' has a blank or a colon in its path and so cannot be "
		     "preloaded; SKSM_PRELOAD can name a copy elsewhere", ret);
}

/* A number that the records of all processes below carry, so that the report finds them. */
static void set_run_id(char ret[24])
{
	uint64_t id = 0;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		err(EXIT_OURS, "getrandom");
	snprintf(ret, 24, "%" PRIu64, id | 1);
	set_variable("SKSM_RUN_ID", ret);
}

/*
 * While the command runs we must not hold its pipes open: whoever reads them waits for their end.
 * Standard error is kept where the report goes there. Returns its copy, or -1.
 */
static int let_go_of_files(bool keep_stderr)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int stderr_fd = keep_stderr ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : -1;
	int fd;

	for (fd = 0; fd <= 2 && null_fd >= 0; fd++)
		dup2(null_fd, fd);
	if (null_fd > 2)
		close(null_fd);
	return stderr_fd;
}

static void print_report(const char *run_id, int stderr_fd, bool paced)
{
	char program[PATH_MAX], option[48];
	char *argv[] = { program, option, NULL };
	pid_t child;
	int status;

	dup2(stderr_fd, STDERR_FILENO);
	/* It stays as long as we do, unless it cannot do its work; what it said went nowhere. */
	if (!paced)
		warnx("sksm-pacer ended early: nobody paced ksmd; sksm-pacer --once says why");
	if (sksm_locate_program("sksm-report", program)) {
		warnx("sksm-report is not there (looked for: %s)", program);
		return;
	}
	snprintf(option, sizeof(option), "--run-id=%s", run_id);
	unsetenv("LD_PRELOAD");
	dup2(stderr_fd, STDOUT_FILENO);
	child = sksm_run_child_start(argv);
	if (child > 0)
		sksm_run_child_wait(child, &status);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	char library[PATH_MAX], run_id[24];
	int status = 0, stderr_fd, error;
	pid_t child, pacer = 0;
	bool paced;

	parse_arguments(&arguments, argc, argv);
	choose_library(library);
	sksm_run_child_prepare();
	if (!arguments.no_pacer)
		pacer = sksm_run_pacer_start();
	set_preload(library);
	if (arguments.report)
		set_run_id(run_id);
	child = sksm_run_child_start(arguments.command);
	if (child < 0) {
		sksm_run_pacer_stop(pacer);
		errx(EXIT_OURS, "fork: %s", strerror(-child));
	}
	stderr_fd = let_go_of_files(arguments.report);
	error = sksm_run_child_wait(child, &status);
	/* First: the settings of the kernel are as they were before anybody learns of the end. */
	paced = sksm_run_pacer_stop(pacer);
	if (error)
		return EXIT_OURS;
	if (stderr_fd >= 0)
		print_report(run_id, stderr_fd, paced);
	sksm_run_child_end_like(status);
}
