/* SPDX-License-Identifier: MIT */
#include "index_fixture.h"

TestSuite(index, .init = index_setup, .fini = index_teardown);

Test(index, twins_in_one_process)
{
	join(1, 100);
	cr_assert_eq(sksm_index_lookup(&member[0], digest(9)), 0, "not yet published");
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
	cr_assert_eq(sksm_index_lookup(&member[0], digest(1)), 0);
	cr_assert_eq(sksm_index_publish(&member[0], digest(2)), 0);
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 1);
	/* The first page of the two has to learn of it. */
	cr_assert(sksm_index_beat(&member[0]) & SKSM_INDEX_EVENT);
	cr_assert_eq(sksm_index_lookup(&member[0], digest(1)), 1);
	cr_assert_eq(sksm_index_lookup(&member[0], digest(2)), 0);
	cr_assert_eq(sksm_index_beat(&member[0]), 0, "once is enough");
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_lookup(&member[0], digest(1)), 0);
	leave(1);
}

Test(index, twins_in_two_processes)
{
	join(2, 100);
	cr_assert_neq(member[0].me, member[1].me);
	cr_assert_eq(member[0].generation, member[1].generation);
	sksm_index_beat(&member[0]);
	sksm_index_beat(&member[1]);
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
	cr_assert_eq(sksm_index_beat(&member[0]), 0);
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1);
	sksm_index_flush(&member[1]);
	cr_assert_eq(sksm_index_beat(&member[0]), SKSM_INDEX_EVENT);
	cr_assert_eq(sksm_index_lookup(&member[0], digest(1)), 1);
	cr_assert_eq(sksm_index_lookup(&member[1], digest(1)), 1);
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_lookup(&member[1], digest(1)), 0);
	sksm_index_withdraw(&member[1], digest(1));
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0, "as if it had never been");
	leave(2);
}

Test(index, three_processes)
{
	join(3, 100);
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1);
	cr_assert_eq(sksm_index_publish(&member[2], digest(1)), 1);
	/* An entry names two owners; the third is found again when one of them goes. */
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_lookup(&member[2], digest(1)), 1);
	cr_assert_eq(sksm_index_lookup(&member[1], digest(1)), 1);
	sksm_index_withdraw(&member[1], digest(1));
	cr_assert_eq(sksm_index_lookup(&member[2], digest(1)), 0);
	leave(3);
}

/* What is left of several pages stays known while others of them are taken back. */
Test(index, pages_that_are_left_are_counted)
{
	join(2, 100);
	for (int i = 0; i < 3; i++)
		sksm_index_publish(&member[0], digest(1));
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 1);
	sksm_index_withdraw(&member[0], digest(1));
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1, "one is left");
	sksm_index_withdraw(&member[1], digest(1));
	cr_assert_eq(sksm_index_lookup(&member[0], digest(1)), 0);
	sksm_index_withdraw(&member[0], digest(1));
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 0, "none is left");
	leave(2);
}

/* An entry that another writer overwrote: all pages that had it are twins again. */
Test(index, a_lost_entry_is_made_again_by_looking_up)
{
	struct sksm_index_op ops[4];

	join(1, 100);
	for (unsigned int i = 0; i < 4; i++)
		ops[i] = (struct sksm_index_op){
			.kind = SKSM_INDEX_LOOKUP,
			.digest = digest(i == 3),
		};
	sksm_index_apply(&member[0], ops, 4);
	cr_assert(sksm_index_beat(&member[0]) & SKSM_INDEX_EVENT, "for the first of them");
	for (int round = 0; round < 2; round++) {
		sksm_index_apply(&member[0], ops, 4);
		for (unsigned int i = 0; i < 4; i++)
			cr_assert_eq(ops[i].result, i < 3, "%u", i);
	}
	for (int i = 0; i < 2; i++)
		sksm_index_withdraw(&member[0], digest(0));
	cr_assert_eq(sksm_index_lookup(&member[0], digest(0)), 0, "three were counted");
	leave(1);
}

Test(index, a_member_that_left_is_no_twin)
{
	join(2, 100);
	sksm_index_publish(&member[0], digest(1));
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1);
	sksm_index_beat(&member[1]);
	sksm_index_close(&member[0]);
	cr_assert(sksm_index_beat(&member[1]) & SKSM_INDEX_EVENT, "look again: somebody went");
	cr_assert_eq(sksm_index_lookup(&member[1], digest(1)), 0);
	/* Its slot is used again, and the old entries do not count for the new owner. */
	sksm_index_publish(&member[1], digest(2));
	cr_assert_eq(sksm_index_open(&member[0], &inject_sys, &arena, dir_fd, 100), 0);
	sksm_index_beat(&member[1]);
	cr_assert_eq(sksm_index_lookup(&member[1], digest(1)), 0);
	cr_assert_eq(sksm_index_publish(&member[0], digest(2)), 1);
	leave(2);
}

/* Who joined since our last beat is not dead: two processes that start at once are twins. */
Test(index, a_member_that_joined_since_the_last_beat)
{
	bool found[2] = { false, false };

	join(1, 100);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	cr_assert_geq(sksm_index_beat(&member[1]), 0);
	sksm_index_publish(&member[1], digest(1));
	found[0] = sksm_index_publish(&member[0], digest(1)) == 1;
	/* As the tracker does: looked up when something happened. */
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < 2; i++)
			if (sksm_index_beat(&member[i]) & SKSM_INDEX_EVENT)
				found[i] = sksm_index_lookup(&member[i], digest(1)) == 1;
	cr_assert(found[0] && found[1], "%d %d", found[0], found[1]);
	leave(2);
}

