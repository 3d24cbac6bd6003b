/* SPDX-License-Identifier: MIT */
/* merge_pages: what madvise(MADV_MERGE) promises of single pages and ranges. */
#include "merge_check.h"

#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define WP_UNPOPULATED (1u << 13)
#define WP_ASYNC (1u << 15)
#define IS_WRITTEN 2u
#define IS_PRESENT 8u

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, result;
};

struct scan_region {
	uint64_t start, end, categories;
};

#define SCAN _IOWR('f', 16, struct scan_arg)

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static void twins(void)
{
	char *p = map(4 * PAGE);
	long before;

	for (int i = 0; i < 3; i++)
		fill(p + i * PAGE, 1);
	fill(p + 3 * PAGE, 2);
	before = stat_of_self("ksm_merge_merged");
	check(!merge(p, PAGE), "a first page is accepted");
	check(alone(p), "it stays where it is");
	before = faults();
	*(volatile char *)p += 1;
	*(volatile char *)p -= 1;
	check(faults() == before, "its next writes cause no fault");
	before = stat_of_self("ksm_merge_merged");
	check(!merge(p + PAGE, PAGE), "its twin is accepted");
	check(same_frame(p, p + PAGE) && !alone(p), "both are one frame");
	check(stat_of_self("ksm_merge_merged") == before + 1, "ksm_stat counts the merge");
	check(!merge(p, 4 * PAGE), "a range with both, a third and another is accepted");
	check(same_frame(p, p + 2 * PAGE) && alone(p + 3 * PAGE),
	      "the third joined, the other did not");
	check(stat_of_self("ksm_merging_pages") == 3, "ksm_merging_pages is 3, not %ld",
	      stat_of_self("ksm_merging_pages"));
	before = stat_of_self("ksm_merge_offered");
	check(!merge(p, 3 * PAGE) && stat_of_self("ksm_merge_offered") == before,
	      "what is merged is no work");
	fill(p + PAGE, 3);
	check(has(p, 1) && has(p + PAGE, 3) && has(p + 2 * PAGE, 1),
	      "a write goes to one page only");
	check(alone(p + PAGE) && same_frame(p, p + 2 * PAGE), "which left the others' frame");
	munmap(p, 4 * PAGE);
}

static void changed_candidate(void)
{
	char *p = map(2 * PAGE);

	fill(p, 10);
	fill(p + PAGE, 10);
	merge(p, PAGE);
	p[100] ^= 1;
	check(!merge(p + PAGE, PAGE) && alone(p) && alone(p + PAGE),
	      "a candidate that was written is none");
	p[100] ^= 1;
	check(!merge(p, PAGE) && same_frame(p, p + PAGE), "offered again it finds the other");
	munmap(p, 2 * PAGE);
}

/* Two contents whose low 32 bits of XXH64 are equal, which is what the kernel files them under. */
static void same_checksum(void)
{
	const uint64_t contents[] = { 93900, 281568 };
	char *p = map(4 * PAGE);

	for (size_t i = 0; i < 4; i++)
		fill(p + i * PAGE, contents[i % 2]);
	check(!merge(p, 4 * PAGE) && same_frame(p, p + 2 * PAGE) &&
	      same_frame(p + PAGE, p + 3 * PAGE),
	      "candidates with one checksum do not drive each other out");
	check(has(p, contents[0]) && has(p + PAGE, contents[1]), "nor are they merged");
	munmap(p, 4 * PAGE);
}

static void zeros(void)
{
	char *p = map(2 * PAGE);
	long before = stat_of_self("ksm_zero_pages");

	memset(p, 1, 2 * PAGE);
	memset(p, 0, PAGE);
	check(!merge(p, 2 * PAGE), "a page of zeros is accepted");
	check(stat_of_self("ksm_zero_pages") == before + 1 && !alone(p), "it maps the zero page");
	p[5] = 7;
	check(p[5] == 7 && p[4] == 0 && alone(p), "and can be written");
	check(stat_of_self("ksm_zero_pages") == before, "which is counted");
	munmap(p, 2 * PAGE);
}

