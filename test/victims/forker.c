/* SPDX-License-Identifier: MIT */
/*
 * forker [--bytes N] [--children N] [--depth N] [--hold-ms MS] [--how fork|thread|vfork|spawn|
 * clone|bomb] [--borrow] [--kill]: fill memory, fork children that rewrite parts of it and check
 * all of it, while the parent does the same. Children of fork have children themselves down to
 * --depth. "thread" forks from a thread that is not the main one. --borrow: before that, children
 * of vfork map memory. --kill: the program ends by SIGKILL.
 */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

extern char **environ;

static size_t bytes = 32 << 20, pages;
static unsigned int children = 4, depth = 1, hold_ms = 300;
static bool borrow, end_by_kill;
static const char *how = "fork";
static unsigned char *memory;
static uint64_t *tag;

static void verify(const char *who)
{
	for (size_t page = 0; page < pages; page++)
		if (!page_is(memory + page * PAGE, tag[page]))
			wrong(who, page);
}

/* Every @step-th page, with content that other processes of the tree write too. */
static void rewrite(size_t first, size_t step, uint64_t what)
{
	for (size_t page = first; page < pages; page += step) {
		tag[page] = mix(what) + page;
		page_write(memory + page * PAGE, tag[page]);
	}
}

static void family(unsigned int level);

static void child(unsigned int number, unsigned int level)
{
	unsigned int rounds = 4;

	for (unsigned int i = 0; i < rounds; i++) {
		rewrite(number % 7, 7, 100 + i);
		sleep_ms(hold_ms / rounds);
		verify("child");
	}
	if (level + 1 < depth)
		family(level + 1);
	verify("child at its end");
}

static pid_t start_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t start_program(bool vforked)
{
	char *arguments[] = { "true", NULL };
	pid_t pid;

	if (!vforked)
		return posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) ? -1 : pid;
	pid = vfork();
	if (pid == 0) {
		/* As shells and servers do that start a program for somebody else. */
		if (seteuid(geteuid()) < 0)
			_exit(126);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	return pid;
}

/* More than the standards allow a child of vfork, and what real ones do. */
static void map_in_vfork_child(void)
{
	pid_t pid = vfork();
	int status;

	if (pid == 0) {
		char *arguments[] = { "true", NULL };
		unsigned char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || munmap(p, 1 << 20) < 0)
			_exit(126);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("a child of vfork");
}

/* In a program that has done nothing yet, and in one that has nothing any more. */
static void borrow_memory(void)
{
	void *p;

	map_in_vfork_child();
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || munmap(p, 1 << 20) < 0)
		die("mmap");
	sleep_ms(hold_ms);
	map_in_vfork_child();
}

static pid_t start_child(unsigned int number, unsigned int level)
{
	pid_t pid;

	if (strcmp(how, "vfork") == 0)
		return start_program(true);
	if (strcmp(how, "spawn") == 0)
		return start_program(false);
	pid = strcmp(how, "clone") == 0 ? start_clone() : fork();
	if (pid == 0) {
		if (strcmp(how, "bomb") == 0)
			_exit(page_is(memory, tag[0]) ? 0 : 3);
		child(number, level);
		_exit(0);
	}
	return pid;
}

static void wait_for(unsigned int count, unsigned int level)
{
	int status;

	for (unsigned int i = 0; i < count; i++) {
		if (wait(&status) < 0)
			die("wait");
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			fprintf(stderr, "a child at level %u ended with status %#x\n", level,
				(unsigned int)status);
			exit(3);
		}
	}
}

static void family(unsigned int level)
{
	for (unsigned int i = 0; i < children; i++)
		if (start_child(i, level) < 0)
			die(how);
	for (unsigned int i = 0; i < 4; i++) {
		rewrite(i, 5, 100 + i);
		sleep_ms(hold_ms / 4);
		verify("parent");
	}
	wait_for(children, level);
	sleep_ms(hold_ms);
	verify("parent at its end");
}

static void *family_thread(void *argument)
{
	family(0);
	return argument;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "bytes", 1, NULL, 'b' }, { "children", 1, NULL, 'c' }, { "depth", 1, NULL, 'd' },
		{ "hold-ms", 1, NULL, 'm' }, { "how", 1, NULL, 'h' },
		{ "borrow", 0, NULL, 'o' }, { "kill", 0, NULL, 'k' }, { NULL, 0, NULL, 0 }
	};
	pthread_t thread;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b': bytes = parse_size(optarg) & -PAGE; break;
		case 'c': children = (unsigned int)atoi(optarg); break;
		case 'd': depth = (unsigned int)atoi(optarg); break;
		case 'm': hold_ms = (unsigned int)atoi(optarg); break;
		case 'h': how = optarg; break;
		case 'o': borrow = true; break;
		case 'k': end_by_kill = true; break;
		default: return 2;
		}
	}
	if (borrow)
		borrow_memory();
	pages = bytes / PAGE;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tag = calloc(pages, sizeof(*tag));
	if (memory == MAP_FAILED || !tag)
		die("memory");
	rewrite(0, 1, 1);
	sleep_ms(hold_ms);
	if (strcmp(how, "thread") == 0) {
		if (pthread_create(&thread, NULL, family_thread, NULL) != 0)
			die("pthread_create");
		pthread_join(thread, NULL);
	} else {
		family(0);
	}
	printf("%u children by %s, depth %u: verified\n", children, how, depth);
	fflush(stdout);
	if (end_by_kill)
		raise(SIGKILL);
	return 0;
}
