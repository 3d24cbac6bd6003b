/* SPDX-License-Identifier: MIT */
/*
 * advice MODE: 32 MiB of contents that repeat, something said to the kernel of the second half of
 * it, and what has become of both a while later. The modes are the names in the table at the end.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "smaps.h"
#include "victim.h"

#define BLOCK (2ul << 20)
#define HALF_PAGES 4096ul
#define HALF (HALF_PAGES * PAGE)
#define CONTENTS 64u
/* Newer than our headers. */
#define COLLAPSE 25		/* since 6.1 */
#define GUARD_INSTALL 102	/* since 6.13 */
#define GUARD_REMOVE 103
#define NUMBER_MSEAL 462	/* since 6.10 */
#define SET_VMA 0x53564d41
#define SET_VMA_ANON_NAME 0

static unsigned char *memory;	/* two halves */
static unsigned char *half;	/* the second */

static uint64_t tag_of(size_t page)
{
	return 1 + page % CONTENTS;
}

static void show(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
	fflush(stdout);
}

static void fill(void)
{
	for (size_t page = 0; page < 2 * HALF_PAGES; page++)
		page_write(memory + page * PAGE, tag_of(page));
}

static void verify(const unsigned char *at, const char *what)
{
	for (size_t page = 0; page < HALF_PAGES; page++)
		if (!page_is(at + page * PAGE, tag_of(page)))
			wrong(what, page);
	printf("%s: verified\n", what);
	fflush(stdout);
}

static void fill_and_wait(void)
{
	fill();
	sleep_ms(700);
}

static void show_flags(const char *flag)
{
	printf("with %s: %s, mergeable: %s\n", flag, smaps_share(half, HALF, flag),
	       smaps_share(half, HALF, "mg"));
	fflush(stdout);
}

static void verify_both(void)
{
	verify(memory, "first half");
	verify(half, "second half");
}

static void join_child(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	printf("child: status %#x\n", (unsigned int)status);
}

/* The kernel may take a page back until it is written again, and nothing in between. */
static void verify_freed(uint64_t first_word)
{
	for (size_t page = 0; page < HALF_PAGES; page++) {
		const uint64_t *word = (const uint64_t *)(half + page * PAGE);
		uint64_t tag = word[1] ? tag_of(page) : 0;

		if (first_word ? word[0] != first_word : word[0] != page_word(tag, 0))
			wrong("first word", page);
		for (unsigned int i = 1; i < PAGE_WORDS; i++)
			if (word[i] != page_word(tag, i))
				wrong("freed", page);
	}
}

static void test_free(void)
{
	for (uint64_t round = 1; round <= 3; round++) {
		fill();
		sleep_ms(100);
		if (madvise(half, HALF, MADV_FREE) < 0)
			die("MADV_FREE");
		sleep_ms(100);
		verify_freed(0);
		for (size_t page = 0; page < HALF_PAGES; page++)
			*(uint64_t *)(half + page * PAGE) = round;
		sleep_ms(100);
		verify_freed(round);
	}
	printf("three rounds: verified\n");
	verify(memory, "first half");
}

static void test_dontfork(void)
{
	unsigned char there[HALF_PAGES];
	pid_t pid;

	show("MADV_DONTFORK", madvise(half, HALF, MADV_DONTFORK));
	fill_and_wait();
	printf("with dc: %s\n", smaps_share(half, HALF, "dc"));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		show("in the child", mincore(half, HALF, there));
		verify(memory, "first half in the child");
		_exit(0);
	}
	join_child(pid);
	show("MADV_DOFORK", madvise(half, HALF, MADV_DOFORK));
	pid = fork();
	if (pid == 0) {
		sleep_ms(100);
		verify_both();
		_exit(0);
	}
	join_child(pid);
	verify_both();
}

static void test_wipeonfork(void)
{
	pid_t pid;

	show("MADV_WIPEONFORK", madvise(half, HALF, MADV_WIPEONFORK));
	fill_and_wait();
	show_flags("wf");
	pid = fork();
	if (pid == 0) {
		sleep_ms(100);
		for (size_t page = 0; page < HALF_PAGES; page++)
			if (!page_is(half + page * PAGE, 0))
				wrong("wiped", page);
		verify(memory, "first half in the child");
		_exit(0);
	}
	join_child(pid);
	verify_both();
}

static void test_dontdump(void)
{
	show("MADV_DONTDUMP", madvise(half, HALF, MADV_DONTDUMP));
	fill_and_wait();
	show_flags("dd");
	verify_both();
}

