/* SPDX-License-Identifier: MIT */
#include "run_pacer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ksmd.h"
#include "locate.h"
#include "run_child.h"

#include "tracker/options.h"
#include "tracker/probe.h"
#include "tracker/sys.h"

/* It waits for ksmd's batch under way, some 20 ms; with a machine that is out of breath, longer. */
#define STOP_MS 5000
#define STEP_MS 2

static bool is_useful(void)
{
	struct sksm_options options;
	struct sksm_probe probe;

	/* Where /sys cannot be written, a pacer of the machine's own may do it. */
	if (geteuid() != 0 || access(SKSM_KSMD_ROOT "/run", W_OK))
		return false;
	sksm_options_parse(&options, environ, NULL, NULL);
	if (options.mode != SKSM_MODE_MERGE)
		return false;
	sksm_probe_run(&sksm_sys_kernel, NULL, &probe);
	return sksm_probe_engine(&probe, &options) == SKSM_ENGINE_KSM;
}

/*
 * A session of its own, so that the terminal's signals do not reach it; none of our files, so that
 * no pipe stays open; nothing preloaded.
 */
static void become_pacer(const char *program, pid_t parent)
{
	int null_fd = open("/dev/null", O_RDWR), fd;
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)parent);
	setsid();
	for (fd = 0; fd <= 2 && null_fd >= 0; fd++)
		dup2(null_fd, fd);
	close_range(3, ~0u, 0);
	unsetenv("LD_PRELOAD");
	if (chdir("/"))
		_exit(EXIT_FAILURE);
	sksm_run_child_reset_signals();
	execl(program, "sksm-pacer", "--parent", number, (char *)NULL);
	_exit(EXIT_FAILURE);
}

pid_t sksm_run_pacer_start(void)
{
	char program[PATH_MAX];
	pid_t self = getpid(), pacer;

	if (!is_useful())
		return 0;
	if (sksm_locate_program("sksm-pacer", program)) {
		warnx("sksm-pacer is not there (looked for: %s): going on without it", program);
		return 0;
	}
	pacer = fork();
	if (pacer < 0) {
		warn("cannot start sksm-pacer");
		return 0;
	}
	if (!pacer)
		become_pacer(program, self);
	return pacer;
}

bool sksm_run_pacer_stop(pid_t pacer)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	int waited_ms;

	if (!pacer)
		return true;
	if (waitpid(pacer, NULL, WNOHANG) == pacer)
		return false;
	kill(pacer, SIGTERM);
	for (waited_ms = 0; waited_ms < STOP_MS; waited_ms += STEP_MS) {
		if (waitpid(pacer, NULL, WNOHANG))
			return true;
		nanosleep(&step, NULL);
	}
	warnx("sksm-pacer (pid %d) takes long to end", (int)pacer);
	return true;
}
