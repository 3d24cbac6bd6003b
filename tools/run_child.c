/* SPDX-License-Identifier: MIT */
#include "run_child.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127

/* As they were when we were started. */
static sigset_t inherited_mask;
static struct sigaction inherited_chld;

/*
 * What somebody may send us for the command. Not the signals of our own faults, nor those that
 * cannot be blocked.
 */
static void signals_to_pass(sigset_t *ret)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGTSTP,
		SIGWINCH, SIGURG, SIGIO, SIGPWR, SIGVTALRM, SIGPROF, SIGABRT, SIGXCPU, SIGXFSZ,
	};
	size_t i;
	int number;

	sigemptyset(ret);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(ret, signals[i]);
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		sigaddset(ret, number);
}

void sksm_run_child_prepare(void)
{
	const struct sigaction act_default = { .sa_handler = SIG_DFL };
	sigset_t set;

	/* An ignored SIGCHLD, which is inherited, would take the exit status away from us. */
	sigaction(SIGCHLD, &act_default, &inherited_chld);
	signals_to_pass(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &inherited_mask);
}

void sksm_run_child_reset_signals(void)
{
	sigaction(SIGCHLD, &inherited_chld, NULL);
	sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
}

pid_t sksm_run_child_start(char *const argv[])
{
	pid_t child = fork();
	int error;

	if (child)
		return child < 0 ? -errno : child;
	sksm_run_child_reset_signals();
	execvp(argv[0], argv);
	error = errno;
	warn("%s", argv[0]);
	_exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

/*
 * The terminal sends its signals to the whole process group, and so to the child already: only
 * what a process has sent to us alone is passed on. What was sent to the group by kill(2) arrives
 * twice, which cannot be told apart.
 */
static void pass_on(const siginfo_t *info, pid_t child)
{
	if (info->si_code > 0 || info->si_pid == child)
		return;
	if (info->si_code == SI_QUEUE)
		sigqueue(child, info->si_signo, info->si_value);
	else
		kill(child, info->si_signo);
}

/*
 * Are we a job of a shell that the terminal belongs to? Then it has to see that we are stopped. Who
 * stops the child by its pid elsewhere continues it alone, and nobody would continue us.
 */
static bool is_job(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	bool job = fd >= 0 && tcgetpgrp(fd) == getpgrp();

	if (fd >= 0)
		close(fd);
	return job;
}

/* True where the child has ended. A child that was stopped stops us, so that our shell sees it. */
static bool has_ended(pid_t child, int *ret_status)
{
	int status;

	while (waitpid(child, &status, WNOHANG | WUNTRACED) == child) {
		if (!WIFSTOPPED(status)) {
			*ret_status = status;
			return true;
		}
		if (WSTOPSIG(status) == SIGSTOP && !is_job())
			continue;
		raise(SIGSTOP);
		/* Here again, we were continued, perhaps alone. */
		kill(child, SIGCONT);
	}
	return false;
}

int sksm_run_child_wait(pid_t child, int *ret_status)
{
	siginfo_t info;
	sigset_t set;

	signals_to_pass(&set);
	sigaddset(&set, SIGCHLD);
	while (!has_ended(child, ret_status)) {
		if (sigwaitinfo(&set, &info) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (info.si_signo != SIGCHLD)
			pass_on(&info, child);
	}
	return 0;
}

void sksm_run_child_end_like(int status)
{
	const struct sigaction act_default = { .sa_handler = SIG_DFL };
	int number = WTERMSIG(status);
	sigset_t set;

	if (!WIFSIGNALED(status))
		exit(WEXITSTATUS(status));
	/* The command has dumped its core, if it may; ours would take its place. */
	prctl(PR_SET_DUMPABLE, 0);
	sigaction(number, &act_default, NULL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	exit(128 + number);
}
