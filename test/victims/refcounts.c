/* SPDX-License-Identifier: MIT */
/*
 * refcounts [COUNT]: 16 MiB of objects of one page, equal in each process that runs this, but for a
 * count of references at byte 16 (at first 1), and 16 MiB of data that nobody counts. SIGUSR1 takes
 * a reference to each object and drops it, as an interpreter does that walks a list, and prints
 * "walked"; another signal ends it.
 */
#include <signal.h>
#include <sys/mman.h>

#include "victim.h"

#define PAGES 4096u
#define COUNT_WORD 2

static volatile sig_atomic_t wanted;

static void on_signal(int number)
{
	wanted = 1;
}

static __attribute__((noinline)) unsigned char *make_pages(uint64_t tag)
{
	unsigned char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int page = 0; page < PAGES; page++)
		page_write(memory + page * PAGE, tag + page);
	return memory;
}

static __attribute__((noinline)) unsigned char *make_objects(uint64_t count)
{
	unsigned char *objects = make_pages(1);

	for (unsigned int page = 0; page < PAGES; page++)
		((volatile uint64_t *)(objects + page * PAGE))[COUNT_WORD] = count;
	return objects;
}

static __attribute__((noinline)) unsigned char *make_data(void)
{
	unsigned char *data = make_pages(PAGES + 1);

	/* Not a jump: it is on the stack of the mapping. */
	data[0] ^= 1;
	return data;
}

static void walk(unsigned char *objects)
{
	for (unsigned int page = 0; page < PAGES; page++) {
		volatile uint64_t *count = (uint64_t *)(objects + page * PAGE) + COUNT_WORD;

		*count += 1;
		*count -= 1;
	}
}

int main(int argc, char **argv)
{
	unsigned char *objects;
	sigset_t set, before;

	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &before);
	objects = make_objects(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
	make_data();
	for (;;) {
		printf(wanted ? "walked\n" : "ready\n");
		fflush(stdout);
		wanted = 0;
		while (!wanted)
			sigsuspend(&before);
		walk(objects);
	}
}
