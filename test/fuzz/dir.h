/* SPDX-License-Identifier: MIT */
/* A directory for the files of a harness, in memory where that is to be had. */
#ifndef SKSM_FUZZ_DIR_H
#define SKSM_FUZZ_DIR_H

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir_path[64];
static int dir_fd = -1;

static void dir_clear(void)
{
	DIR *list = opendir(dir_path);
	struct dirent *entry;

	while ((entry = readdir(list)))
		unlinkat(dir_fd, entry->d_name, 0);
	closedir(list);
}

static void dir_remove(void)
{
	dir_clear();
	rmdir(dir_path);
}

static void dir_open(void)
{
	if (dir_fd >= 0)
		return;
	if (!mkdtemp(strcpy(dir_path, "/dev/shm/sksm-fuzz-XXXXXX")) &&
	    !mkdtemp(strcpy(dir_path, "/tmp/sksm-fuzz-XXXXXX")))
		abort();
	dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(dir_remove);
}

#endif
