/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include "tracker/index.h"

/* Several handles in one process are several members: each has descriptors of its own. */
#define MEMBERS 3

static char dir[32];
static int dir_fd;
static struct sksm_arena arena;
static struct sksm_index member[MEMBERS];

static void setup(void)
{
	inject_reset();
	unit_make_dir(dir);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
}

static void teardown(void)
{
	sksm_arena_fini(&arena);
	close(dir_fd);
	unit_remove_dir(dir);
}

TestSuite(index, .init = setup, .fini = teardown);

static void join(unsigned int count, uint64_t pages)
{
	for (unsigned int i = 0; i < count; i++)
		cr_assert_eq(sksm_index_open(&member[i], &inject_sys, &arena, dir_fd, pages), 0);
	/* The first ones learn of those that came later. */
	for (unsigned int i = 0; i < count; i++)
		cr_assert_geq(sksm_index_beat(&member[i]), 0);
}

static void leave(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sksm_index_close(&member[i]);
}

/* A number like a digest. */
static uint64_t digest(uint64_t content)
{
	uint64_t seed = content * 0x1234567;

	return unit_random(&seed);
}

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
		{ 0, SKSM_INDEX_MIN_ORDER }, { 682, SKSM_INDEX_MIN_ORDER }, { 684, 7 },
		{ 1 << 20, 17 }, { UINT64_MAX / 4, SKSM_INDEX_MAX_ORDER },
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

/* ---- damage ---- */

static int open_file(const char *prefix)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	int fd = -1;

	while (fd < 0 && (entry = readdir(d)))
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			fd = openat(dir_fd, entry->d_name, O_RDWR | O_CLOEXEC);
	closedir(d);
	cr_assert_geq(fd, 0);
	return fd;
}

Test(index, damaged_members_are_begun_again)
{
	static const size_t lengths[] = { 0, 1, 63, 64, 100, 4096 };
	unsigned char noise[4096];
	uint64_t seed = 5;
	int fd;

	join(1, 100);
	leave(1);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fd = open_file("members");
		cr_assert_eq(ftruncate(fd, 0), 0);
		for (size_t j = 0; j < sizeof(noise); j++)
			noise[j] = (unsigned char)unit_random(&seed);
		cr_assert_eq(pwrite(fd, noise, lengths[i], 0), (ssize_t)lengths[i]);
		close(fd);
		join(2, 100);
		sksm_index_publish(&member[0], digest(1));
		cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1);
		leave(2);
	}
}

/* While it is in use: hints are lost, nothing else, and who comes later puts it right. */
Test(index, members_truncated_under_way)
{
	int fd;

	join(1, 100);
	fd = open_file("members");
	cr_assert_eq(ftruncate(fd, 10), 0);
	close(fd);
	cr_assert_lt(sksm_index_beat(&member[0]), 0);
	cr_assert_geq(sksm_index_publish(&member[0], digest(1)), 0);
	cr_assert_geq(sksm_index_lookup(&member[0], digest(1)), 0);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	cr_assert_eq(sksm_index_beat(&member[0]), -ESTALE);
	leave(2);
}

/* Two processes that take each other's slot for their own never see that they are twins. */
Test(index, members_truncated_under_way_then_twins)
{
	int fd;

	join(1, 100);
	fd = open_file("members");
	cr_assert_eq(ftruncate(fd, 10), 0);
	close(fd);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	for (int i = 0; i < 3; i++) {
		sksm_index_beat(&member[0]);
		sksm_index_beat(&member[1]);
	}
	cr_assert_neq(member[0].me, member[1].me, "two owners of one name");
	leave(2);
}