static void test_mlock(void)
{
	show("mlock", mlock(half, HALF));
	fill_and_wait();
	show_flags("lo");
	verify_both();
	show("munlock", munlock(half, HALF));
	verify_both();
}

static sigjmp_buf guarded;

static void on_fault(int number)
{
	siglongjmp(guarded, number);
}

/* Every 16th page of the half is a guard. */
static unsigned int count_faults(void)
{
	static volatile unsigned int faults;
	static volatile size_t page;

	faults = 0;
	for (page = 0; page < HALF_PAGES; page += 16) {
		if (sigsetjmp(guarded, 1) == 0)
			(void)*(volatile unsigned char *)(half + page * PAGE);
		else
			faults++;
	}
	return faults;
}

static void test_guard(void)
{
	struct sigaction action = { .sa_handler = on_fault };
	int result = 0;

	sigaction(SIGSEGV, &action, NULL);
	fill();
	for (size_t page = 0; page < HALF_PAGES && result == 0; page += 16)
		result = madvise(half + page * PAGE, PAGE, GUARD_INSTALL);
	if (result < 0) {
		show("MADV_GUARD_INSTALL", result);
		return;
	}
	for (unsigned int round = 0; round < 3; round++) {
		sleep_ms(200);
		printf("guards: %u\n", count_faults());
		/* What is registered is given up for a moment. */
		setfsuid(geteuid());
		printf("guards: %u\n", count_faults());
	}
	for (size_t page = 0; page < HALF_PAGES; page++)
		if (page % 16 && !page_is(half + page * PAGE, tag_of(page)))
			wrong("between guards", page);
	show("MADV_GUARD_REMOVE", madvise(half, HALF, GUARD_REMOVE));
	for (size_t page = 0; page < HALF_PAGES; page += 16)
		if (!page_is(half + page * PAGE, 0))
			wrong("behind a guard", page);
	verify(memory, "first half");
}

static void test_mseal(void)
{
	fill();
	show("mseal", syscall(NUMBER_MSEAL, half, HALF, 0));
	sleep_ms(700);
	show("munmap", munmap(half + BLOCK, BLOCK));
	show("mprotect", mprotect(half + BLOCK, BLOCK, PROT_READ));
	show("mremap", mremap(half, HALF, 2 * HALF, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
	verify_both();
}

static void test_pkey(void)
{
	int key = pkey_alloc(0, 0);

	if (key < 0) {
		show("pkey_alloc", key);
		fill_and_wait();
		return;
	}
	fill();
	show("pkey_mprotect", pkey_mprotect(half, HALF, PROT_READ | PROT_WRITE, key));
	pkey_set(key, PKEY_DISABLE_ACCESS);
	sleep_ms(700);
	pkey_set(key, 0);
	verify_both();
	show("pkey_free", pkey_free(key));
}

static void test_name(void)
{
	show("PR_SET_VMA", prctl(SET_VMA, SET_VMA_ANON_NAME, half, HALF, "a name of its own"));
	fill_and_wait();
	verify_both();
}

/* Huge pages of what has been looked at, marked and merged. */
static void test_collapse(void)
{
	long result = -1;

	if (madvise(memory, 2 * HALF, MADV_NOHUGEPAGE) < 0)
		die("MADV_NOHUGEPAGE");
	fill_and_wait();
	if (madvise(memory, 2 * HALF, MADV_HUGEPAGE) < 0)
		die("MADV_HUGEPAGE");
	/* A huge page may be hard to come by. */
	for (int i = 0; i < 20 && result < 0; i++) {
		result = madvise(half, BLOCK, COLLAPSE);
		if (result < 0 && errno != ENOMEM && errno != EAGAIN)
			break;
	}
	show("MADV_COLLAPSE", result);
	verify_both();
}

static const struct {
	const char *name;
	void (*test)(void);
} modes[] = {
	{ "free", test_free }, { "dontfork", test_dontfork }, { "wipeonfork", test_wipeonfork },
	{ "dontdump", test_dontdump }, { "mlock", test_mlock }, { "guard", test_guard },
	{ "mseal", test_mseal }, { "pkey", test_pkey }, { "name", test_name },
	{ "collapse", test_collapse },
};

int main(int argc, char **argv)
{
	memory = mmap(NULL, 2 * HALF + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	memory = (unsigned char *)(((uintptr_t)memory + BLOCK - 1) & -BLOCK);
	half = memory + HALF;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && strcmp(argv[1], modes[i].name) == 0) {
			modes[i].test();
			return 0;
		}
	fprintf(stderr, "usage: advice MODE\n");
	return 2;
}
