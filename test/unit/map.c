/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include <sys/prctl.h>

#include "tracker/map.h"

static struct sksm_vma parse(const char *line)
{
	struct sksm_vma vma;

	cr_assert(sksm_map_parse_line(line, &vma), "%s", line);
	return vma;
}

#define RANGE "7f0000000000-7f0000200000 "

Test(map, fields_of_a_line)
{
	struct sksm_vma vma = parse(RANGE "rw-p 00000000 00:00 0 ");

	cr_assert_eq(vma.start, 0x7f0000000000);
	cr_assert_eq(vma.end, 0x7f0000200000);
	cr_assert(vma.readable && vma.writable && !vma.shared);
	vma = parse("1000-2000 ---s 00000000 00:01 1 /memfd:x (deleted)");
	cr_assert(!vma.readable && !vma.writable && vma.shared);
	vma = parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]");
	cr_assert_eq(vma.start, 0xffffffffff600000);
	cr_assert_not(vma.readable);
}

Test(map, kinds)
{
	static const struct { const char *rest; enum sksm_vma_kind kind; } lines[] = {
		{ "rw-p 00000000 00:00 0 ", SKSM_VMA_ANON },
		{ "rw-p 00000000 00:00 0", SKSM_VMA_ANON },
		{ "rw-p 00000000 00:00 0          [heap]", SKSM_VMA_ANON },
		{ "rw-p 00000000 00:00 0          [anon:arena of x]", SKSM_VMA_ANON },
		{ "rw-p 00000000 00:00 0          [stack]", SKSM_VMA_STACK },
		{ "r-xp 00000000 00:00 0          [vdso]", SKSM_VMA_OTHER },
		{ "r--p 00000000 00:00 0          [vvar]", SKSM_VMA_OTHER },
		{ "rw-s 00000000 00:01 1037       /memfd:name (deleted)", SKSM_VMA_MEMFD },
		{ "rw-p 00000000 00:01 1037       /memfd:a b\\012c (deleted)", SKSM_VMA_MEMFD },
		{ "rw-s 00000000 00:01 2          /dev/zero (deleted)", SKSM_VMA_MEMFD },
		{ "rw-s 00000000 00:01 32768      /SYSV00000000 (deleted)", SKSM_VMA_MEMFD },
		{ "r-xp 00001000 fe:01 123        /usr/lib/libc.so.6", SKSM_VMA_FILE },
		{ "rw-p 00000000 fe:01 123        /tmp/[heap]", SKSM_VMA_FILE },
		{ "rw-p 00000000 00:2f 99         /a file with blanks", SKSM_VMA_FILE },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[200] = RANGE;

		strcat(line, lines[i].rest);
		cr_assert_eq(parse(line).kind, lines[i].kind, "%s", line);
	}
}

/* As the kernel prints shared anonymous memory that prctl(PR_SET_VMA) named: it is shmem. */
Test(map, named_shared_memory_is_like_memfd)
{
	cr_assert_eq(parse(RANGE "rw-s 00000000 00:01 2054  [anon_shmem:name]").kind,
		     SKSM_VMA_MEMFD);
}

Test(map, no_lines)
{
	static const char *const wrong[] = {
		"", " ", "-", "1000", "1000-", "1000-2000", "1000-2000 ", "1000-2000 rw",
		"2000-1000 rw-p 00000000 00:00 0", "1000-1000 rw-p 00000000 00:00 0",
		"xyz", "Rss:   4 kB", "VmFlags: rd wr", "-2000 rw-p 00000000 00:00 0",
		"1000_2000 rw-p 00000000 00:00 0", "1000-2000 rw-p 00000000 0000 0",
	};
	struct sksm_vma vma;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_not(sksm_map_parse_line(wrong[i], &vma), "\"%s\"", wrong[i]);
}

/* The ways of reading are to ask (0) and text (1), which is all there is before 6.11. */
static int first_way(void)
{
	struct sksm_map map;
	struct sksm_vma vma;
	int more;

	cr_assert_eq(sksm_map_open(&map, &sksm_sys_kernel, false), 0);
	more = sksm_map_next(&map, &vma);
	sksm_map_close(&map);
	if (more == -ENOTTY)
		fprintf(stderr, "the kernel has no PROCMAP_QUERY: text alone\n");
	return more == -ENOTTY;
}

/* What one way of reading finds at @address. */
static bool find(bool text, const void *address, struct sksm_vma *ret, unsigned int *ret_count)
{
	uint64_t at = (uintptr_t)address, last = 0;
	struct sksm_map map;
	struct sksm_vma vma;
	bool found = false;
	int more;

	cr_assert_eq(sksm_map_open(&map, &inject_sys, text), 0);
	*ret_count = 0;
	while ((more = sksm_map_next(&map, &vma)) > 0) {
		cr_assert_geq(vma.start, last, "ascending");
		cr_assert_gt(vma.end, vma.start);
		last = vma.end;
		++*ret_count;
		if (vma.start <= at && at < vma.end) {
			*ret = vma;
			found = true;
		}
	}
	cr_assert_eq(more, 0);
	sksm_map_close(&map);
	return found;
}