Test(index, a_truncated_table)
{
	int fd;

	join(1, 100);
	sksm_index_publish(&member[0], digest(1));
	fd = open_file("index-");
	for (off_t length = 5000; length >= 0; length -= 1250) {
		cr_assert_eq(ftruncate(fd, length), 0);
		for (uint64_t i = 0; i < 200; i++) {
			int result = sksm_index_publish(&member[0], digest(i));

			cr_assert(result == 1 || result == 0 || result == -EIO, "%d", result);
			result = sksm_index_lookup(&member[0], digest(i));
			cr_assert(result == 1 || result == 0 || result == -EIO, "%d", result);
			sksm_index_withdraw(&member[0], digest(i));
		}
		cr_assert_leq(sksm_index_lookup(&member[0], digest(1)), 1);
	}
	close(fd);
	/* The header is gone: whoever joins makes a new one, and we follow. */
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	cr_assert(sksm_index_beat(&member[0]) & SKSM_INDEX_MOVED);
	sksm_index_publish(&member[0], digest(1));
	cr_assert_eq(sksm_index_publish(&member[1], digest(1)), 1);
	leave(2);
}

Test(index, a_table_cut_behind_its_header_is_replaced)
{
	int fd;

	join(1, 100);
	fd = open_file("index-");
	cr_assert_eq(ftruncate(fd, 4096), 0);
	close(fd);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	cr_assert_geq(sksm_index_beat(&member[0]), 0);
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0,
		     "nothing can be published in this domain any more");
	leave(2);
}

/* Entries that nobody wrote: any answer, no crash. */
Test(index, a_hostile_table)
{
	uint64_t noise[512], seed = 6;
	int fd;

	join(2, 100);
	fd = open_file("index-");
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < 512; i++)
			noise[i] = unit_random(&seed);
		cr_assert_gt(pwrite(fd, noise, sizeof(noise), 4096), 0);
		for (uint64_t i = 0; i < 200; i++) {
			cr_assert_leq(sksm_index_publish(&member[i % 2], noise[i]), 1);
			cr_assert_leq(sksm_index_lookup(&member[i % 2], noise[i]), 1);
			sksm_index_withdraw(&member[i % 2], noise[i]);
		}
	}
	close(fd);
	leave(2);
}

Test(index, joining_is_never_waited_for)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	join(1, 100);
	fd = open_file("members");
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), -EAGAIN);
	/* Nobody on the way of a page needs it. */
	cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
	cr_assert_geq(sksm_index_beat(&member[0]), 0);
	close(fd);
	cr_assert_eq(sksm_index_open(&member[1], &inject_sys, &arena, dir_fd, 100), 0);
	leave(2);
}

Test(index, members_without_end)
{
	static struct sksm_index many[SKSM_INDEX_MEMBERS];
	unsigned int joined = 0;
	int error = 0;

	cr_assert_eq(close(dir_fd), 0);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Two descriptors each; a real domain has one process for each. */
	for (; joined < 400 && !error; joined += !error)
		error = sksm_index_open(&many[joined], &inject_sys, &arena, dir_fd, 1);
	cr_assert(error == 0 || error == -EMFILE, "%d", error);
	cr_assert_gt(joined, 100);
	for (unsigned int i = 0; i < joined; i++)
		for (unsigned int j = i + 1; j < joined; j++)
			cr_assert_neq(many[i].me, many[j].me);
	for (unsigned int i = 0; i < joined; i++)
		sksm_index_close(&many[i]);
}

Test(index, failures)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE };
	unsigned int cases = 0;

	for (int op = 0; op < INJECT_OPS; op++) {
		for (unsigned int nth = 1; nth < 40; nth++) {
			unsigned int fds = unit_count_fds();
			struct sksm_index_op ops[9];

			inject_arm(op, nth, errors[nth % 3], false);
			if (sksm_index_open(&member[0], &inject_sys, &arena, dir_fd, 9) == 0) {
				sksm_index_beat(&member[0]);
				for (uint64_t i = 0; i < 9; i++)
					ops[i] = (struct sksm_index_op){ .digest = digest(i) };
				sksm_index_apply(&member[0], ops, 9);
				sksm_index_lookup(&member[0], digest(1));
				sksm_index_withdraw(&member[0], digest(1));
				sksm_index_close(&member[0]);
			}
			cr_assert_eq(unit_count_fds(), fds, "%s %u", inject_names[op], nth);
			if (!inject.failed)
				break;
			cases++;
			inject_reset();
			/* Good as new for the next one. */
			join(1, 9);
			cr_assert_eq(sksm_index_publish(&member[0], digest(1)), 0);
			leave(1);
		}
	}
	cr_assert_gt(cases, 15);
}
