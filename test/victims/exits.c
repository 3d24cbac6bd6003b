/* SPDX-License-Identifier: MIT */
/*
 * exits WAY [MS [BYTES]]: hold memory for a while, then end in one of many ways. The ways are the
 * names in the table at the end of this file.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

#define LATE_BYTES (64ul << 20)

static void *forbidden;	/* memory that faults */

static void say_goodbye(void)
{
	printf("goodbye\n");
}

static void say_goodbye_quickly(void)
{
	static const char text[] = "quick goodbye\n";

	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(9);
}

static void end_return(void)
{
}

static void end_exit(void)
{
	exit(11);
}

static void end_underscore_exit(void)
{
	fflush(stdout);
	_exit(12);
}

static void end_quick_exit(void)
{
	fflush(stdout);
	quick_exit(13);
}

static void end_abort(void)
{
	fflush(stdout);
	abort();
}

static void end_segv(void)
{
	fflush(stdout);
	*(volatile int *)forbidden = 1;
}

static void end_kill(void)
{
	fflush(stdout);
	raise(SIGKILL);
}

static void end_term(void)
{
	fflush(stdout);
	kill(getpid(), SIGTERM);
	pause();
}

/* The kernel ends a process when its last thread is gone. */
static void end_raw_exit(void)
{
	fflush(stdout);
	syscall(SYS_exit, 14);
}

/* Memory of a program whose main thread is gone is the program's, too. */
static void *linger(void *argument)
{
	char *late;

	sleep_ms(200);
	late = mmap(NULL, LATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (late == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < LATE_BYTES; i += PAGE)
		page_write(late + i, 1 + i);
	sleep_ms(1000);
	printf("the last thread ends\n");
	return argument;
}

static void end_main_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, linger, NULL) != 0)
		die("pthread_create");
	pthread_exit(NULL);
}

static void end_only_thread(void)
{
	pthread_exit(NULL);
}

static void *raw_exit(void *argument)
{
	sleep_ms(200);
	syscall(SYS_exit, 0);
	return argument;
}

/* The main thread goes first, by the raw call, then the other one. */
static void end_raw_exits(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, raw_exit, NULL) != 0)
		die("pthread_create");
	fflush(stdout);
	syscall(SYS_exit, 0);
}

static void *exit_process(void *argument)
{
	exit(15);
	return argument;
}

static void end_exit_in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exit_process, NULL) != 0)
		die("pthread_create");
	pthread_join(thread, NULL);
}

static void end_exec(void)
{
	fflush(stdout);
	execlp("sh", "sh", "-c", "echo executed; exit 16", (char *)NULL);
	die("exec");
}

static void *exec_program(void *argument)
{
	end_exec();
	return argument;
}

static void end_exec_in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exec_program, NULL) != 0)
		die("pthread_create");
	pthread_join(thread, NULL);
}

/* A parent that does not wait: its child goes on as an orphan and ends by itself. */
static void end_before_child(void)
{
	fflush(stdout);
	if (fork() == 0) {
		sleep_ms(200);
		_exit(0);
	}
}

static const struct {
	const char *name;
	void (*end)(void);
} ways[] = {
	{ "return", end_return },
	{ "exit", end_exit },
	{ "_exit", end_underscore_exit },
	{ "quick_exit", end_quick_exit },
	{ "abort", end_abort },
	{ "segv", end_segv },
	{ "kill", end_kill },
	{ "term", end_term },
	{ "raw-exit", end_raw_exit },
	{ "raw-exits", end_raw_exits },
	{ "pthread_exit", end_only_thread },
	{ "pthread_exit-main", end_main_thread },
	{ "exit-in-thread", end_exit_in_thread },
	{ "exec", end_exec },
	{ "exec-in-thread", end_exec_in_thread },
	{ "before-child", end_before_child },
};

int main(int argc, char **argv)
{
	unsigned int ms = argc > 2 ? (unsigned int)atoi(argv[2]) : 200;
	size_t bytes = argc > 3 ? parse_size(argv[3]) : 64 << 20;
	struct rlimit no_core = { 0, 0 };
	char *memory;

	setrlimit(RLIMIT_CORE, &no_core);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || forbidden == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	atexit(say_goodbye);
	at_quick_exit(say_goodbye_quickly);
	/* Who does not wait at all may meet a shim that sleeps. */
	if (ms)
		sleep_ms(ms);
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("exits", i / PAGE);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (argc > 1 && strcmp(ways[i].name, argv[1]) == 0) {
			printf("ending by %s\n", ways[i].name);
			ways[i].end();
			return 0;
		}
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		printf("%s\n", ways[i].name);
	return 2;
}