static void ranges(void)
{
	char *p = map(8 * PAGE), *shared, *file;
	int fd = memfd_create("merge", MFD_CLOEXEC);

	for (int i = 0; i < 8; i++)
		fill(p + i * PAGE, 20 + i % 2);
	if (fd < 0 || ftruncate(fd, 2 * PAGE))
		die("memfd");
	shared =
		mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	fill(shared, 20);
	fill(shared + PAGE, 30);
	check(merge(shared, 2 * PAGE) == -EINVAL, "a shared mapping is an error");
	check(merge(p, 8 * PAGE) == -EINVAL && same_frame(p, p + 4 * PAGE) &&
	      same_frame(p + PAGE, p + 7 * PAGE), "the rest of a range around it is merged");
	munmap(p + 2 * PAGE, 2 * PAGE);
	fill(p, 25);
	fill(p + 6 * PAGE, 25);
	check(merge(p, 8 * PAGE) == -ENOMEM && same_frame(p, p + 6 * PAGE),
	      "the rest of a range around a hole is merged");
	check(merge(p + 1, PAGE) == -EINVAL, "an address in a page is an error");
	check(!merge(p, 0), "nothing is not");

	file = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		die("mmap of a file");
	fill(file, 25);
	check(!merge(file, 2 * PAGE) && same_frame(file, p), "a copied page of a file is merged");
	check(has(file + PAGE, 30), "a page of the file itself is as it was");
	munmap(file, 2 * PAGE);
	munmap(p, 8 * PAGE);
	close(fd);
}

static int written(int pagemap, char *at, size_t bytes, bool arm)
{
	struct scan_region found[8];
	struct scan_arg arg = {
		.size = sizeof(arg), .flags = arm, .start = (uintptr_t)at,
		.end = (uintptr_t)at + bytes, .vec = (uintptr_t)found, .vec_len = 8,
		.mask = IS_WRITTEN | IS_PRESENT, .result = IS_WRITTEN,
	};
	int n = ioctl(pagemap, SCAN, &arg), pages = 0;

	for (int i = 0; i < n; i++)
		pages += (int)((found[i].end - found[i].start) / PAGE);
	return n < 0 ? n : pages;
}

static void tracked(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = WP_ASYNC | WP_UNPOPULATED };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	char *p = map(4 * PAGE);
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, 4 * PAGE }, .mode = UFFDIO_REGISTER_MODE_WP,
	};

	fill(p, 40);
	fill(p + PAGE, 40);
	fill(p + 2 * PAGE, 40);
	memset(p + 3 * PAGE, 0, PAGE);
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	check(written(pagemap, p, 4 * PAGE, true) == 4, "four pages are armed");
	check(!merge(p, 4 * PAGE) && same_frame(p, p + PAGE) && !alone(p + 3 * PAGE),
	      "armed pages are merged");
	check(written(pagemap, p, 4 * PAGE, false) == 0, "and stay armed");
	p[2 * PAGE] ^= 1;
	p[3 * PAGE] = 1;
	check(written(pagemap, p, 4 * PAGE, false) == 2, "writes to them are seen");
	check(has(p, 40) && has(p + PAGE, 40), "and change nobody else's");
	close(uffd);
	close(pagemap);
	munmap(p, 4 * PAGE);
}

static long huge_kib(const char *at)
{
	char line[512];
	long value = -1;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "r");

	while (file && fgets(line, sizeof(line), file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)at && (uintptr_t)at < end;
		else if (here && sscanf(line, "AnonHugePages: %ld", &value) == 1)
			break;
	}
	if (file)
		fclose(file);
	return value;
}

