/* SPDX-License-Identifier: MIT */
#include "locate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libsksm_preload.so"

/* Relative to the directory of the program that asks. */
static const char *const library_dirs[] = {
	"../shim", "../" SKSM_LIBDIR, "../lib/" SKSM_MULTIARCH, "../lib", "../lib64",
};
static const char *const program_dirs[] = { ".", "../sbin", "../bin" };

/* The directory of this program, however it was called. */
static int own_directory(char ret[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	char *slash;

	if (length < 0)
		return -errno;
	ret[length] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static bool try_file(const char *path, int mode, char ret[PATH_MAX])
{
	char resolved[PATH_MAX];

	if (access(path, mode) || !realpath(path, resolved))
		return false;
	strcpy(ret, resolved);
	return true;
}

static int search(const char *const *dirs, size_t count, const char *name, int mode,
		  char ret[PATH_MAX])
{
	char own[PATH_MAX], path[PATH_MAX];
	size_t i;
	int error = own_directory(own);

	if (error)
		return error;
	for (i = 0; i < count; i++) {
		int length = snprintf(path, sizeof(path), "%s/%s/%s", own, dirs[i], name);

		if (length < (int)sizeof(path) && try_file(path, mode, ret))
			return 0;
	}
	snprintf(ret, PATH_MAX, "%.3000s/{%s,%s,%s}", own, dirs[0], dirs[1], dirs[2]);
	return -ENOENT;
}

int sksm_locate_preload(char ret[PATH_MAX])
{
	const char *chosen = getenv("SKSM_PRELOAD");

	if (chosen && *chosen) {
		if (try_file(chosen, R_OK, ret))
			return 0;
		snprintf(ret, PATH_MAX, "SKSM_PRELOAD=%.3000s", chosen);
		return -ENOENT;
	}
	return search(library_dirs, sizeof(library_dirs) / sizeof(library_dirs[0]), LIBRARY, R_OK,
		      ret);
}

int sksm_locate_program(const char *name, char ret[PATH_MAX])
{
	return search(program_dirs, sizeof(program_dirs) / sizeof(program_dirs[0]), name, X_OK,
		      ret);
}
