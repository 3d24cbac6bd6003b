/* SPDX-License-Identifier: MIT */
/* What memory is known by, over a made-up map. */
#include "unit.h"

#include "tracker/mapping.h"

static struct sksm_sites *sites;
static struct sksm_arena arena;
static struct sksm_mappings mappings;
static struct sksm_ranges watched;

static void setup(void)
{
	unit_make_arena(&arena, &sksm_sys_kernel, 64 * MIB);
	sites = mmap(NULL, sizeof(*sites), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	mappings = (struct sksm_mappings){ .arena = &arena, .sites = sites };
	watched.count = 0;
	sksm_mappings_begin(&mappings);
}

static void teardown(void)
{
	sksm_mappings_free(&mappings);
	sksm_ranges_free(&watched, &arena);
	munmap(sites, sizeof(*sites));
	sksm_arena_fini(&arena);
}

TestSuite(mapping, .init = setup, .fini = teardown);

/* Addresses in MiB. What can be read is watched. */
static void see(uint64_t start, uint64_t end, const char *perms, enum sksm_vma_kind kind,
		const char *name)
{
	struct sksm_vma vma = {
		.start = start * MIB, .end = end * MIB, .kind = kind, .name = name,
		.readable = perms[0] == 'r', .writable = perms[1] == 'w',
	};

	sksm_mappings_see(&mappings, &vma, vma.readable);
	if (vma.readable)
		sksm_ranges_append(&watched, &arena, vma.start, vma.end);
}

static void anon(uint64_t start, uint64_t end, const char *perms)
{
	see(start, end, perms, SKSM_VMA_ANON, "");
}

/* "1-3:heap:[heap] 4-5:site7": MiB, what it is known by, its name. */
static void expect(const char *expected)
{
	static const char *const names[SKSM_OWNERS] = {
		"unknown", "site", "heap", "arena", "stack", "library", "file", "memfd",
	};
	char text[2048] = "";

	sksm_mappings_end(&mappings, &watched);
	for (unsigned int i = 0; i < mappings.count; i++) {
		const struct sksm_mapping *mapping = &mappings.list[i];
		char *to = text + strlen(text);

		to += sprintf(to, "%s%lu-%lu:%s", i ? " " : "",
			      (unsigned long)(mapping->start / MIB),
			      (unsigned long)(mapping->end / MIB), names[mapping->owner]);
		if (mapping->stack)
			to += sprintf(to, "%lu", (unsigned long)mapping->stack);
		if (mapping->name)
			sprintf(to, ":%s", mappings.names + mapping->name);
	}
	cr_assert_str_eq(text, expected);
}

static void note(uint64_t start, uint64_t end, uint64_t stack)
{
	sksm_site_note(sites, 1, sksm_site_ticket(sites), start * MIB, end * MIB, stack);
}

Test(mapping, by_name)
{
	see(1, 3, "rw", SKSM_VMA_ANON, "[heap]");
	see(10, 12, "rw", SKSM_VMA_ANON, "[anon:buffer]");
	see(12, 14, "rw", SKSM_VMA_MEMFD, "/memfd:x (deleted)");
	see(14, 15, "rw", SKSM_VMA_FILE, "/data");
	see(20, 21, "rw", SKSM_VMA_FILE, "/lib/libx.so.1");
	expect("1-3:heap:[heap] 10-12:unknown:[anon:buffer] 12-14:memfd:/memfd:x (deleted) "
	       "14-15:file:/data 20-21:library:/lib/libx.so.1");
}

Test(mapping, the_bss_of_a_library)
{
	see(20, 21, "r-", SKSM_VMA_FILE, "/lib/libx.so.1");
	see(21, 22, "rw", SKSM_VMA_FILE, "/lib/libx.so.1");
	anon(22, 30, "rw");
	anon(40, 41, "rw");
	expect("20-30:library:/lib/libx.so.1 40-41:unknown");
}

Test(mapping, arenas_of_malloc)
{
	/* A part of it in use, all of it, one that only looks like it. */
	anon(64, 66, "rw");
	anon(66, 128, "--");
	anon(128, 192, "rw");
	anon(256, 258, "rw");
	anon(258, 300, "--");
	see(320, 321, "rw", SKSM_VMA_ANON, "[anon: glibc: malloc arena]");
	expect("64-66:arena 128-192:arena 256-258:unknown "
	       "320-321:arena:[anon: glibc: malloc arena]");
}

Test(mapping, a_stack_above_its_guard)
{
	anon(1, 2, "--");
	anon(2, 10, "rw");
	/* Too large to be a guard. */
	anon(20, 40, "--");
	anon(40, 41, "rw");
	expect("2-10:stack 40-41:unknown");
}

Test(mapping, alike_and_touching_is_one)
{
	anon(1, 2, "rw");
	anon(2, 3, "rw");
	anon(3, 4, "rw");
	expect("1-4:unknown");
}

Test(mapping, cut_where_a_site_begins)
{
	note(2, 4, 7);
	note(4, 5, 8);
	note(100, 200, 9);
	sksm_mappings_begin(&mappings);
	anon(1, 6, "rw");
	anon(150, 160, "rw");
	expect("1-2:unknown 2-4:site7 4-5:site8 5-6:unknown 150-160:site9");
}

Test(mapping, what_is_gone_is_forgotten)
{
	unsigned int count;

	note(2, 4, 7);
	sksm_mappings_begin(&mappings);
	anon(1, 3, "rw");
	expect("1-2:unknown 2-3:site7");
	sksm_site_ranges(sites, &count);
	cr_assert_eq(count, 1);
	cr_assert_eq(sites->ranges[sites->current][0].end, 3 * MIB);
}

Test(mapping, what_is_not_watched_is_no_mapping)
{
	note(1, 9, 7);
	sksm_mappings_begin(&mappings);
	anon(1, 9, "rw");
	watched.count = 0;
	sksm_ranges_append(&watched, &arena, 2 * MIB, 3 * MIB);
	expect("2-3:site7");
}

/* Writes count where they were, and for what is gone as well. */
Test(mapping, writes_are_counted)
{
	note(1, 2, 100);
	sksm_mappings_begin(&mappings);
	anon(1, 3, "rw");
	expect("1-2:site100 2-3:unknown");
	sksm_mappings_note_write(&mappings, 1 * MIB, true, 250);
	sksm_mappings_note_write(&mappings, 1 * MIB + 4096, false, 70);
	sksm_mappings_note_write(&mappings, 2 * MIB, false, 70);
	sksm_mappings_note_write(&mappings, 9 * MIB, true, 1000);
	cr_assert_eq(sksm_site_get(sites, 100)->writes, 2);
	cr_assert_eq(sksm_site_get(sites, 100)->breaks, 1);
	cr_assert_eq(sites->writes[SKSM_OWNER_UNKNOWN], 2);
	cr_assert_eq(sites->breaks[SKSM_OWNER_UNKNOWN], 1);
	cr_assert_eq(sksm_site_get(sites, 100)->lived_ms, 250);
	cr_assert_eq(sites->lived_ms[SKSM_OWNER_UNKNOWN], 1000);
	/* The next pass goes on counting. */
	sksm_mappings_begin(&mappings);
	watched.count = 0;
	anon(1, 3, "rw");
	expect("1-2:site100 2-3:unknown");
	cr_assert_eq(mappings.list[0].tally[SKSM_TALLY_WRITES], 2);
	cr_assert_eq(mappings.list[0].tally[SKSM_TALLY_BREAKS], 1);
	cr_assert_eq(mappings.list[0].tally[SKSM_TALLY_LIVED_MS], 250);
}

Test(mapping, more_than_is_kept)
{
	for (unsigned int i = 0; i < SKSM_MAPPINGS_MAX + 100; i++)
		anon(1 + 2 * i, 2 + 2 * i, "rw");
	sksm_mappings_end(&mappings, &watched);
	cr_assert_eq(mappings.count, SKSM_MAPPINGS_MAX);
	cr_assert_eq(mappings.list[mappings.count - 1].end,
		     (2 + 2 * (SKSM_MAPPINGS_MAX + 99)) * MIB);
}

Test(mapping, found_by_address)
{
	anon(1, 2, "rw");
	anon(5, 7, "rw");
	expect("1-2:unknown 5-7:unknown");
	cr_assert_null(sksm_mappings_find(&mappings, MIB - 1));
	cr_assert_eq(sksm_mappings_find(&mappings, MIB), &mappings.list[0]);
	cr_assert_null(sksm_mappings_find(&mappings, 2 * MIB));
	cr_assert_eq(sksm_mappings_find(&mappings, 7 * MIB - 1), &mappings.list[1]);
	cr_assert_null(sksm_mappings_find(&mappings, 7 * MIB));
}
