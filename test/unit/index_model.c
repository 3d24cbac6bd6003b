/* SPDX-License-Identifier: MIT */
/* The index against a model: what each member has published, kept in a plain table. */
#include "inject.h"
#include "unit.h"

#include "tracker/index.h"

#define MEMBERS 3
#define CONTENTS 300

static char dir[32];
static int dir_fd;
static struct sksm_arena arena;
static struct sksm_index member[MEMBERS];
static unsigned int pages[MEMBERS][CONTENTS];

static void setup(void)
{
	inject_reset();
	unit_make_dir(dir);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
	for (int i = 0; i < MEMBERS; i++)
		cr_assert_eq(sksm_index_open(&member[i], &inject_sys, &arena, dir_fd, 2000), 0);
	for (int i = 0; i < MEMBERS; i++)
		cr_assert_geq(sksm_index_beat(&member[i]), 0);
}

static void teardown(void)
{
	for (int i = 0; i < MEMBERS; i++)
		sksm_index_close(&member[i]);
	sksm_arena_fini(&arena);
	close(dir_fd);
	unit_remove_dir(dir);
}

TestSuite(index_model, .init = setup, .fini = teardown);

static uint64_t digest(unsigned int content)
{
	uint64_t seed = content + 1;

	return unit_random(&seed) | 1;
}

static unsigned int count_pages(unsigned int content)
{
	unsigned int count = 0;

	for (int i = 0; i < MEMBERS; i++)
		count += pages[i][content];
	return count;
}

/* One random step; no member has more than @most pages of one content. */
static void step(uint64_t *seed, unsigned int most)
{
	unsigned int i = unit_random(seed) % MEMBERS, content = unit_random(seed) % CONTENTS;
	int found;

	switch (unit_random(seed) % 5) {
	case 0:
	case 1:
		if (pages[i][content] == most)
			return;
		found = sksm_index_publish(&member[i], digest(content));
		pages[i][content]++;
		break;
	case 2:
		if (pages[i][content]) {
			sksm_index_withdraw(&member[i], digest(content));
			pages[i][content]--;
		}
		return;
	case 3:
		if (!pages[i][content])
			return;
		found = sksm_index_lookup(&member[i], digest(content));
		break;
	default:
		cr_assert_geq(sksm_index_beat(&member[i]), 0);
		return;
	}
	cr_assert_geq(found, 0, "%d", found);
	/* A twin that is not there would be offered for nothing. */
	if (found)
		cr_assert_geq(count_pages(content), 2, "member %u, content %u", i, content);
}

/* What every member answers for its pages, after each looked all of them up twice. */
static void expect_settled(bool snapshot)
{
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MEMBERS; i++) {
			cr_assert_geq(sksm_index_beat(&member[i]), 0);
			if (snapshot)
				sksm_index_enter_lookups(&member[i]);
			cr_assert_eq(member[i].snapshot != NULL, snapshot);
			for (unsigned int content = 0; content < CONTENTS; content++) {
				int found;

				if (!pages[i][content])
					continue;
				found = sksm_index_lookup(&member[i], digest(content));
				if (round == 2)
					cr_assert_eq(found, count_pages(content) > 1,
						     "member %d, content %u of %u pages: %d", i,
						     content, count_pages(content), found);
			}
			sksm_index_leave_lookups(&member[i]);
		}
	}
}

/* One page of a content in each process: all twins are found, and no others. */
Test(index_model, single_pages)
{
	uint64_t seed = 7;

	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 500; i++)
			step(&seed, 1);
		expect_settled(round % 2);
	}
}

/* Several pages of a content in one process: no twin is made up. */
Test(index_model, several_pages)
{
	uint64_t seed = 8;
	unsigned int twins = 0;

	for (int i = 0; i < 60000; i++)
		step(&seed, 4);
	for (unsigned int content = 0; content < CONTENTS; content++)
		twins += count_pages(content) > 1;
	cr_assert_gt(twins, CONTENTS / 2);
}

/* A copy of the table answers as the table does. */
Test(index_model, snapshot_lookups_equal_direct_ones)
{
	int direct[CONTENTS];
	uint64_t seed = 9;

	for (int i = 0; i < 3000; i++)
		step(&seed, 3);
	for (int i = 0; i < MEMBERS; i++)
		sksm_index_beat(&member[i]);
	for (int i = 0; i < MEMBERS; i++) {
		for (unsigned int content = 0; content < CONTENTS; content++)
			direct[content] = pages[i][content] ?
				sksm_index_lookup(&member[i], digest(content)) : 0;
		sksm_index_enter_lookups(&member[i]);
		cr_assert_not_null(member[i].snapshot);
		for (unsigned int content = 0; content < CONTENTS; content++)
			if (pages[i][content])
				cr_assert_eq(sksm_index_lookup(&member[i], digest(content)),
					     direct[content]);
		sksm_index_leave_lookups(&member[i]);
		cr_assert_null(member[i].snapshot);
	}
}
