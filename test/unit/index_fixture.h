/* SPDX-License-Identifier: MIT */
/* Members of an index in a directory of its own, for the tests of the index. */
#ifndef SKSM_TEST_INDEX_FIXTURE_H
#define SKSM_TEST_INDEX_FIXTURE_H

#include "inject.h"
#include "unit.h"

#include "tracker/index.h"

/* Several handles in one process are several members: each has descriptors of its own. */
#define MEMBERS 3

static char dir[32];
static int dir_fd;
static struct sksm_arena arena;
static struct sksm_index member[MEMBERS];

static inline void index_setup(void)
{
	inject_reset();
	unit_make_dir(dir);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
}

static inline void index_teardown(void)
{
	sksm_arena_fini(&arena);
	close(dir_fd);
	unit_remove_dir(dir);
}

static inline void join(unsigned int count, uint64_t pages)
{
	for (unsigned int i = 0; i < count; i++)
		cr_assert_eq(sksm_index_open(&member[i], &inject_sys, &arena, dir_fd, pages), 0);
	/* The first ones learn of those that came later. */
	for (unsigned int i = 0; i < count; i++)
		cr_assert_geq(sksm_index_beat(&member[i]), 0);
}

static inline void leave(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sksm_index_close(&member[i]);
}

/* A number like a digest. */
static inline uint64_t digest(uint64_t content)
{
	uint64_t seed = content * 0x1234567;

	return unit_random(&seed);
}

#endif
