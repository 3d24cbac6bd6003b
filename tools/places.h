/* SPDX-License-Identifier: MIT */
/*
 * Where records are: the SKSM_DIRs of this machine that we may read, and a walk over the record
 * files in them.
 *
 * Root reads directories of other users, who may have put anything there. So every step of a path
 * is opened relative to the step before, without following links; each directory and file must
 * belong to the one user whose SKSM_DIR it is and be writable by nobody else; files are read, never
 * mapped. What does not pass is named on stderr with the reason and skipped.
 */
#ifndef SKSM_PLACES_H
#define SKSM_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tracker/options.h"
#include "tracker/record.h"

struct sksm_place {
	char dir[SKSM_PATH_MAX];
	bool owner_known;
	bool own;	/* the caller's own_dir */
	uid_t owner;	/* who must own it, where owner_known */
};

struct sksm_places {
	struct sksm_place *list;
	size_t count;
	size_t strangers;	/* that were found: another user's than their names say */
};

/*
 * Find the places: as root /run/sksm, @own_dir, /run/user/UID/sksm and /tmp/sksm-UID of every user
 * (the latter in the private /tmp of services too), /run/SERVICE/sksm, and those that the pacers
 * started by sksm-run serve; else, or where @only_own, @own_dir alone.
 * -ENOMEM or 0.
 */
int sksm_places_find(struct sksm_places *ret, const char *own_dir, bool only_own);

void sksm_places_fini(struct sksm_places *places);

/* One record file. All pointers are valid during the callback only. */
struct sksm_place_record {
	const struct sksm_record *record;
	const char *dir;
	const char *domain;
	const char *name;
	int records_fd;
	uid_t owner;
	dev_t dev;
	ino_t inode;
	bool mapped;	/* by its process, unless it has gone; else it is written after each pass */
};

struct sksm_walk {
	const char *domain;	/* NULL: all */
	bool quiet;		/* say nothing about what is skipped */
	bool clean;		/* remove what a process left that was killed while it made it */
	unsigned int records_max;	/* to open of one owner's; 0: all */
	/* Asked with the pid in a file's name before it is opened; NULL: read all. */
	bool (*want)(pid_t pid, void *arg);
	void (*found)(const struct sksm_place_record *found, void *arg);
	/* Called with the name of each domain that has records; may be NULL. */
	void (*domain_seen)(const char *dir, const char *domain, void *arg);
	void *arg;
};

/*
 * Visit the records of @places. True unless own_dir, or what was asked for in it, is there and is
 * nothing to be looked into: then what was visited is not what the caller meant.
 */
bool sksm_places_walk(const struct sksm_places *places, const struct sksm_walk *walk);

#endif