Test(index, the_first_of_a_new_day_starts_a_new_table)
{
	uint64_t generation;

	join(1, 100);
	sksm_index_publish(&member[0], digest(1));
	generation = member[0].generation;
	leave(1);
	join(1, 100);
	cr_assert_neq(member[0].generation, generation);
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
	leave(1);
	/* One table at a time. */
	for (unsigned int count = 0;; ) {
		struct dirent *entry;
		DIR *d = opendir(dir);

		while ((entry = readdir(d)))
			count += strncmp(entry->d_name, "index-", 6) == 0;
		closedir(d);
		cr_assert_eq(count, 1);
		break;
	}
}

Test(index, the_table_is_made_for_what_is_to_come)
{
	static const struct { uint64_t pages; unsigned int order; } sizes[] = {
		{ 0, SKSM_INDEX_MIN_ORDER }, { 682, SKSM_INDEX_MIN_ORDER }, { 684, 6 },
		{ 1 << 20, 16 }, { UINT64_MAX / 4, SKSM_INDEX_MAX_ORDER },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		join(1, sizes[i].pages);
		cr_assert_eq(member[0].order, sizes[i].order, "%lu pages: order %u",
			     (unsigned long)sizes[i].pages, member[0].order);
		leave(1);
	}
}

Test(index, a_table_that_is_too_small_grows)
{
	const uint64_t count = 4000;
	unsigned int order, full = 0, twins = 0;

	join(2, 1);
	order = member[0].order;
	for (uint64_t i = 0; i < count; i++)
		full += sksm_index_publish(&member[0], digest(i)) == -ENOSPC;
	cr_assert_gt(full, 64);
	for (int beats = 0; beats < 8 && full; beats++) {
		int found = sksm_index_beat(&member[0]);

		cr_assert_geq(found, 0);
		cr_assert(found & SKSM_INDEX_MOVED, "a new table while %u did not fit", full);
		full = 0;
		for (uint64_t i = 0; i < count; i++)
			full += sksm_index_publish(&member[0], digest(i)) == -ENOSPC;
		full = full > count / 64 ? full : 0;
	}
	cr_assert_gt(member[0].order, order);
	/* The other one follows. */
	cr_assert(sksm_index_beat(&member[1]) & SKSM_INDEX_MOVED);
	cr_assert_eq(member[1].order, member[0].order);
	cr_assert_eq(member[1].generation, member[0].generation);
	for (uint64_t i = 0; i < count; i++)
		twins += sksm_index_publish(&member[1], digest(i)) == 1;
	cr_assert_geq(twins, count - count / 64);
	leave(2);
}

Test(index, entries_of_the_dead_make_room)
{
	unsigned int full = 0;

	join(2, 1);
	for (uint64_t i = 0; i < 3000; i++)
		sksm_index_publish(&member[0], digest(i));
	cr_assert_eq(sksm_index_publish(&member[1], digest(2999)), -ENOSPC);
	sksm_index_close(&member[0]);
	sksm_index_beat(&member[1]);
	for (uint64_t i = 10000; i < 10400; i++)
		full += sksm_index_publish(&member[1], digest(i)) == -ENOSPC;
	cr_assert_eq(full, 0);
	sksm_index_close(&member[1]);
}

static int64_t count_frames(unsigned int count)
{
	int64_t frames = 0;

	for (unsigned int i = 0; i < count; i++) {
		int64_t own = sksm_index_count_frames(&member[i]);

		cr_assert_geq(own, 0);
		frames += own;
	}
	return frames;
}

/* Each content with a twin costs one frame, and one member counts it. */
Test(index, frames_are_counted_once)
{
	join(3, 100);
	cr_assert_eq(count_frames(3), 0);
	for (uint64_t content = 1; content <= 40; content++)
		sksm_index_publish(&member[content % 3], digest(content));
	cr_assert_eq(count_frames(3), 0, "no content is there twice");
	for (uint64_t content = 1; content <= 20; content++)
		for (unsigned int i = 0; i < 3; i++)
			sksm_index_publish(&member[i], digest(content));
	cr_assert_eq(count_frames(3), 20);
	/* Several pages of one member. */
	for (int i = 0; i < 30; i++)
		sksm_index_publish(&member[1], digest(100));
	cr_assert_eq(count_frames(3), 21);
	cr_assert_eq(sksm_index_count_frames(&member[1]) >= 1, true);
	/* One goes: those that it counted are counted by others. */
	sksm_index_close(&member[0]);
	for (unsigned int i = 1; i < 3; i++)
		sksm_index_beat(&member[i]);
	for (uint64_t content = 1; content <= 20; content++)
		for (unsigned int i = 1; i < 3; i++)
			sksm_index_lookup(&member[i], digest(content));
	cr_assert_eq(sksm_index_count_frames(&member[1]) + sksm_index_count_frames(&member[2]), 21);
	sksm_index_close(&member[1]);
	sksm_index_close(&member[2]);
}
