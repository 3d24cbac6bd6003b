/* SPDX-License-Identifier: MIT */
/* Regions over a made-up map: text that the tests write, and a userfaultfd that they answer for. */
#include "inject.h"
#include "unit.h"

#include "tracker/region.h"

#define MAP_FD 1000
#define UFFD 1001
#define NOTES 64

static char map_text[8192];
static size_t map_read;
static int map_error;
static struct sksm_range registered[NOTES], gone[NOTES];
static unsigned int registered_count, gone_count;
static struct { uint64_t start, end; int error; } refusing;

static int fake_openat(int dir_fd, const char *path, int flags, unsigned int mode)
{
	map_read = 0;
	return MAP_FD;
}

static int fake_close(int fd)
{
	return 0;
}

static ssize_t fake_read(int fd, void *buf, size_t size)
{
	size_t rest = strlen(map_text) - map_read;

	if (map_error)
		return -map_error;
	/* Odd portions, so that lines are cut. */
	if (size > 37)
		size = 37;
	if (size > rest)
		size = rest;
	memcpy(buf, map_text + map_read, size);
	map_read += size;
	return (ssize_t)size;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_register *reg = arg;
	uint64_t start = reg->range.start, end = start + reg->range.len;

	cr_assert_eq(fd, UFFD);
	cr_assert_eq(request, UFFDIO_REGISTER);
	cr_assert_eq(reg->mode, UFFDIO_REGISTER_MODE_WP);
	if (refusing.error && start < refusing.end && end > refusing.start)
		return -refusing.error;
	cr_assert_lt(registered_count, NOTES);
	registered[registered_count++] = (struct sksm_range){ start, end };
	return 0;
}

static struct sksm_sys fake_sys;
static struct sksm_options options;
static struct sksm_arena arena;
static struct sksm_regions regions;

static void note_gone(void *arg, uint64_t start, uint64_t end)
{
	cr_assert_lt(gone_count, NOTES);
	gone[gone_count++] = (struct sksm_range){ start, end };
}

static void setup(void)
{
	fake_sys = sksm_sys_kernel;
	fake_sys.openat = fake_openat;
	fake_sys.close = fake_close;
	fake_sys.read = fake_read;
	fake_sys.ioctl = fake_ioctl;
	options = (struct sksm_options){
		.track = SKSM_TRACK_ANON | SKSM_TRACK_MEMFD,
		.threshold_bytes = 0x100000,
	};
	unit_make_arena(&arena, &fake_sys, 16 * MIB);
	cr_assert_eq(sksm_regions_open(&regions, &fake_sys, &arena, &options, true), 0);
}

static void teardown(void)
{
	sksm_regions_close(&regions);
	sksm_arena_fini(&arena);
}

TestSuite(region, .init = setup, .fini = teardown);

#define ANON " 00000000 00:00 0 \n"
#define MEMFD " 00000000 00:01 5 /memfd:x (deleted)\n"
#define LIBRARY " 00000000 fe:01 5 /lib/x.so\n"

static int refresh(const char *text)
{
	strcpy(map_text, text);
	registered_count = gone_count = 0;
	return sksm_regions_refresh(&regions, UFFD, note_gone, NULL);
}

/* "start-end start-end" in hexadecimal, in units of 64 KiB. */
static void expect_ranges(const char *what, const struct sksm_range *list, unsigned int count,
			  const char *expected)
{
	char text[512] = "";

	for (unsigned int i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%lx-%lx",
			 i ? " " : "", (unsigned long)(list[i].start >> 16),
			 (unsigned long)(list[i].end >> 16));
	cr_assert_str_eq(text, expected, "%s: \"%s\", expected \"%s\"", what, text, expected);
}

static void expect_watched(const char *expected)
{
	expect_ranges("watched", regions.watched.list, regions.watched.count, expected);
}

Test(region, threshold_edges)
{
	cr_assert_eq(refresh("10000000-100ff000 rw-p" ANON	/* a page short */
			     "20000000-20100000 rw-p" ANON	/* just large enough */
			     "30000000-30200000 rw-p" ANON), 0);
	expect_watched("2000-2010 3000-3020");
	expect_ranges("registered", registered, registered_count, "2000-2010 3000-3020");
	cr_assert_eq(regions.tracked_bytes, 0x300000);
	cr_assert_eq(regions.mappings, 3);
}

/* Our own marks cut mappings that the program sees as one. */
Test(region, neighbours_count_as_one)
{
	cr_assert_eq(refresh("10000000-10080000 rw-p" ANON
			     "10080000-10100000 r--p" ANON
			     "20000000-20080000 rw-p" ANON
			     "20080000-20100000 rw-p" MEMFD
			     "30000000-30080000 rw-p" ANON
			     "30081000-30101000 rw-p" ANON
			     "40000000-40080000 rw-p" MEMFD
			     "40080000-40100000 rw-s" MEMFD), 0);
	expect_watched("1000-1010");
}

