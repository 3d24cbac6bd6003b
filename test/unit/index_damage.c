/* SPDX-License-Identifier: MIT */
/* Files of the index that somebody damaged, and a kernel that fails. */
#include "index_fixture.h"

TestSuite(index_damage, .init = index_setup, .fini = index_teardown);

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

Test(index_damage, damaged_members_are_begun_again)
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
Test(index_damage, members_truncated_under_way)
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
Test(index_damage, members_truncated_under_way_then_twins)
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

Test(index_damage, a_truncated_table)
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

Test(index_damage, a_table_cut_behind_its_header_is_replaced)
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
Test(index_damage, a_hostile_table)
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

Test(index_damage, joining_is_never_waited_for)
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

Test(index_damage, members_without_end)
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

Test(index_damage, failures)
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