static void expect(const void *address, enum sksm_vma_kind kind, bool readable, bool shared)
{
	for (int text = first_way(); text < 2; text++) {
		struct sksm_vma vma;
		unsigned int count;

		cr_assert(find(text, address, &vma, &count), "found, text %d", text);
		cr_assert_eq(vma.kind, kind, "kind %d, text %d", vma.kind, text);
		cr_assert_eq(vma.readable, readable);
		cr_assert_eq(vma.shared, shared);
		cr_assert_geq(count, unit_count_mappings() - 1);
	}
}

Test(map, this_process_by_query_and_by_text)
{
	int fd = memfd_create("a name with blanks", MFD_CLOEXEC), local = 0;
	int shared = MAP_SHARED | MAP_ANONYMOUS;

	cr_assert_eq(ftruncate(fd, PAGE), 0);
	inject_reset();
	expect(unit_map(MIB), SKSM_VMA_ANON, true, false);
	expect(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), SKSM_VMA_ANON,
	       false, false);
	expect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), SKSM_VMA_MEMFD, true, true);
	expect(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), SKSM_VMA_MEMFD, true, false);
	expect(mmap(NULL, PAGE, PROT_READ, shared, -1, 0), SKSM_VMA_MEMFD, true, true);
	expect(&local, SKSM_VMA_STACK, true, false);
	expect((void *)(uintptr_t)find, SKSM_VMA_FILE, true, false);
}

Test(map, shared_memory_that_was_named)
{
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	inject_reset();
	/* PR_SET_VMA, PR_SET_VMA_ANON_NAME */
	if (prctl(0x53564d41, 0, p, PAGE, "named"))
		unit_skip("the kernel does not name memory (CONFIG_ANON_VMA_NAME)");
	expect(p, SKSM_VMA_MEMFD, true, true);
}

Test(map, rewind_starts_again)
{
	for (int text = first_way(); text < 2; text++) {
		struct sksm_vma first, again;
		struct sksm_map map;

		inject_reset();
		cr_assert_eq(sksm_map_open(&map, &inject_sys, text), 0);
		cr_assert_eq(sksm_map_next(&map, &first), 1);
		for (int i = 0; i < 5; i++)
			cr_assert_eq(sksm_map_next(&map, &again), 1);
		cr_assert_eq(sksm_map_rewind(&map), 0);
		cr_assert_eq(sksm_map_next(&map, &again), 1);
		cr_assert_eq(first.start, again.start);
		sksm_map_close(&map);
	}
	cr_assert_eq(inject.calls[INJECT_OPENAT], inject.calls[INJECT_CLOSE]);
}

/* A name that is longer than any buffer of ours: the mapping is seen all the same. */
Test(map, very_long_paths)
{
	char dir[32], path[4096], part[201];
	unsigned int length;
	void *p;
	int fd;

	unit_make_dir(dir);
	cr_assert_eq(chdir(dir), 0);
	memset(part, 'd', 200);
	part[200] = '\0';
	for (length = 0; length < 3600; length += 201) {
		cr_assert_eq(mkdir(part, 0700), 0);
		cr_assert_eq(chdir(part), 0);
	}
	fd = open("f", O_RDWR | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, PAGE), 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	inject_reset();
	expect(p, SKSM_VMA_FILE, true, false);
	snprintf(path, sizeof(path), "rm -rf %s", dir);
	cr_assert_eq(system(path), 0);
}

Test(map, a_reading_that_fails_says_so)
{
	struct sksm_map map;
	struct sksm_vma vma;
	unsigned int fds = unit_count_fds();

	inject_arm(INJECT_OPENAT, 1, EMFILE, true);
	cr_assert_eq(sksm_map_open(&map, &inject_sys, false), -EMFILE);
	cr_assert_eq(sksm_map_open(&map, &inject_sys, true), -EMFILE);
	inject_reset();
	cr_assert_eq(sksm_map_open(&map, &inject_sys, true), 0);
	inject_arm(INJECT_READ, 1, EIO, false);
	cr_assert_eq(sksm_map_next(&map, &vma), -EIO);
	inject_arm(INJECT_OPENAT, 1, EMFILE, false);
	cr_assert_eq(sksm_map_rewind(&map), -EMFILE);
	sksm_map_close(&map);
	cr_assert_eq(unit_count_fds(), fds);
	inject_reset();
	cr_assert_eq(sksm_map_open(&map, &inject_sys, false), 0);
	inject_arm(INJECT_IOCTL, 1, EPERM, false);
	cr_assert_eq(sksm_map_next(&map, &vma), -EPERM);
	sksm_map_close(&map);
}
