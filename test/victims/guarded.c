/* SPDX-License-Identifier: MIT */
/*
 * guarded guard|seal|pkey: 8 MiB of pages, half of them with twins, some of which the program
 * protects in a way of its own: guard regions, mseal, memory protection keys. Says what it finds
 * when it touches and changes them, again and again for a second. "without" where the kernel or the
 * CPU has no such thing.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "victim.h"

/* Newer than our headers: 6.13, 6.10. */
#define VICTIM_MADV_GUARD_INSTALL 102
#define VICTIM_MADV_GUARD_REMOVE 103
#define VICTIM_SYS_mseal 462

#define PAGES 2048u
#define STRIDE 16u
#define ROUNDS 10

static sigjmp_buf back;
static unsigned char *memory;

static uint64_t tag_of(unsigned int page)
{
	return 1 + (page % 2 ? page : page % 64);
}

static void on_segv(int number)
{
	siglongjmp(back, 1);
}

/* May it be read, and be written? "rw", "r-", "--" */
static const char *access_of(volatile unsigned char *p)
{
	unsigned char value;

	if (sigsetjmp(back, 1))
		return "--";
	value = *p;
	if (sigsetjmp(back, 1))
		return "r-";
	*p = value;
	return "rw";
}

static void verify(unsigned int protected_pages)
{
	for (unsigned int page = 0; page < PAGES; page++)
		if ((page % STRIDE || !protected_pages) &&
		    !page_is(memory + page * PAGE, tag_of(page)))
			wrong("guarded", page);
}

static void guard(void)
{
	unsigned int caught = 0, zero = 0;

	if (madvise(memory, PAGE, VICTIM_MADV_GUARD_INSTALL)) {
		printf("without\n");
		return;
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned int page = 0; page < PAGES; page += STRIDE)
			if (madvise(memory + page * PAGE, PAGE, VICTIM_MADV_GUARD_INSTALL))
				die("MADV_GUARD_INSTALL");
		sleep_ms(100);
		for (unsigned int page = 0; page < PAGES; page += STRIDE)
			caught += !strcmp(access_of(memory + page * PAGE), "--");
		verify(1);
		for (unsigned int page = 0; page < PAGES; page += STRIDE) {
			if (madvise(memory + page * PAGE, PAGE, VICTIM_MADV_GUARD_REMOVE))
				die("MADV_GUARD_REMOVE");
			zero += page_is(memory + page * PAGE, 0);
			page_write(memory + page * PAGE, tag_of(page));
		}
		sleep_ms(20);
		verify(0);
	}
	printf("guards: %u caught, %u zero behind them\n", caught, zero);
}

static void seal(void)
{
	if (syscall(VICTIM_SYS_mseal, memory, PAGES * PAGE / 2, 0)) {
		printf("without\n");
		return;
	}
	for (int round = 0; round < ROUNDS; round++) {
		sleep_ms(100);
		verify(0);
	}
	printf("munmap: %s\n", munmap(memory, PAGE) ? strerror(errno) : "ok");
	printf("mprotect: %s\n", mprotect(memory, PAGE, PROT_READ) ? strerror(errno) : "ok");
	printf("mremap: %s\n", mremap(memory, PAGES * PAGE / 2, PAGE, 0) == MAP_FAILED ?
	       strerror(errno) : "ok");
	printf("MADV_DONTNEED: %s\n",
	       madvise(memory, PAGE, MADV_DONTNEED) ? strerror(errno) : "ok");
	printf("the other half: %s\n", munmap(memory + PAGES * PAGE / 2, PAGES * PAGE / 2) ?
	       strerror(errno) : "ok");
	printf("written: %s\n", access_of(memory));
}

static void keys(void)
{
	int key = pkey_alloc(0, 0);

	if (key < 0) {
		printf("without\n");
		return;
	}
	if (pkey_mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE, key))
		die("pkey_mprotect");
	for (int round = 0; round < ROUNDS; round++) {
		pkey_set(key, round % 2 ? PKEY_DISABLE_ACCESS : PKEY_DISABLE_WRITE);
		sleep_ms(100);
		printf("%s\n", access_of(memory + (unsigned int)round * PAGE));
		pkey_set(key, 0);
		verify(0);
	}
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	signal(SIGSEGV, on_segv);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int page = 0; page < PAGES; page++)
		page_write(memory + page * PAGE, tag_of(page));
	sleep_ms(200);
	if (!strcmp(kind, "guard"))
		guard();
	else if (!strcmp(kind, "seal"))
		seal();
	else if (!strcmp(kind, "pkey"))
		keys();
	else
		return 2;
	printf("done\n");
	return 0;
}
