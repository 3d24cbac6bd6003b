/* SPDX-License-Identifier: MIT */
/*
 * A library for dlopen: with a large data section, with large zeroed data, and a function that maps
 * and waits by the definitions that its own scope has (RTLD_DEEPBIND: libc's, not the hooks).
 */
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "../victims/victim.h"

#define DATA_PAGES 1024ul
#define ZEROED_PAGES 2048ul

void guest_fill(uint64_t seed);
bool guest_check(uint64_t seed);
bool guest_work(unsigned int ms);

/* Not zero, so that all of it is in the file. */
static unsigned char data[DATA_PAGES * PAGE] __attribute__((aligned(4096))) = { 1, 2, 3 };
static unsigned char zeroed[ZEROED_PAGES * PAGE] __attribute__((aligned(4096)));

void guest_fill(uint64_t seed)
{
	for (size_t page = 0; page < DATA_PAGES; page++)
		page_write(data + page * PAGE, seed + page % 16);
	for (size_t page = 0; page < ZEROED_PAGES; page++)
		page_write(zeroed + page * PAGE, seed + page % 16);
}

bool guest_check(uint64_t seed)
{
	for (size_t page = 0; page < DATA_PAGES; page++)
		if (!page_is(data + page * PAGE, seed + page % 16))
			return false;
	for (size_t page = 0; page < ZEROED_PAGES; page++)
		if (!page_is(zeroed + page * PAGE, seed + page % 16))
			return false;
	return true;
}

bool guest_work(unsigned int ms)
{
	size_t bytes = 8 << 20;
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0), *moved;
	bool good = true;

	if (p == MAP_FAILED)
		return false;
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(p + i, 1 + i % 16);
	sleep_ms(ms);
	setfsuid(geteuid());
	prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; i < bytes; i += PAGE)
		good = good && page_is(p + i, 1 + i % 16);
	/* One page: it lies in one mapping, whatever was done to parts of the memory. */
	moved = mremap(p + bytes / 2, PAGE, PAGE, MREMAP_MAYMOVE);
	good = good && moved != MAP_FAILED;
	good = good && munmap(p, bytes) == 0;
	return good;
}
