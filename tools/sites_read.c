/* SPDX-License-Identifier: MIT */
#include "sites_read.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "census.h"

#define NAME_BYTES (sizeof(((struct sksm_entry *)0)->name) + sizeof(SKSM_SITE_FILE_SUFFIX))

static void complain(const struct sksm_entry *entry, const char *reason)
{
	warnx("%s/%s/records/%s" SKSM_SITE_FILE_SUFFIX ": %s, skipped", entry->dir, entry->domain,
	      entry->name, reason);
}

static int check_file(const struct sksm_entry *entry, int fd, off_t *ret_length)
{
	struct stat status;

	if (fstat(fd, &status))
		complain(entry, strerror(errno));
	else if (!S_ISREG(status.st_mode))
		complain(entry, "not a regular file");
	else if (status.st_uid != entry->owner)
		complain(entry, "belongs to another user");
	else if (status.st_size)
		return *ret_length = status.st_size, 0;
	/* Nothing was written yet. */
	return -EINVAL;
}

/* A descriptor, or -1 where there is no such file, or one that is not what it should be. */
static int open_file(const struct sksm_entry *entry, off_t *ret_length)
{
	char path[2 * SKSM_PATH_MAX], name[NAME_BYTES];
	struct stat status;
	int dir_fd, fd;

	snprintf(path, sizeof(path), "%s/%s/records", entry->dir, entry->domain);
	snprintf(name, sizeof(name), "%s" SKSM_SITE_FILE_SUFFIX, entry->name);
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0)
		return -1;
	fd = fstat(dir_fd, &status) || status.st_uid != entry->owner ? -1 :
	     openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP)
		complain(entry, "a symbolic link");
	close(dir_fd);
	if (fd >= 0 && check_file(entry, fd, ret_length)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What is read of both slots; where one is just being written, the other one is whole. */
static void *read_slots(int fd, off_t file_bytes, size_t *ret_length)
{
	size_t room = 2 * SKSM_SITE_FILE_SLOT, length = 0;
	char *data;

	if (file_bytes < (off_t)room)
		room = (size_t)file_bytes;
	data = malloc(room);
	while (data && length < room) {
		ssize_t n = pread(fd, data + length, room - length, (off_t)length);

		if (n <= 0)
			break;
		length += (size_t)n;
	}
	*ret_length = length;
	return data;
}

/* The view with its slot in one piece; the rest is let go. */
static struct sksm_file_view *copy_view(const struct sksm_file_view *view)
{
	const struct sksm_file_header *from = (const struct sksm_file_header *)view->sites - 1;
	size_t bytes = sizeof(*from) + view->header.bytes;
	struct sksm_file_view *copy = malloc(sizeof(*copy) + bytes);

	if (!copy)
		return NULL;
	memcpy(copy + 1, from, bytes);
	*copy = *view;
	sksm_site_file_lay_out(copy, (struct sksm_file_header *)(copy + 1));
	return copy;
}

struct sksm_file_view *sksm_sites_read(const struct sksm_entry *entry)
{
	struct sksm_file_view view, *copy = NULL;
	const char *reason = "unreadable";
	off_t file_bytes = 0;
	size_t length = 0;
	void *data;
	int fd = open_file(entry, &file_bytes);

	if (fd < 0)
		return NULL;
	data = read_slots(fd, file_bytes, &length);
	close(fd);
	if (!data || sksm_site_file_decode(&view, data, length, entry->record.pid,
					   entry->record.start_ns, &reason))
		complain(entry, reason);
	else
		copy = copy_view(&view);
	free(data);
	return copy;
}

void sksm_sites_unlink(int records_fd, const char *name)
{
	char file[NAME_BYTES];

	snprintf(file, sizeof(file), "%s" SKSM_SITE_FILE_SUFFIX, name);
	unlinkat(records_fd, file, 0);
}
