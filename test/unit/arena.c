/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include <sys/wait.h>

#define RESERVED (64 * MIB)

static bool is_zero(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (p[i])
			return false;
	return true;
}

static void make_arena(struct sksm_arena *arena)
{
	inject_reset();
	unit_make_arena(arena, &inject_sys, RESERVED);
}

static void drop_arena(struct sksm_arena *arena)
{
	sksm_arena_fini(arena);
	cr_assert_eq(munmap(arena->start, RESERVED), 0);
}

Test(arena, sizes_around_each_class)
{
	struct sksm_arena arena;

	make_arena(&arena);
	for (unsigned int shift = 5; shift <= 20; shift++) {
		for (int around = -1; around <= 1; around++) {
			size_t size = ((size_t)1 << shift) + (size_t)around;
			unsigned char *p = sksm_arena_alloc(&arena, size);

			cr_assert_not_null(p);
			cr_assert_eq((uintptr_t)p % 32, 0);
			cr_assert(is_zero(p, size), "%zu", size);
			memset(p, 0xff, size);
			sksm_arena_free(&arena, p, size);
			cr_assert_eq(sksm_arena_alloc(&arena, size), p);
			cr_assert(is_zero(p, size), "reused %zu is zeroed", size);
			memset(p, 0xff, size);
		}
	}
	drop_arena(&arena);
}

Test(arena, a_freed_piece_is_used_again)
{
	struct sksm_arena arena;
	void *a, *b;

	make_arena(&arena);
	a = sksm_arena_alloc(&arena, 100);
	sksm_arena_free(&arena, a, 100);
	/* Of the same class, not of the same size. */
	b = sksm_arena_alloc(&arena, 128);
	cr_assert_eq(a, b);
	cr_assert_neq(sksm_arena_alloc(&arena, 128), b);
	sksm_arena_free(&arena, NULL, 100);
	drop_arena(&arena);
}

Test(arena, what_is_used_is_counted)
{
	struct sksm_arena arena;
	void *a, *b;

	make_arena(&arena);
	a = sksm_arena_alloc(&arena, 33);
	cr_assert_eq(arena.used_bytes, 64);
	b = sksm_arena_alloc(&arena, MIB);
	cr_assert_eq(arena.used_bytes, 64 + MIB);
	sksm_arena_free(&arena, a, 33);
	sksm_arena_free(&arena, b, MIB);
	cr_assert_eq(arena.used_bytes, 0);
	drop_arena(&arena);
}

static uint64_t rss_kib(void)
{
	return unit_read_number("/proc/self/status", "VmRSS:");
}

Test(arena, large_pieces_go_back_to_the_kernel)
{
	const size_t size = 32 * MIB;
	struct sksm_arena arena;
	uint64_t before;
	void *p;

	make_arena(&arena);
	before = rss_kib();
	p = sksm_arena_alloc(&arena, size);
	memset(p, 1, size);
	cr_assert_gt(rss_kib(), before + size / 2048);
	sksm_arena_free(&arena, p, size);
	cr_assert_lt(rss_kib(), before + size / 8192);
	drop_arena(&arena);
}

Test(arena, overlap_is_with_the_whole_reservation)
{
	struct sksm_arena arena;
	uint64_t start, end;

	make_arena(&arena);
	start = (uintptr_t)arena.start;
	end = start + RESERVED;
	cr_assert(sksm_arena_overlap(&arena, 0, UINT64_MAX));
	cr_assert(sksm_arena_overlap(&arena, start - 1, start + 1));
	cr_assert(sksm_arena_overlap(&arena, end - 1, end + 1));
	cr_assert(sksm_arena_overlap(&arena, start + MIB, start + MIB + 1));
	cr_assert_not(sksm_arena_overlap(&arena, start - PAGE, start));
	cr_assert_not(sksm_arena_overlap(&arena, end, end + PAGE));
	drop_arena(&arena);
}

Test(arena, what_is_skipped_is_not_touched)
{
	void *reservation = sksm_arena_reserve(&sksm_sys_kernel, MIB);
	struct sksm_arena arena;

	cr_assert_eq(mprotect(reservation, PAGE, PROT_READ | PROT_WRITE), 0);
	unit_fill_page(reservation, 1);
	sksm_arena_init(&arena, &sksm_sys_kernel, reservation, MIB, PAGE);
	for (;;) {
		void *p = sksm_arena_alloc(&arena, 512);

		if (!p)
			break;
		cr_assert_geq((char *)p, (char *)reservation + PAGE);
		memset(p, 0xff, 512);
	}
	sksm_arena_fini(&arena);
	cr_assert(unit_page_holds(reservation, 1));
	munmap(reservation, MIB);
}

Test(arena, fini_leaves_addresses_only)
{
	struct sksm_arena arena;
	char flags[256];
	uint64_t before;

	make_arena(&arena);
	before = rss_kib();
	for (int round = 0; round < 3; round++) {
		for (size_t size = 1; size < 8 * MIB; size = size * 3 / 2 + 1) {
			unsigned char *p = sksm_arena_alloc(&arena, size);

			cr_assert(p && is_zero(p, size), "round %d, %zu bytes", round, size);
			memset(p, 0xff, size);
		}
		sksm_arena_fini(&arena);
		cr_assert_eq(arena.used_bytes, 0);
		cr_assert_lt(rss_kib(), before + 2048);
		unit_vm_flags(arena.first, flags);
		cr_assert_null(strstr(flags, " rd"), "no access:%s", flags);
	}
	drop_arena(&arena);
}

