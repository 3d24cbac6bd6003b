/* SPDX-License-Identifier: MIT */
/* How much of what a user puts into his directories a walk looks at. */
#include "unit.h"

#include "tools/places.h"

#define ENTRIES_MAX 200000u
#define OTHER_USER 60124

static char root[32];
static struct sksm_place list[4];

static void make_root(void)
{
	strcpy(root, "/dev/shm/sksm-unit-XXXXXX");
	if (!mkdtemp(root))
		unit_make_dir(root);
}

/* A place of @owner with @domains, each with names of @entries records. */
static void make_place(struct sksm_place *place, uid_t owner, unsigned int domains,
		       unsigned int entries)
{
	char path[512];

	snprintf(place->dir, sizeof(place->dir), "%s/%d", root, (int)(place - list));
	place->owner_known = true;
	place->owner = owner;
	cr_assert_eq(mkdir(place->dir, 0700), 0);
	for (unsigned int i = 0; i < domains; i++) {
		snprintf(path, sizeof(path), "%s/d%u", place->dir, i);
		cr_assert_eq(mkdir(path, 0700) || chown(path, owner, owner), 0);
		strcat(path, "/records");
		cr_assert_eq(mkdir(path, 0700) || chown(path, owner, owner), 0);
		for (unsigned int j = 0; j < entries; j++) {
			char name[600];

			snprintf(name, sizeof(name), "%s/1-%x.rec", path, j);
			cr_assert_eq(mknod(name, S_IFREG | 0600, 0), 0);
		}
	}
	cr_assert_eq(chown(place->dir, owner, owner), 0);
}

static bool refuse(pid_t pid, void *arg)
{
	++*(unsigned int *)arg;
	return false;
}

static bool accept(pid_t pid, void *arg)
{
	++*(unsigned int *)arg;
	return true;
}

static void ignore(const struct sksm_place_record *found, void *arg)
{
}

static unsigned int count_asked(size_t count, bool (*want)(pid_t pid, void *arg),
				unsigned int records_max)
{
	const struct sksm_places places = { .list = list, .count = count };
	unsigned int asked = 0;
	const struct sksm_walk walk = {
		.quiet = true, .records_max = records_max, .want = want, .found = ignore,
		.arg = &asked,
	};

	cr_assert(sksm_places_walk(&places, &walk));
	return asked;
}

static void remove_root(void)
{
	unit_remove_dir(root);
}

/* Many directories are no more than one. */
Test(places, entries_of_one_owner, .init = make_root, .fini = remove_root)
{
	make_place(&list[0], geteuid(), 2, ENTRIES_MAX / 4);
	make_place(&list[1], geteuid(), 2, ENTRIES_MAX / 4 + 10);
	cr_assert_eq(count_asked(1, refuse, 0), ENTRIES_MAX / 2);
	cr_assert_leq(count_asked(2, refuse, 0), ENTRIES_MAX);
	if (geteuid())
		return;
	make_place(&list[2], OTHER_USER, 1, 100);
	cr_assert_geq(count_asked(3, refuse, 0), ENTRIES_MAX - 8 + 100, "another one's are left");
}

Test(places, records_of_one_owner, .init = make_root, .fini = remove_root)
{
	make_place(&list[0], geteuid(), 2, 8);
	make_place(&list[1], geteuid(), 1, 8);
	cr_assert_eq(count_asked(2, accept, 0), 24);
	cr_assert_eq(count_asked(2, accept, 5), 5);
	if (geteuid())
		return;
	make_place(&list[2], OTHER_USER, 1, 3);
	cr_assert_eq(count_asked(3, accept, 5), 8);
}
