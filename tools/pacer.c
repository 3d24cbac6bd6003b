/* SPDX-License-Identifier: MIT */
/*
 * sksm-pacer: runs ksmd in pulses while processes of any domain have offered pages that wait.
 *
 * This file: the command line, and who may be the one active pacer. The loop is in pacer_loop.c.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ksmd.h"
#include "pacer_home.h"
#include "pacer_loop.h"
#include "pacer_state.h"
#include "text.h"

#include "tracker/options.h"

#define EXIT_USAGE 2
#define CPU_PERCENT_DEFAULT 50
#define TAKE_OVER_MS 1000

enum { OPTION_PARENT = 256 };

struct arguments {
	bool once;
	bool restore;
	bool wait;	/* for the end of another pacer */
	unsigned int cpu_percent;
	pid_t parent;	/* the sksm-run that started us; 0: started by hand */
};

static void print_help(void)
{
	printf("Usage: sksm-pacer [OPTION]...\n"
	       "Run ksmd in short pulses while processes under SKSM have offered pages that are\n"
	       "not merged yet. Between pulses, and at the end, all settings of the kernel's\n"
	       "samepage merging are as they were. A ksmd that others run is left alone.\n\n"
	       "      --once           stop when nothing waits any more\n"
	       "      --cpu-percent N  CPU time for ksmd, in percent of one core (default %d)\n"
	       "      --restore        put back what a killed pacer left, and end\n"
	       "      --wait           where another pacer runs, wait for its end\n"
	       "  -h, --help           show this help\n"
	       "  -V, --version        show the version\n\n"
	       "Needs root. One pacer serves the whole machine, every user and every domain.\n",
	       CPU_PERCENT_DEFAULT);
}

static uint64_t parse_number(const char *option, const char *text, uint64_t max)
{
	uint64_t value;

	if (!sksm_text_number(text, &value) || !value || value > max)
		errx(EXIT_USAGE, "%s: '%s' is not a number from 1 to %llu", option, text,
		     (unsigned long long)max);
	return value;
}

static void parse_option(struct arguments *ret, int option)
{
	switch (option) {
	case 'o':
		ret->once = true;
		break;
	case 'c':
		ret->cpu_percent = (unsigned int)parse_number("--cpu-percent", optarg, 100);
		break;
	case 'r':
		ret->restore = true;
		break;
	case 'w':
		ret->wait = true;
		break;
	case OPTION_PARENT:
		ret->parent = (pid_t)parse_number("--parent", optarg, INT32_MAX);
		ret->wait = true;
		break;
	case 'h':
		print_help();
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	case 'V':
		printf("sksm-pacer " SKSM_VERSION "\n");
		exit(sksm_text_close_stdout(EXIT_SUCCESS));
	default:
		fprintf(stderr, "Try 'sksm-pacer --help'.\n");
		exit(EXIT_USAGE);
	}
}

static void parse_arguments(struct arguments *ret, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "once", no_argument, NULL, 'o' },
		{ "cpu-percent", required_argument, NULL, 'c' },
		{ "restore", no_argument, NULL, 'r' },
		{ "wait", no_argument, NULL, 'w' },
		{ "parent", required_argument, NULL, OPTION_PARENT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	int option;

	ret->cpu_percent = CPU_PERCENT_DEFAULT;
	while ((option = getopt_long(argc, argv, "hV", longs, NULL)) != -1)
		parse_option(ret, option);
	if (optind < argc)
		errx(EXIT_USAGE, "unexpected argument '%s'", argv[optind]);
	if (ret->restore && (ret->once || ret->wait))
		errx(EXIT_USAGE, "--restore excludes --once and --wait");
}

/*
 * The lock of the active pacer. Started by hand, or to repair, there is nothing to wait for; a
 * service, or one that sksm-run started, waits for its turn, its directory being served by the
 * other one meanwhile. Returns -1 where the wait was ended by a signal.
 */
static int become_active(const struct arguments *arguments, int home_fd)
{
	pid_t holder = 0, told = 0;
	int lock_fd;

	while ((lock_fd = sksm_pacer_home_lock(home_fd, &holder)) == -EAGAIN) {
		if (!arguments->wait) {
			sksm_pacer_home_unregister(home_fd);
			errx(EXIT_FAILURE, "another pacer (pid %d) runs", (int)holder);
		}
		if (!told && !arguments->parent)
			warnx("another pacer (pid %d) runs: waiting for its end", (int)holder);
		told = holder;
		if (sksm_pacer_loop_sleep(TAKE_OVER_MS))
			return -1;
	}
	if (lock_fd < 0) {
		sksm_pacer_home_unregister(home_fd);
		errx(EXIT_FAILURE, SKSM_PACER_HOME "/pacer.lock: %s", strerror(-lock_fd));
	}
	return lock_fd;
}

static int restore(int home_fd)
{
	int result = sksm_pacer_state_repair(home_fd);

	if (!result)
		warnx("nothing to put back");
	return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const struct arguments *arguments, int home_fd)
{
	struct sksm_options options;
	int status, error;

	sksm_options_parse(&options, environ, NULL, NULL);
	error = sksm_pacer_home_register(home_fd, options.dir);
	if (error)
		warnx(SKSM_PACER_HOME "/pacer.d: %s: going on; reports may miss %s",
		      strerror(-error), options.dir);
	status = EXIT_SUCCESS;
	if (become_active(arguments, home_fd) >= 0) {
		error = sksm_pacer_state_repair(home_fd);
		if (error < 0 && error != -EBADMSG)
			errx(EXIT_FAILURE, "cannot put back what a killed pacer left");
		status = sksm_pacer_loop(home_fd, options.dir, arguments->cpu_percent,
					 arguments->once);
	}
	sksm_pacer_home_unregister(home_fd);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	int home_fd;

	parse_arguments(&arguments, argc, argv);
	if (geteuid() != 0)
		errx(EXIT_FAILURE, "only root can switch ksmd on and off; run it as root, "
		     "for example: sudo sksm-pacer");
	/* It would hold the lock of the machine, and nobody else would merge anything. */
	if (!arguments.restore && access(SKSM_KSMD_ROOT "/run", W_OK) && errno != ENOENT)
		err(EXIT_FAILURE, "%s", SKSM_KSMD_ROOT "/run");
	sksm_pacer_loop_block_signals();
	if (arguments.parent) {
		/* Even where sksm-run is killed, we end; and it may have been before this call. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != arguments.parent)
			return EXIT_SUCCESS;
	}
	home_fd = sksm_pacer_home_open();
	if (home_fd == -EPERM)
		errx(EXIT_FAILURE, SKSM_PACER_HOME
		     ": not a directory that belongs to root and that nobody else can write");
	if (home_fd < 0)
		errx(EXIT_FAILURE, SKSM_PACER_HOME ": %s", strerror(-home_fd));
	if (arguments.restore) {
		become_active(&arguments, home_fd);
		return restore(home_fd);
	}
	return run(&arguments, home_fd);
}
