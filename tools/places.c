/* SPDX-License-Identifier: MIT */
#include "places.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"
#include "tracker/record_file.h"
#include "tracker/site_file.h"

/* A user may fill his directories with names; ours is not the program that pays for it. */
#define ENTRIES_MAX 200000u	/* of one owner, wherever they are */
#define STILLBORN_SECONDS 10

struct quota {
	uid_t owner;
	unsigned int entries;	/* that are left to him */
	unsigned int records;
};

/* Where the walk is, from the place down to the records. */
struct position {
	const struct sksm_walk *walk;
	const char *dir;
	const char *domain;
	bool in_records;
	uid_t owner;
	struct quota *quota;
	bool *refused;	/* set where a directory of own_dir is not entered; NULL elsewhere */
};

static void complain(const struct position *at, const char *name, const char *reason)
{
	char clean[NAME_MAX + 1];

	if (at->walk->quiet)
		return;
	/* The user's whose directory it is, for the terminal of whoever reports. */
	sksm_text_clean(clean, sizeof(clean), name);
	warnx("%s%s%s%s%s%s: %s, skipped", at->dir, at->domain ? "/" : "",
	      at->domain ? at->domain : "", at->in_records ? "/records" : "", *name ? "/" : "",
	      clean, reason);
}

/* O_DIRECTORY | O_NOFOLLOW answers ENOTDIR to a symbolic link too. */
static const char *open_error(int parent_fd, const char *path)
{
	int error = errno;
	struct stat status;

	if (error != ENOTDIR)
		return strerror(error);
	return !fstatat(parent_fd, path, &status, AT_SYMLINK_NOFOLLOW) &&
	       S_ISLNK(status.st_mode) ? "a symbolic link" : "not a directory";
}

/* What is wrong with a directory that must be @owner's, and that nobody else can write. */
static const char *wrong_with(int fd, uid_t owner)
{
	struct stat status;

	if (fstat(fd, &status))
		return strerror(errno);
	if (status.st_uid != owner)
		return "belongs to another user";
	return status.st_mode & 022 ? "writable by others" : NULL;
}

