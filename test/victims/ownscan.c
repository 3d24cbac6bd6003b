/* SPDX-License-Identifier: MIT */
/*
 * ownscan FILE: a program that tracks its own writes, by WP_ASYNC and PAGEMAP_SCAN, in the second
 * half of each block of 2 MiB, next to calm memory in the first. Each round it writes some pages
 * and asks the kernel which they were, until FILE is there.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "victim.h"

#define BLOCK (2ul << 20)
#define BLOCKS 4u
#define HALF_PAGES (BLOCK / 2 / PAGE)
/* Newer than our headers: include/uapi/linux/fs.h and userfaultfd.h since 6.7. */
#define WP_ASYNC (1u << 15)
#define IS_WRITTEN (1u << 1)
#define WP_MATCHING (1u << 0)

struct run {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof_mask, return_mask;
};

#define SCAN _IOWR('f', 16, struct scan)

static unsigned char *memory;
static int pagemap;

static unsigned char *own(unsigned int block)
{
	return memory + block * BLOCK + BLOCK / 2;
}

/* What was written since the last call, a byte per page; from now on it counts anew. */
static void take_written(unsigned int block, unsigned char written[HALF_PAGES])
{
	static struct run runs[HALF_PAGES];
	uint64_t start = (uintptr_t)own(block);
	struct scan scan = {
		.size = sizeof(scan), .flags = WP_MATCHING, .start = start,
		.end = start + BLOCK / 2, .vec = (uintptr_t)runs, .vec_len = HALF_PAGES,
		.mask = IS_WRITTEN, .return_mask = IS_WRITTEN,
	};
	int n = ioctl(pagemap, SCAN, &scan);

	if (n < 0 || scan.walk_end != scan.end)
		die("PAGEMAP_SCAN");
	memset(written, 0, HALF_PAGES);
	for (int i = 0; i < n; i++)
		memset(written + (runs[i].start - start) / PAGE, 1,
		       (runs[i].end - runs[i].start) / PAGE);
}

static void track(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = WP_ASYNC };
	unsigned char written[HALF_PAGES];
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (uffd < 0 || pagemap < 0 || ioctl(uffd, UFFDIO_API, &api) < 0) {
		printf("no WP_ASYNC here\n");
		exit(77);
	}
	for (unsigned int block = 0; block < BLOCKS; block++) {
		struct uffdio_register half = { .range = { (uintptr_t)own(block), BLOCK / 2 },
						.mode = UFFDIO_REGISTER_MODE_WP };

		if (ioctl(uffd, UFFDIO_REGISTER, &half) < 0)
			die("UFFDIO_REGISTER");
		take_written(block, written);
	}
}

static unsigned int missed;

static void do_round(unsigned int number)
{
	unsigned char written[HALF_PAGES];

	for (unsigned int block = 0; block < BLOCKS; block++)
		for (unsigned int page = number % 3; page < HALF_PAGES; page += 3)
			own(block)[page * PAGE + 8] = (unsigned char)number;
	/* Time for somebody to take our marks away. */
	sleep_ms(7);
	for (unsigned int block = 0; block < BLOCKS; block++) {
		take_written(block, written);
		for (unsigned int page = 0; page < HALF_PAGES; page++) {
			if (written[page] == (page % 3 == number % 3))
				continue;
			if (!missed++)
				printf("round %u, block %u, page %u: %s\n", number, block, page,
				       written[page] ? "reads as written, but was not" :
				       "was written and reads as not");
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int rounds = 0;

	if (argc < 2)
		return 2;
	memory = mmap(NULL, (BLOCKS + 1) * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	memory = (unsigned char *)(((uintptr_t)memory + BLOCK - 1) & -BLOCK);
	madvise(memory, BLOCKS * BLOCK, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < BLOCKS * BLOCK / PAGE; page++)
		page_write(memory + page * PAGE, 1 + page);
	track();
	printf("ready\n");
	fflush(stdout);
	while (access(argv[1], F_OK) < 0)
		do_round(rounds++);
	printf("%s\n", missed ? "missed writes" : "verified");
	fprintf(stderr, "%u rounds, %u pages wrong\n", rounds, missed);
	return missed ? 3 : 0;
}