Test(region, kinds)
{
	static const char text[] =
		"10000000-10200000 rw-p" ANON
		"11000000-11200000 rw-p" MEMFD
		"12000000-12200000 rw-s" MEMFD
		"13000000-13200000 rw-p" LIBRARY
		"14000000-14200000 r--p" LIBRARY
		"15000000-15200000 ---p" ANON
		"16000000-16200000 rw-p 00000000 00:00 0 [stack]\n"
		"17000000-17200000 r--p 00000000 00:00 0 [vvar]\n"
		"18000000-18200000 r--p" ANON;

	cr_assert_eq(refresh(text), 0);
	expect_watched("1000-1020 1100-1120 1800-1820");
	expect_ranges("shared", regions.shared.list, regions.shared.count, "1200-1220");
	options.track = SKSM_TRACK_FILE;
	cr_assert_eq(refresh(text), 0);
	expect_watched("1300-1320");
	expect_ranges("gone", gone, gone_count, "1000-1020 1100-1120 1800-1820");
	cr_assert_eq(regions.shared.count, 0);
}

Test(region, stacks_of_threads_have_a_guard_below)
{
	cr_assert_eq(refresh("0ffff000-10000000 ---p" ANON
			     "10000000-10800000 rw-p" ANON	/* guard of a page */
			     "1fffc000-20000000 ---p" ANON
			     "20000000-20800000 rw-p" ANON	/* of 16 KiB */
			     "2fffb000-30000000 ---p" ANON
			     "30000000-30800000 rw-p" ANON	/* too large for a guard */
			     "3fffe000-3ffff000 ---p" ANON
			     "40000000-40800000 rw-p" ANON	/* not touching */
			     "4ffff000-50000000 r--p" ANON
			     "50000000-50800000 rw-p" ANON), 0);
	expect_watched("3000-3080 4000-4080 4fff-5080");
}

Test(region, eligible_alone)
{
	struct sksm_vma none = { 0 };
	struct sksm_vma vma = { .start = 0x10000, .end = 0x20000, .kind = SKSM_VMA_ANON,
				.readable = true };
	struct sksm_vma guard = { .start = 0xf000, .end = 0x10000, .kind = SKSM_VMA_ANON };

	/* Size is judged when neighbours were joined. */
	cr_assert(sksm_region_eligible(&options, &vma, &none));
	cr_assert_not(sksm_region_eligible(&options, &vma, &guard));
	vma.kind = SKSM_VMA_MEMFD;
	cr_assert(sksm_region_eligible(&options, &vma, &guard));
	vma.readable = false;
	cr_assert_not(sksm_region_eligible(&options, &vma, &none));
	/* At the very bottom: nothing lies below. */
	vma = (struct sksm_vma){ .start = 0, .end = 0x10000, .kind = SKSM_VMA_ANON,
				 .readable = true };
	cr_assert(sksm_region_eligible(&options, &vma, &none));
}

Test(region, only_what_changed_is_registered_and_told)
{
	cr_assert_eq(refresh("10000000-10400000 rw-p" ANON), 0);
	cr_assert_eq(refresh("10000000-10400000 rw-p" ANON), 0);
	cr_assert_eq(registered_count + gone_count, 0);
	/* Grown at both ends, a hole in the middle. */
	cr_assert_eq(refresh("0ff00000-10100000 rw-p" ANON "10200000-10500000 rw-p" ANON), 0);
	expect_watched("ff0-1010 1020-1050");
	expect_ranges("registered", registered, registered_count, "ff0-1000 1040-1050");
	expect_ranges("gone", gone, gone_count, "1010-1020");
	cr_assert_eq(refresh(""), 0);
	expect_watched("");
	expect_ranges("gone", gone, gone_count, "ff0-1010 1020-1050");
	cr_assert_eq(regions.tracked_bytes, 0);
}

Test(region, what_is_refused_does_not_keep_out_its_neighbours)
{
	static const char text[] = "10000000-10100000 rw-p" ANON "10100000-10200000 rw-p" ANON
				   "10200000-10300000 rw-p" ANON;

	refusing.start = 0x10100000;
	refusing.end = 0x10200000;
	refusing.error = EBUSY;
	cr_assert_eq(refresh(text), 0);
	expect_ranges("registered", registered, registered_count, "1000-1010 1020-1030");
	expect_ranges("refused", regions.refused.list, regions.refused.count, "1010-1020");
	/* It is not watched, not even until the next refresh. */
	expect_watched("1000-1010 1020-1030");
	cr_assert_eq(refresh(text), 0);
	expect_watched("1000-1010 1020-1030");
	cr_assert_eq(gone_count, 0);
	cr_assert_eq(registered_count, 0);
	/* Whoever held it lets go: it is tried again after a while. */
	refusing.error = 0;
	for (int i = 0; i < 200 && regions.watched.count != 1; i++)
		cr_assert_eq(refresh(text), 0);
	expect_watched("1000-1030");
	cr_assert_eq(regions.refused.count, 0);
}

