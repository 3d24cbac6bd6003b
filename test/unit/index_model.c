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

/* What the index says of each page of a member: one by one, or all at once. */
static void look_up(int i, bool batch, int ret[CONTENTS])
{
	struct sksm_index_op ops[CONTENTS];
	unsigned int count = 0;

	for (unsigned int content = 0; content < CONTENTS; content++) {
		ret[content] = 0;
		if (!pages[i][content])
			continue;
		if (!batch)
			ret[content] = sksm_index_lookup(&member[i], digest(content));
		ops[count++] = (struct sksm_index_op){
			.kind = SKSM_INDEX_LOOKUP,
			.digest = digest(content),
			.block = &ret[content],
		};
	}
	if (batch)
		sksm_index_apply(&member[i], ops, count);
	for (unsigned int at = 0; batch && at < count; at++)
		*(int *)ops[at].block = ops[at].result;
}

/* What every member answers for its pages, after each looked all of them up twice. */
static void expect_settled(bool batch)
{
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MEMBERS; i++) {
			int found[CONTENTS];

			cr_assert_geq(sksm_index_beat(&member[i]), 0);
			look_up(i, batch, found);
			for (unsigned int content = 0; round == 2 && content < CONTENTS; content++)
				cr_assert_eq(found[content], pages[i][content] &&
					     count_pages(content) > 1,
					     "member %d, content %u of %u pages: %d", i,
					     content, count_pages(content), found[content]);
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

/* Many at once, in the order given: a page published and withdrawn in one batch is not there. */
Test(index_model, batches)
{
	uint64_t seed = 9;

	for (int round = 0; round < 200; round++) {
		int i = unit_random(&seed) % MEMBERS;
		struct sksm_index_op ops[300];

		for (unsigned int at = 0; at < 300; at++) {
			unsigned int content = unit_random(&seed) % CONTENTS;
			bool publish = !pages[i][content];

			ops[at] = (struct sksm_index_op){
				.kind = publish ? SKSM_INDEX_PUBLISH : SKSM_INDEX_WITHDRAW,
				.digest = digest(content),
			};
			pages[i][content] = publish;
		}
		cr_assert_geq(sksm_index_beat(&member[i]), 0);
		sksm_index_apply(&member[i], ops, 300);
		if (round % 20 == 0)
			expect_settled(round % 40 == 0);
	}
}

Test(index_model, lookups_at_once_equal_single_ones)
{
	uint64_t seed = 10;

	for (int i = 0; i < 3000; i++)
		step(&seed, 3);
	for (int i = 0; i < MEMBERS; i++)
		sksm_index_beat(&member[i]);
	for (int i = 0; i < MEMBERS; i++) {
		int single[CONTENTS], batch[CONTENTS];

		look_up(i, false, single);
		look_up(i, true, batch);
		cr_assert_arr_eq(single, batch, sizeof(single));
	}
}