static void huge(void)
{
	char *area = map(3 * HUGE), *p = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	char *other = map(PAGE);

	madvise(p, HUGE, MADV_HUGEPAGE);
	for (size_t i = 0; i < HUGE / PAGE; i++)
		fill(p + i * PAGE, 1000 + i);
	if (huge_kib(p) != 2048) {
		printf("# no huge page to be had\n");
		return;
	}
	check(!merge(p, HUGE) && huge_kib(p) == 2048, "a huge page without twins stays whole");
	fill(other, 1100);
	check(!merge(other, PAGE) && same_frame(other, p + 100 * PAGE) && huge_kib(p) == 0,
	      "it is split for a twin");
	for (size_t i = 0; i < HUGE / PAGE; i++)
		if (!has(p + i * PAGE, 1000 + i))
			failures++;
	check(alone(p + 99 * PAGE), "its neighbours are not merged");
	munmap(area, 3 * HUGE);

	area = map(3 * HUGE);
	p = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	madvise(p, HUGE, MADV_HUGEPAGE);
	for (size_t i = 0; i < HUGE / PAGE; i++)
		fill(p + i * PAGE, 2000 + i);
	fill(p + 7 * PAGE, 2300);
	check(huge_kib(p) == 2048 && !merge(p, HUGE) && same_frame(p + 7 * PAGE, p + 300 * PAGE),
	      "twins in one huge page are merged");
	munmap(area, 3 * HUGE);
	munmap(other, PAGE);
}

/* Pin [at, at + bytes) for as long as the descriptor is open. */
static int pin(void *at, size_t bytes)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { at, bytes };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (fd < 0 || syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &iov, 1))
		die("io_uring");
	return fd;
}

static void pinned(void)
{
	char *p = map(64 * PAGE), *q = map(64 * PAGE);
	long before;
	int fd, merged = 0;

	for (size_t i = 0; i < 64; i++) {
		fill(p + i * PAGE, 3000 + i);
		fill(q + i * PAGE, 3000 + i);
	}
	merge(q, 64 * PAGE);
	fd = pin(p + 10 * PAGE, PAGE);
	before = stat_of_self("ksm_merge_failed");
	check(!merge(p, 64 * PAGE), "a range with a pinned page is accepted");
	check(alone(p + 10 * PAGE), "the pinned page is passed over");
	for (size_t i = 0; i < 64; i++)
		merged += same_frame(p + i * PAGE, q + i * PAGE);
	check(merged == 63, "the range goes on behind it: %d merged", merged);
	check(stat_of_self("ksm_merge_failed") == before + 1, "ksm_stat counts it as failed");
	close(fd);
	/* The ring goes in a worker of the kernel. */
	for (int i = 0; i < 100 && !same_frame(p + 10 * PAGE, q + 10 * PAGE); i++) {
		usleep(20000);
		merge(p + 10 * PAGE, PAGE);
	}
	check(same_frame(p + 10 * PAGE, q + 10 * PAGE), "unpinned and offered again it is merged");
	munmap(p, 64 * PAGE);
	munmap(q, 64 * PAGE);
}

static void many(void)
{
	char *p = map(700 * PAGE);
	int frames = 1, wrong = 0;

	for (size_t i = 0; i < 700; i++)
		fill(p + i * PAGE, 4000);
	merge(p, 700 * PAGE);
	merge(p, 700 * PAGE);
	for (size_t i = 1; i < 700; i++) {
		frames += !same_frame(p + i * PAGE, p + (i - 1) * PAGE);
		wrong += !has(p + i * PAGE, 4000);
	}
	check(frames <= 4 && !wrong, "700 equal pages take %d runs of frames", frames);
	check(!madvise(p, 700 * PAGE, MADV_UNMERGEABLE), "MADV_UNMERGEABLE");
	for (size_t i = 0; i < 700; i++)
		wrong += !alone(p + i * PAGE) || !has(p + i * PAGE, 4000);
	check(!wrong, "gives each its own frame again");
	munmap(p, 700 * PAGE);
}

static void sparse(void)
{
	size_t bytes = 1ul << 40;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap of 1 TiB");
	fill(p + (3ul << 30), 5000);
	fill(p + bytes - PAGE, 5000);
	check(!merge(p, bytes) && same_frame(p + (3ul << 30), p + bytes - PAGE),
	      "1 TiB of holes with two twins");
	munmap(p, bytes);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	need_merge();
	twins();
	changed_candidate();
	same_checksum();
	zeros();
	ranges();
	tracked();
	huge();
	pinned();
	many();
	sparse();
	return finish();
}
