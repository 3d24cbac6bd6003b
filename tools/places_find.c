/* SPDX-License-Identifier: MIT */
#include "places.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pacer_home.h"
#include "text.h"

static struct sksm_place *find_place(const struct sksm_places *places, const char *dir)
{
	size_t i;

	for (i = 0; i < places->count; i++)
		if (!strcmp(places->list[i].dir, dir))
			return &places->list[i];
	return NULL;
}

static int add_place(struct sksm_places *places, const char *dir, bool owner_known, uid_t owner)
{
	struct sksm_place *list;

	if (strlen(dir) >= sizeof(places->list->dir) || find_place(places, dir))
		return 0;
	list = reallocarray(places->list, places->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	places->list = list;
	list += places->count++;
	memset(list, 0, sizeof(*list));
	strcpy(list->dir, dir);
	list->owner_known = owner_known;
	list->owner = owner;
	return 0;
}

/* Where domains are. */
struct pattern {
	const char *glob;
	const char *before_uid;	/* in front of the owner's number; NULL: whoever owns it */
	bool private;		/* below a directory in /tmp that must be root's */
};

static const struct pattern patterns[] = {
	{ "/run/user/*/sksm", "/run/user/", false },
	{ "/tmp/sksm-*", "/sksm-", false },
	/* Services with PrivateTmp=. */
	{ "/tmp/systemd-private-*/tmp/sksm-*", "/sksm-", true },
	/* RuntimeDirectory= of services: only root makes names in /run. */
	{ "/run/*/sksm", NULL, false },
};

/* The number behind the last @before in @path, to the next slash or the end. */
static bool find_uid(const char *path, const char *before, uid_t *ret)
{
	const char *found = NULL, *at = path;
	char number[16];
	size_t length;
	uint64_t uid;

	while ((at = strstr(at, before)))
		found = at += strlen(before);
	length = found ? strcspn(found, "/") : 0;
	if (!length || length >= sizeof(number))
		return false;
	memcpy(number, found, length);
	number[length] = '\0';
	/* Each user has one name: none with zeros in front. */
	if (!sksm_text_number(number, &uid) || uid >= UINT32_MAX || (length > 1 && *number == '0'))
		return false;
	*ret = (uid_t)uid;
	return true;
}

/* Is the directory in /tmp that @path is below root's? Any user may make one of that name. */
static bool is_private(const char *path)
{
	int length = (int)(strlen("/tmp/") + strcspn(path + strlen("/tmp/"), "/"));
	struct stat status;
	char dir[SKSM_PATH_MAX];

	return snprintf(dir, sizeof(dir), "%.*s", length, path) < (int)sizeof(dir) &&
	       !lstat(dir, &status) && S_ISDIR(status.st_mode) && status.st_uid == 0;
}

/* Any user may make directories with the numbers of others: more are not worth a message. */
#define STRANGERS_MAX 100u

static bool is_stranger_too_many(struct sksm_places *places, const char *path, uid_t uid)
{
	struct stat status;

	return (lstat(path, &status) || status.st_uid != uid) &&
	       places->strangers++ >= STRANGERS_MAX;
}

static int add_pattern(struct sksm_places *places, const struct pattern *pattern)
{
	int error = 0;
	glob_t found;
	size_t i;

	if (glob(pattern->glob, GLOB_NOSORT, NULL, &found))
		return 0;
	for (i = 0; i < found.gl_pathc && !error; i++) {
		const char *path = found.gl_pathv[i];
		uid_t uid = 0;

		if (pattern->before_uid && (!find_uid(path, pattern->before_uid, &uid) ||
					    is_stranger_too_many(places, path, uid)))
			continue;
		if (!pattern->private || is_private(path))
			error = add_place(places, path, pattern->before_uid != NULL, uid);
	}
	globfree(&found);
	return error;
}

static void add_registered(const char *dir, void *arg)
{
	add_place(arg, dir, false, 0);
}

int sksm_places_find(struct sksm_places *ret, const char *own_dir, bool only_own)
{
	struct sksm_places places = { 0 };
	struct sksm_place *own;
	int error = 0;
	size_t i;

	if (geteuid() == 0 && !only_own) {
		error = add_place(&places, SKSM_PACER_HOME, true, 0);
		for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]) && !error; i++)
			error = add_pattern(&places, &patterns[i]);
		sksm_pacer_home_registered(add_registered, &places);
	}
	error = error ? error : add_place(&places, own_dir, false, 0);
	if (error) {
		sksm_places_fini(&places);
		return error;
	}
	own = find_place(&places, own_dir);
	if (own)
		own->own = true;
	*ret = places;
	return 0;
}

void sksm_places_fini(struct sksm_places *places)
{
	free(places->list);
	memset(places, 0, sizeof(*places));
}
