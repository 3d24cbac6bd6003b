/* SPDX-License-Identifier: MIT */
/*
 * merge_random [OPERATIONS [SEED]]: random operations on memory that is offered all the time,
 * against a shadow copy, in two processes with different seeds that merge with one another.
 * 100,000 operations in all by default.
 */
#include "merge_check.h"

#include <sys/wait.h>

#define PAGES 256u
#define CONTENTS 24u	/* few, so that most pages have twins */
#define HOLE 255	/* in the shadow: not mapped */

struct world {
	char *pages;
	char *spare;			/* as large, for moves */
	uint32_t base[PAGES];		/* content number, HOLE, or 0 for zeros */
	uint32_t changed[PAGES];	/* this word of the page is changed, 0: none */
	uint64_t state;
	long merged;
};

static uint32_t roll(struct world *world, uint32_t below)
{
	world->state ^= world->state << 13;
	world->state ^= world->state >> 7;
	world->state ^= world->state << 17;
	return (uint32_t)(world->state >> 32) % below;
}

static char *at(const struct world *world, uint32_t page)
{
	return world->pages + page * PAGE;
}

/* What the page must hold. */
static void expect(const struct world *world, uint32_t page, uint64_t *ret)
{
	if (world->base[page])
		fill(ret, world->base[page]);
	else
		memset(ret, 0, PAGE);
	if (world->changed[page])
		ret[world->changed[page]] = 12345;
}

static bool verify(const struct world *world, uint32_t from, uint32_t to)
{
	uint64_t expected[PAGE / sizeof(uint64_t)];

	for (uint32_t page = from; page < to; page++) {
		if (world->base[page] == HOLE)
			continue;
		expect(world, page, expected);
		if (memcmp(at(world, page), expected, PAGE)) {
			printf("# page %u: content %u, changed %u\n", page, world->base[page],
			       world->changed[page]);
			return false;
		}
	}
	return true;
}

static void put(struct world *world, uint32_t page)
{
	world->base[page] = roll(world, CONTENTS);
	world->changed[page] = 0;
	if (world->base[page])
		fill(at(world, page), world->base[page]);
	else
		memset(at(world, page), 0, PAGE);
}

static void change(struct world *world, uint32_t page)
{
	uint64_t expected[PAGE / sizeof(uint64_t)];

	/* One word at a time differs: the last one goes back. */
	if (world->changed[page]) {
		uint32_t word = world->changed[page];

		world->changed[page] = 0;
		expect(world, page, expected);
		((uint64_t *)at(world, page))[word] = expected[word];
	} else {
		world->changed[page] = 1 + roll(world, 4);
		((uint64_t *)at(world, page))[world->changed[page]] = 12345;
	}
}

static void map_hole(struct world *world, uint32_t from, uint32_t to)
{
	if (mmap(at(world, from), (to - from) * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	for (uint32_t page = from; page < to; page++)
		world->base[page] = world->changed[page] = 0;
}

static bool has_hole(const struct world *world, uint32_t from, uint32_t to)
{
	for (uint32_t page = from; page < to; page++)
		if (world->base[page] == HOLE)
			return true;
	return false;
}

/*
 * To the spare place and back: both ways the pages get other addresses. One by one, since a range
 * may be several mappings.
 */
static void move(struct world *world, uint32_t from, uint32_t to)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	for (uint32_t page = from; page < to; page++)
		if (mremap(at(world, page), PAGE, PAGE, flags, world->spare + page * PAGE) ==
		    MAP_FAILED)
			die("mremap");
	if (roll(world, 2))
		merge(world->spare + from * PAGE, (to - from) * PAGE);
	for (uint32_t page = from; page < to; page++)
		if (mremap(world->spare + page * PAGE, PAGE, PAGE, flags, at(world, page)) ==
		    MAP_FAILED)
			die("mremap back");
}

static bool fork_and_look(struct world *world)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		bool fine = verify(world, 0, PAGES);

		for (int i = 0; i < 20 && fine; i++) {
			uint32_t page = roll(world, PAGES);

			if (world->base[page] != HOLE)
				put(world, page);
			merge(at(world, page), PAGE);
		}
		_exit(!fine || !verify(world, 0, PAGES));
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

/* One operation on [from, to). */
static bool act(struct world *world, uint32_t from, uint32_t to)
{
	size_t bytes = (to - from) * PAGE;
	uint32_t what = roll(world, 1000);

	if (what < 350)
		return merge(at(world, from), bytes) != -EINVAL;
	if (what >= 960 && what < 975) {
		munmap(at(world, from), bytes);
		for (uint32_t page = from; page < to; page++)
			world->base[page] = HOLE;
		return true;
	}
	if (has_hole(world, from, to)) {
		map_hole(world, from, to);
		return true;
	}
	if (what < 600)
		put(world, from);
	else if (what < 800)
		change(world, from);
	else if (what < 900)
		return verify(world, from, to);
	else if (what < 910)
		madvise(at(world, from), bytes, MADV_PAGEOUT);
	else if (what < 920)
		madvise(at(world, from), bytes, MADV_COLD);
	else if (what < 930)
		madvise(at(world, from), bytes, MADV_UNMERGEABLE);
	else if (what < 940)
		return !mprotect(at(world, from), bytes, PROT_READ) &&
		       (merge(at(world, from), bytes), true) &&
		       !mprotect(at(world, from), bytes, PROT_READ | PROT_WRITE);
	else if (what < 950)
		move(world, from, to);
	else if (what < 960) {
		madvise(at(world, from), bytes, MADV_DONTNEED);
		for (uint32_t page = from; page < to; page++)
			world->base[page] = world->changed[page] = 0;
	} else if (what < 985)
		madvise(world->pages, PAGES * PAGE,
			roll(world, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	else if (what < 990)
		madvise(world->pages, PAGES * PAGE, 25 /* MADV_COLLAPSE */);
	else if (what < 993)
		return fork_and_look(world);
	return true;
}

static int live(long operations, uint64_t seed)
{
	struct world world = { .state = seed * 0x9e3779b97f4a7c15ull + 1 };
	char *area = map(4 * HUGE);

	world.pages = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	world.spare = world.pages + HUGE;
	for (long i = 0; i < operations; i++) {
		uint32_t from = roll(&world, PAGES), to = from + 1 + roll(&world, 24);

		if (!act(&world, from, to < PAGES ? to : PAGES)) {
			printf("# operation %ld of seed %lu, errno %d\n", i, seed, errno);
			return 1;
		}
		if (i % 1000 == 999 && !verify(&world, 0, PAGES)) {
			printf("# after operation %ld of seed %lu\n", i, seed);
			return 1;
		}
	}
	printf("# %ld offered, %ld merged, %ld failed\n", stat_of_self("ksm_merge_offered"),
	       stat_of_self("ksm_merge_merged"), stat_of_self("ksm_merge_failed"));
	return !verify(&world, 0, PAGES) || stat_of_self("ksm_merge_merged") < operations / 100;
}

int main(int argc, char **argv)
{
	long operations = argc > 1 ? atol(argv[1]) : 100000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	pid_t pids[2];

	setvbuf(stdout, NULL, _IOLBF, 0);
	need_merge();
	for (unsigned int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(live(operations / 2, seed * 2 + i));
	}
	for (int i = 0; i < 2; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		check(!status, "process %d: every byte after %ld operations", i, operations / 2);
	}
	return finish();
}
