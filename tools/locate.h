/* SPDX-License-Identifier: MIT */
/*
 * Where our other files are: beside this program in the build tree, or where they are installed.
 */
#ifndef SKSM_LOCATE_H
#define SKSM_LOCATE_H

#include <limits.h>

/*
 * The library: $SKSM_PRELOAD where set, else the build tree's, else the installed one. 0, or
 * -ENOENT with the places that were tried in @ret, for a message.
 */
int sksm_locate_preload(char ret[PATH_MAX]);

/* One of our programs, by name, in the same way. 0 or -ENOENT. */
int sksm_locate_program(const char *name, char ret[PATH_MAX]);

#endif
