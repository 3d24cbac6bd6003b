/* SPDX-License-Identifier: MIT */
/*
 * sparse [ROUNDS]: 1 TiB of reserved addresses with single pages here and there, some of which go
 * and come back. Says whether the page tables are as small as these few pages need.
 */
#include <sys/mman.h>

#include "victim.h"

#define BYTES (1ul << 40)
#define PAGES 1024u
/* Each page has tables of its own at two levels: 8 MiB, and twice that where it moved. */
#define TABLES_MAX_KB (64ul << 10)

static unsigned char *memory;
static uint64_t version[PAGES];

static unsigned char *page_at(unsigned int i)
{
	return memory + i * (BYTES / PAGES) + mix(i) % 4096 * PAGE;
}

static uint64_t tag_of(unsigned int i)
{
	/* A quarter of them is the same. */
	return version[i] ? 1 + version[i] + (i % 4 ? i : 0) * 1000 : 0;
}

static unsigned long tables_kb(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long kb = 0;
	char line[256];

	if (!status)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmPTE: %lu", &kb) == 1)
			break;
	fclose(status);
	return kb;
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 8;

	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int round = 1; round <= rounds; round++) {
		for (unsigned int i = round % 2; i < PAGES; i += 1 + round % 3) {
			version[i] = round;
			page_write(page_at(i), tag_of(i));
		}
		sleep_ms(100);
		for (unsigned int i = 0; i < PAGES; i++)
			if (!page_is(page_at(i), tag_of(i)))
				wrong("sparse", i);
		for (unsigned int i = round; i < PAGES; i += 16) {
			if (madvise(page_at(i), PAGE, MADV_DONTNEED) < 0)
				die("MADV_DONTNEED");
			version[i] = 0;
		}
	}
	printf("page tables: %s\n", tables_kb() < TABLES_MAX_KB ? "small" : "large");
	printf("verified\n");
	return 0;
}