/* A program that called mlockall(MCL_FUTURE) locks our memory too: MADV_DONTNEED then fails. */
Test(arena, memory_is_zeroed_after_fini_that_could_not_give_it_back)
{
	struct sksm_arena arena;

	make_arena(&arena);
	memset(sksm_arena_alloc(&arena, 4096), 0xff, 4096);
	inject_arm(INJECT_MADVISE, 1, EINVAL, true);
	sksm_arena_fini(&arena);
	inject_reset();
	cr_assert(is_zero(sksm_arena_alloc(&arena, 4096), 4096));
	drop_arena(&arena);
}

Test(arena, memory_is_zeroed_after_free_that_could_not_give_it_back)
{
	struct sksm_arena arena;
	void *p;

	make_arena(&arena);
	p = sksm_arena_alloc(&arena, MIB);
	memset(p, 0xff, MIB);
	inject_arm(INJECT_MADVISE, 1, EINVAL, true);
	sksm_arena_free(&arena, p, MIB);
	cr_assert_eq(sksm_arena_alloc(&arena, MIB), p);
	cr_assert(is_zero(p, MIB));
	drop_arena(&arena);
}

Test(arena, wiped_in_children_and_not_in_core_dumps)
{
	struct sksm_arena arena;
	char flags[256];
	int status;
	char *p;
	pid_t pid;

	make_arena(&arena);
	p = sksm_arena_alloc(&arena, 100);
	p[0] = 1;
	unit_vm_flags(p, flags);
	cr_assert_not_null(strstr(flags, " wf"), "WIPEONFORK:%s", flags);
	cr_assert_not_null(strstr(flags, " dd"), "DONTDUMP:%s", flags);
	pid = fork();
	if (pid == 0)
		_exit(p[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(p[0], 1);
	drop_arena(&arena);
}

Test(arena, reserving_fails)
{
	unsigned int mappings;

	unit_count_mappings();
	mappings = unit_count_mappings();
	inject_arm(INJECT_MMAP, 1, ENOMEM, false);
	cr_assert_null(sksm_arena_reserve(&inject_sys, MIB));
	/* Without MADV_WIPEONFORK a child would go on with its parent's state. */
	inject_arm(INJECT_MADVISE, 1, EINVAL, false);
	cr_assert_null(sksm_arena_reserve(&inject_sys, MIB));
	cr_assert_eq(unit_count_mappings(), mappings);
	for (unsigned int nth = 2; nth <= 3; nth++) {
		void *p;

		inject_arm(INJECT_MADVISE, nth, EINVAL, false);
		p = sksm_arena_reserve(&inject_sys, MIB);
		cr_assert_not_null(p);
		munmap(p, MIB);
	}
}

Test(arena, out_of_memory)
{
	struct sksm_arena arena;
	void *p;

	make_arena(&arena);
	inject_arm(INJECT_MPROTECT, 1, ENOMEM, true);
	cr_assert_null(sksm_arena_alloc(&arena, 32));
	cr_assert_null(sksm_arena_alloc(&arena, MIB));
	cr_assert_eq(arena.used_bytes, 0);
	inject_reset();
	p = sksm_arena_alloc(&arena, 32);
	cr_assert_not_null(p);
	/* What was handed out already stays usable, and what was freed can be had again. */
	inject_arm(INJECT_MPROTECT, 1, EPERM, true);
	sksm_arena_free(&arena, p, 32);
	cr_assert_eq(sksm_arena_alloc(&arena, 32), p);
	for (int i = 0; i < 10000; i++)
		if (!sksm_arena_alloc(&arena, 64))
			break;
	cr_assert_null(sksm_arena_alloc(&arena, 64));
	cr_assert_null(sksm_arena_alloc(&arena, 65536));
	inject_reset();
	cr_assert_not_null(sksm_arena_alloc(&arena, 64));
	drop_arena(&arena);
}

Test(arena, the_reservation_ends)
{
	struct sksm_arena arena;
	uint64_t used;

	make_arena(&arena);
	cr_assert_null(sksm_arena_alloc(&arena, RESERVED + 1));
	cr_assert_null(sksm_arena_alloc(&arena, SIZE_MAX));
	cr_assert_null(sksm_arena_alloc(&arena, SIZE_MAX / 2));
	while (sksm_arena_alloc(&arena, MIB))
		;
	used = arena.used_bytes;
	cr_assert_gt(used, RESERVED - 2 * MIB);
	cr_assert_leq(used, RESERVED);
	cr_assert_null(sksm_arena_alloc(&arena, MIB));
	cr_assert_eq(arena.used_bytes, used);
	drop_arena(&arena);
}

/* Pieces never overlap: each holds its own number for as long as it lives. */
Test(arena, random_use)
{
	enum { PIECES = 200 };
	struct { uint64_t *p; size_t size; uint64_t mark; } piece[PIECES] = { 0 };
	struct sksm_arena arena;
	uint64_t seed = 3;

	make_arena(&arena);
	for (uint64_t round = 1; round < 20000; round++) {
		unsigned int i = unit_random(&seed) % PIECES;
		size_t size = 8 + unit_random(&seed) % (1u << unit_random(&seed) % 18);

		if (piece[i].p) {
			for (size_t w = 0; w < piece[i].size / 8; w++)
				cr_assert_eq(piece[i].p[w], piece[i].mark);
			sksm_arena_free(&arena, piece[i].p, piece[i].size);
			piece[i].p = NULL;
			continue;
		}
		piece[i].p = sksm_arena_alloc(&arena, size);
		piece[i].size = size;
		piece[i].mark = round;
		cr_assert(piece[i].p && is_zero((unsigned char *)piece[i].p, size));
		for (size_t w = 0; w < size / 8; w++)
			piece[i].p[w] = round;
	}
	drop_arena(&arena);
}