Test(region, reregister)
{
	static const char text[] = "10000000-10400000 rw-p" ANON;

	cr_assert_eq(refresh(text), 0);
	registered_count = 0;
	cr_assert_eq(sksm_regions_reregister(&regions, UFFD, 0x10100000, 0x10200000), 0);
	expect_ranges("registered", registered, registered_count, "1010-1020");
	refusing.start = 0x10100000;
	refusing.end = 0x10200000;
	/* Short of memory: not the range's fault. */
	refusing.error = ENOMEM;
	cr_assert_eq(sksm_regions_reregister(&regions, UFFD, 0x10100000, 0x10200000), -ENOMEM);
	cr_assert_eq(regions.refused.count, 0);
	refusing.error = EBUSY;
	cr_assert_eq(sksm_regions_reregister(&regions, UFFD, 0x10100000, 0x10200000), -EBUSY);
	cr_assert_eq(refresh(text), 0);
	expect_watched("1000-1010 1020-1040");
	expect_ranges("gone", gone, gone_count, "1010-1020");
}

Test(region, a_map_that_cannot_be_read_changes_nothing)
{
	cr_assert_eq(refresh("10000000-10400000 rw-p" ANON), 0);
	map_error = EIO;
	cr_assert_eq(refresh("20000000-20400000 rw-p" ANON), -EIO);
	map_error = 0;
	expect_watched("1000-1040");
	cr_assert_eq(registered_count + gone_count, 0);
	cr_assert_eq(regions.tracked_bytes, 0x400000);
}

static int no_memory(void *addr, size_t size, int prot)
{
	return -ENOMEM;
}

Test(region, without_memory_nothing_changes)
{
	char text[8192] = "";

	cr_assert_eq(refresh("10000000-10400000 rw-p" ANON), 0);
	for (unsigned int i = 0; i < 150; i++)
		sprintf(text + strlen(text), "%x-%x rw-p" ANON, 0x20000000 + i * 0x200000,
			0x20100000 + i * 0x200000);
	/* What is left of what the arena opened is not enough for lists of that length. */
	while (arena.usable - arena.next >= 512)
		cr_assert_not_null(sksm_arena_alloc(&arena, 512));
	fake_sys.mprotect = no_memory;
	cr_assert_eq(refresh(text), -ENOMEM);
	expect_watched("1000-1040");
	cr_assert_eq(registered_count + gone_count, 0);
	fake_sys.mprotect = sksm_sys_kernel.mprotect;
}

Test(region, our_own_memory_is_left_out)
{
	uint64_t start = (uintptr_t)arena.start, end = (uintptr_t)arena.end;
	char text[512];

	/* What was opened of it, the rest, and the program's right beside. */
	snprintf(text, sizeof(text), "%lx-%lx rw-p" ANON "%lx-%lx rw-p" ANON "%lx-%lx rw-p" ANON
		 "%lx-%lx rw-p" ANON, (unsigned long)start - 0x200000, (unsigned long)start,
		 (unsigned long)start, (unsigned long)start + 0x200000,
		 (unsigned long)start + 0x200000, (unsigned long)end, (unsigned long)end,
		 (unsigned long)end + 0x200000);
	cr_assert_eq(refresh(text), 0);
	cr_assert_not(sksm_ranges_overlap(&regions.watched, start, end));
	cr_assert_eq(regions.watched.count, 2);
	cr_assert_eq(regions.watched.list[0].end, start);
	cr_assert_eq(regions.watched.list[1].start, end);
	cr_assert_eq(regions.tracked_bytes, 0x400000);
}

Test(region, overlap_of_ranges)
{
	struct sksm_ranges ranges = { 0 };

	cr_assert_not(sksm_ranges_overlap(&ranges, 0, UINT64_MAX));
	for (uint64_t i = 1; i <= 40; i++)
		cr_assert(sksm_ranges_append(&ranges, &arena, i * 100, i * 100 + 50));
	cr_assert_eq(ranges.count, 40);
	for (uint64_t i = 1; i <= 40; i++) {
		cr_assert(sksm_ranges_overlap(&ranges, i * 100, i * 100 + 1));
		cr_assert(sksm_ranges_overlap(&ranges, i * 100 + 49, i * 100 + 50));
		cr_assert(sksm_ranges_overlap(&ranges, i * 100 - 1, i * 100 + 200));
		cr_assert_not(sksm_ranges_overlap(&ranges, i * 100 + 50, i * 100 + 100));
	}
	cr_assert(sksm_ranges_append(&ranges, &arena, 4050, 4070));
	cr_assert_eq(ranges.count, 40, "joined where they touch");
	sksm_ranges_free(&ranges, &arena);
	cr_assert_eq(ranges.count, 0);
}
