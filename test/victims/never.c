/* SPDX-License-Identifier: MIT */
/*
 * never MODE: 32 MiB of contents that repeat, and among them memory of the same contents that was
 * marked as nobody else's business before anything was written to it. Says "ready" and stays.
 *
 *	some	single pages and small ranges of each kind, in the middle of what may be merged
 *	lockall	mlockall(MCL_FUTURE) before any of it is mapped
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "victim.h"

#define PAGES 8192ul
#define CONTENTS 64u
#define BLOCK_PAGES 512ul
#define SECRET_PAGES 16ul
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447	/* since 5.14 */
#endif

static unsigned char *map(size_t pages, int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	unsigned char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void fill(unsigned char *at, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		page_write(at + page * PAGE, 1 + page % CONTENTS);
}

static void verify(const unsigned char *at, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		if (!page_is(at + page * PAGE, 1 + page % CONTENTS))
			wrong("never", page);
}

/* One page, a few, and a whole block of each kind. */
static void mark(unsigned char *memory)
{
	static const size_t lengths[] = { 1, 3, 40, BLOCK_PAGES };
	unsigned char *at = memory + BLOCK_PAGES * PAGE + 7 * PAGE;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t bytes = lengths[i] * PAGE;

		if (mlock(at, bytes))
			die("mlock");
		at += bytes + PAGE;
		if (mlock2(at, bytes, MLOCK_ONFAULT))
			die("mlock2");
		at += bytes + PAGE;
		if (madvise(at, bytes, MADV_DONTDUMP))
			die("MADV_DONTDUMP");
		at += bytes + PAGE;
		if (madvise(at, bytes, MADV_WIPEONFORK))
			die("MADV_WIPEONFORK");
		at += bytes + BLOCK_PAGES * PAGE;
	}
}

static unsigned char *map_secret(void)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);

	if (fd < 0 || ftruncate(fd, SECRET_PAGES * PAGE)) {
		printf("no memfd_secret: %s\n", strerror(errno));
		return NULL;
	}
	return map(SECRET_PAGES, fd);
}

int main(int argc, char **argv)
{
	bool all = argc > 1 && !strcmp(argv[1], "lockall");
	unsigned char *memory, *secret;

	if (all && mlockall(MCL_FUTURE))
		die("mlockall");
	memory = map(PAGES, -1);
	secret = map_secret();
	if (!all)
		mark(memory);
	fill(memory, PAGES);
	if (secret)
		fill(secret, SECRET_PAGES);
	for (;;) {
		printf("ready\n");
		fflush(stdout);
		sleep_ms(500);
		verify(memory, PAGES);
		if (secret)
			verify(secret, SECRET_PAGES);
	}
}
