/* SPDX-License-Identifier: MIT */
/*
 * signals: block every signal in every thread and collect process-directed ones by sigwait and
 * signalfd, as servers do; interval timers and SIGCHLD too. With memory to work on. "signals
 * trapped": count the system calls that a filter traps (SIGSYS).
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "victim.h"

static void *send_signals(void *argument)
{
	static const int sent[] = { SIGUSR1, SIGTERM, SIGHUP, SIGALRM, SIGIO, SIGPROF };

	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		sleep_ms(50);
		kill(getpid(), sent[i]);
	}
	return argument;
}

static void wait_for_signal(const sigset_t *set)
{
	int got;

	if (sigwait(set, &got) != 0)
		die("sigwait");
	printf("got %s\n", sigabbrev_np(got));
}

#define BYTES (32ul << 20)

static char *map_filled(void)
{
	char *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < BYTES; i += PAGE)
		page_write(memory + i, 1 + i);
	return memory;
}

static volatile sig_atomic_t trapped;

static void on_trap(int number)
{
	trapped++;
}

static int survive_traps(void)
{
	struct sigaction action = { .sa_handler = on_trap };

	sigaction(SIGSYS, &action, NULL);
	map_filled();
	sleep_ms(300);
	printf("SIGSYS: %d\n", (int)trapped);
	return 0;
}

int main(int argc, char **argv)
{
	struct itimerval timer = { { 0, 0 }, { 0, 50000 } };
	struct signalfd_siginfo info;
	sigset_t all, real_time;
	pthread_t thread;
	char *memory;
	int fd;

	if (argc > 1 && strcmp(argv[1], "trapped") == 0)
		return survive_traps();
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	memory = map_filled();
	/* Of several that wait the one with the lowest number is told first. */
	if (pthread_create(&thread, NULL, send_signals, NULL) != 0)
		die("pthread_create");
	for (unsigned int i = 0; i < 6; i++)
		wait_for_signal(&all);
	pthread_join(thread, NULL);

	setitimer(ITIMER_REAL, &timer, NULL);
	wait_for_signal(&all);
	if (fork() == 0)
		_exit(0);
	wait_for_signal(&all);
	wait(NULL);

	sigemptyset(&real_time);
	sigaddset(&real_time, SIGRTMIN + 3);
	fd = signalfd(-1, &real_time, SFD_CLOEXEC);
	kill(getpid(), SIGRTMIN + 3);
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		die("signalfd");
	printf("signalfd: %d\n", (int)info.ssi_signo - SIGRTMIN);
	for (size_t i = 0; i < BYTES; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("signals", i / PAGE);
	printf("verified\n");
	return 0;
}