/* Open a directory of @at->owner. -1, with a message unless it is missing, where that cannot be. */
static int open_dir(const struct position *at, int parent_fd, const char *path, const char *name)
{
	int fd = openat(parent_fd, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	const char *reason;

	if (fd < 0 && errno == ENOENT)
		return -1;
	reason = fd < 0 ? open_error(parent_fd, path) : wrong_with(fd, at->owner);
	if (!reason)
		return fd;
	complain(at, name, reason);
	if (at->refused)
		*at->refused = true;
	if (fd >= 0)
		close(fd);
	return -1;
}

/*
 * The bytes of one record. An update under way is over within a microsecond, unless the process
 * was killed in the middle of it: then what is there is all that there will ever be.
 */
static int read_record(int fd, struct sksm_record *ret, const char **ret_reason)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	unsigned char data[SKSM_RECORD_BYTES];
	int tries, error = 0;

	for (tries = 0; tries < 8; tries++) {
		ssize_t length = pread(fd, data, sizeof(data), 0);

		if (length < 0) {
			*ret_reason = strerror(errno);
			return -errno;
		}
		error = sksm_record_decode(ret, data, (size_t)length, ret_reason);
		if (error != -EAGAIN)
			return error;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* A copy under another name would count twice. */
static bool is_named(const struct sksm_record *record, const char *name)
{
	char expected[64];

	sksm_record_filename(expected, sizeof(expected), record->pid, record->start_ns);
	return !strcmp(name, expected);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && !strcmp(name + length - tail, suffix);
}

/* The pid in PID-START.rec, or 0. */
static pid_t name_pid(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	size_t length = strlen(name);
	char number[16];
	uint64_t pid;

	if (!digits || digits >= sizeof(number) || name[digits] != '-' || length < 5 ||
	    strcmp(name + length - 4, ".rec"))
		return 0;
	memcpy(number, name, digits);
	number[digits] = '\0';
	return sksm_text_number(number, &pid) && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/*
 * A process that is killed between making its record and filling it leaves an empty or a short one.
 * Young ones may be under way, in a pid namespace that we do not see.
 */
static bool remove_stillborn(int records_fd, const char *name, const struct stat *status)
{
	pid_t pid = name_pid(name);

	return status->st_size < (off_t)SKSM_RECORD_BYTES &&
	       status->st_mtime + STILLBORN_SECONDS < time(NULL) &&
	       pid && kill(pid, 0) && errno == ESRCH && !unlinkat(records_fd, name, 0);
}

/* A file of call sites without its record. */
static void remove_orphan(int records_fd, const char *name)
{
	size_t length = strlen(name) - strlen(SKSM_SITE_FILE_SUFFIX);
	char record[64];

	if (length >= sizeof(record))
		return;
	memcpy(record, name, length);
	record[length] = '\0';
	if (name_pid(record) && faccessat(records_fd, record, F_OK, AT_SYMLINK_NOFOLLOW) &&
	    errno == ENOENT)
		unlinkat(records_fd, name, 0);
}

static void visit_record(const struct position *at, int records_fd, const char *name)
{
	struct sksm_place_record found = { .dir = at->dir, .domain = at->domain, .name = name,
					   .records_fd = records_fd, .owner = at->owner };
	int fd = openat(records_fd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *reason = "unreadable";
	struct sksm_record record;
	struct stat status;

	if (fd < 0) {
		if (errno != ENOENT)
			complain(at, name, errno == ELOOP ? "a symbolic link" : strerror(errno));
		return;
	}
	if (fstat(fd, &status)) {
		complain(at, name, strerror(errno));
	} else if (!S_ISREG(status.st_mode)) {
		complain(at, name, "not a regular file");
	} else if (status.st_uid != at->owner) {
		complain(at, name, "belongs to another user");
	} else if (read_record(fd, &record, &reason)) {
		if (!at->walk->clean || !remove_stillborn(records_fd, name, &status))
			complain(at, name, reason);
	} else if (!is_named(&record, name)) {
		complain(at, name, "the record of another process");
	} else {
		found.record = &record;
		found.dev = status.st_dev;
		found.inode = status.st_ino;
		found.mapped = sksm_record_is_mappable(fd);
		at->walk->found(&found, at->walk->arg);
	}
	close(fd);
}

static void visit_records(const struct position *at, int records_fd)
{
	const struct sksm_walk *walk = at->walk;
	struct dirent *entry;
	DIR *stream;
	int own_fd;

	own_fd = openat(records_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = own_fd < 0 ? NULL : fdopendir(own_fd);
	if (!stream) {
		if (own_fd >= 0)
			close(own_fd);
		return;
	}
	while (at->quota->entries && (entry = readdir(stream))) {
		pid_t pid;

		at->quota->entries--;
		if (entry->d_name[0] == '.')
			continue;
		if (has_suffix(entry->d_name, SKSM_SITE_FILE_SUFFIX)) {
			if (at->walk->clean)
				remove_orphan(records_fd, entry->d_name);
			continue;
		}
		pid = name_pid(entry->d_name);
		if (!pid)
			complain(at, entry->d_name, "not named like a record");
		else if (at->quota->records && (!walk->want || walk->want(pid, walk->arg))) {
			at->quota->records--;
			visit_record(at, records_fd, entry->d_name);
		}
	}
	closedir(stream);
}

static void visit_domain(const struct position *place, int place_fd, const char *domain)
{
	struct position at = *place;
	int domain_fd, records_fd;

	if (at.walk->domain && strcmp(at.walk->domain, domain))
		at.refused = NULL;
	domain_fd = open_dir(&at, place_fd, domain, domain);
	if (domain_fd < 0)
		return;
	at.domain = domain;
	records_fd = open_dir(&at, domain_fd, "records", "records");
	close(domain_fd);
	if (records_fd < 0)
		return;
	at.in_records = true;
	if (at.walk->domain_seen)
		at.walk->domain_seen(at.dir, domain, at.walk->arg);
	if (!at.walk->domain || !strcmp(at.walk->domain, domain))
		visit_records(&at, records_fd);
	close(records_fd);
}

/* Domains are few: a directory with more than this is not one that our library made. */
#define DOMAINS_MAX 1000u

static void visit_place(const struct position *at)
{
	int place_fd = open_dir(at, AT_FDCWD, at->dir, "");
	DIR *stream = place_fd < 0 ? NULL : fdopendir(place_fd);
	unsigned int left = DOMAINS_MAX;
	struct dirent *entry;

	if (!stream) {
		if (place_fd >= 0)
			close(place_fd);
		return;
	}
	while (left-- && (entry = readdir(stream)))
		if (sksm_options_domain_valid(entry->d_name) && entry->d_type != DT_REG)
			visit_domain(at, dirfd(stream), entry->d_name);
	closedir(stream);
}

/* The owner's of the @count that are, or a new one. */
static struct quota *find_quota(struct quota *list, size_t *count, uid_t owner,
				unsigned int records_max)
{
	size_t i;

	for (i = 0; i < *count; i++)
		if (list[i].owner == owner)
			return &list[i];
	list += (*count)++;
	*list = (struct quota){ owner, ENTRIES_MAX, records_max ? records_max : ENTRIES_MAX };
	return list;
}

bool sksm_places_walk(const struct sksm_places *places, const struct sksm_walk *walk)
{
	struct quota *quotas = calloc(places->count, sizeof(*quotas));
	size_t i, owners = 0;
	bool refused = !quotas && places->count;

	for (i = 0; quotas && i < places->count; i++) {
		const struct sksm_place *place = &places->list[i];
		struct position at = { .walk = walk, .dir = place->dir, .owner = place->owner,
				       .refused = place->own ? &refused : NULL };
		struct stat status;

		/* Whoever owns the directory that was named to us owns what is in it. */
		if (!place->owner_known && !lstat(place->dir, &status))
			at.owner = status.st_uid;
		at.quota = find_quota(quotas, &owners, at.owner, walk->records_max);
		visit_place(&at);
	}
	free(quotas);
	return !refused;
}
