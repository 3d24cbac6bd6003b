/* SPDX-License-Identifier: MIT */
/*
 * optout own | late | regret | decline | any | lockall: a program that has its own opinion on
 * merging. "own" marks memory itself, "late" when we had time to do so, and it stays marked;
 * "regret" takes that back, "decline" says so of memory that it never marked, "any" marks the whole
 * process and takes it back. "lockall" locks all of its little memory, and so does its child.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "smaps.h"
#include "victim.h"

#define PAGES 4096ul
#define BYTES (PAGES * PAGE)
#define CONTENTS 64u
#define SET_MEMORY_MERGE 67	/* since 6.4 */
#define GET_MEMORY_MERGE 68

static unsigned char *memory;

static void show(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
	fflush(stdout);
}

static unsigned char *map(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < bytes / PAGE; page++)
		page_write(p + page * PAGE, 1 + page % CONTENTS);
	return p;
}

static void verify(const unsigned char *p, size_t bytes)
{
	for (size_t page = 0; page < bytes / PAGE; page++)
		if (!page_is(p + page * PAGE, 1 + page % CONTENTS))
			wrong("optout", page);
}

static void show_marks(const char *when)
{
	verify(memory, BYTES);
	printf("%s, mergeable: %s\n", when, smaps_share(memory, BYTES, "mg"));
	fflush(stdout);
}

static void test_own(void)
{
	uint64_t end_ms;

	show("MADV_MERGEABLE", madvise(memory, BYTES, MADV_MERGEABLE));
	sleep_ms(500);
	show_marks("marked");
	/* A hot block gives up marks that are ours. */
	for (end_ms = now_ms() + 1000; now_ms() < end_ms; sleep_ms(3))
		for (size_t page = 0; page < PAGES / 4; page++)
			page_write(memory + page * PAGE, 1 + page % CONTENTS);
	show_marks("after many writes");
}

/* What both have marked, the kernel shows once. */
static void test_late(void)
{
	sleep_ms(700);
	test_own();
}

static void take_back(void)
{
	show("MADV_UNMERGEABLE", madvise(memory, BYTES, MADV_UNMERGEABLE));
	show_marks("taken back");
	sleep_ms(1000);
	show_marks("later");
}

static void test_regret(void)
{
	show("MADV_MERGEABLE", madvise(memory, BYTES, MADV_MERGEABLE));
	sleep_ms(500);
	take_back();
}

static void test_decline(void)
{
	sleep_ms(700);
	take_back();
}

static void test_any(void)
{
	show("PR_SET_MEMORY_MERGE 1", prctl(SET_MEMORY_MERGE, 1, 0, 0, 0));
	sleep_ms(500);
	show("PR_SET_MEMORY_MERGE 0", prctl(SET_MEMORY_MERGE, 0, 0, 0, 0));
	printf("PR_GET_MEMORY_MERGE: %d\n", prctl(GET_MEMORY_MERGE, 0, 0, 0, 0));
	show_marks("taken back");
	sleep_ms(1000);
	show_marks("later");
}

static void lock_all(void)
{
	unsigned char *more;

	show("mlockall", mlockall(MCL_CURRENT | MCL_FUTURE));
	more = map(1 << 20);
	sleep_ms(200);
	verify(memory, 1 << 20);
	verify(more, 1 << 20);
	munmap(more, 1 << 20);
}

/* Some 3 MiB in all, libc included, of the 8 MiB that users may lock. */
static void test_lockall(void)
{
	int status;
	pid_t pid;

	memory = map(1 << 20);
	sleep_ms(300);
	lock_all();
	pid = fork();
	if (pid == 0) {
		lock_all();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	printf("child: status %#x\n", (unsigned int)status);
	show("munlockall", munlockall());
	sleep_ms(100);
	verify(memory, 1 << 20);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} modes[] = {
		{ "own", test_own }, { "late", test_late }, { "regret", test_regret },
		{ "decline", test_decline }, { "any", test_any }, { "lockall", test_lockall },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && strcmp(argv[1], modes[i].name) == 0) {
			if (modes[i].test != test_lockall)
				memory = map(BYTES);
			modes[i].test();
			printf("verified\n");
			return 0;
		}
	fprintf(stderr, "usage: optout own|late|regret|decline|any|lockall\n");
	return 2;
}
