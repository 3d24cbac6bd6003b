/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "fmt.h"
#include "sys.h"

/* What is wrong with it, where @type of the effective user is wanted, or NULL. */
static const char *wrong_with(const struct stat *st, mode_t type, mode_t forbidden)
{
	if (S_ISLNK(st->st_mode))
		return "a symbolic link";
	if ((st->st_mode & S_IFMT) != type)
		return type == S_IFDIR ? "not a directory" : "not a plain file";
	if (st->st_uid != (uid_t)sksm_call0(SYS_geteuid))
		return "another user's";
	return st->st_mode & forbidden ? "open to others" : NULL;
}

/* True where @fd is of @type, belongs to the effective user and nobody else can change it. */
static bool is_ours(int fd, mode_t type, mode_t forbidden)
{
	struct stat st;

	return sksm_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 &&
	       !wrong_with(&st, type, forbidden);
}

static int open_directory(const struct sksm_sys *sys, int parent_fd, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = sys->openat(parent_fd, path, flags, 0), error;

	if (fd == -ENOENT) {
		error = (int)sksm_call3(SYS_mkdirat, parent_fd, path, 0700);
		if (error && error != -EEXIST)
			return error;
		fd = sys->openat(parent_fd, path, flags, 0);
	}
	/* What O_NOFOLLOW | O_DIRECTORY answers to a symbolic link. */
	if (fd == -ELOOP || fd == -ENOTDIR)
		return -EPERM;
	if (fd >= 0 && !is_ours(fd, S_IFDIR, S_IWGRP | S_IWOTH)) {
		sys->close(fd);
		return -EPERM;
	}
	return fd;
}

int sksm_domain_open(const struct sksm_sys *sys, const struct sksm_options *options)
{
	int dir_fd = open_directory(sys, AT_FDCWD, options->dir);
	int domain_fd;

	if (dir_fd < 0)
		return dir_fd;
	domain_fd = open_directory(sys, dir_fd, options->domain);
	sys->close(dir_fd);
	return domain_fd;
}

int sksm_domain_open_records(const struct sksm_sys *sys, int domain_fd)
{
	return open_directory(sys, domain_fd, "records");
}

static const char *name_error(int error)
{
	switch (error) {
	case -ENOENT:
		return "the directory above it is missing";
	case -EACCES:
		return "permission denied";
	case -EROFS:
		return "a read-only file system";
	case -ENOSPC:
	case -EDQUOT:
		return "no space left";
	default:
		return "it cannot be made or opened";
	}
}

void sksm_domain_explain(const struct sksm_options *options, int error, char *ret, size_t size)
{
	const char *const steps[] = { options->dir, options->domain, "records" };
	char path[SKSM_PATH_MAX + SKSM_DOMAIN_MAX + 16];
	struct sksm_fmt whole = sksm_fmt_start(path, sizeof(path));
	struct sksm_fmt fmt = sksm_fmt_start(ret, size);
	const char *wrong = NULL;
	struct stat st;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !wrong; i++) {
		if (i)
			sksm_fmt_char(&whole, '/');
		sksm_fmt_str(&whole, steps[i]);
		if (sksm_call4(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
			break;
		wrong = wrong_with(&st, S_IFDIR, S_IWGRP | S_IWOTH);
	}
	sksm_fmt_str(&fmt, wrong ? wrong : name_error(error));
	if (wrong)
		sksm_fmt_str(&fmt, ", expected a directory that only this user can write to");
	sksm_fmt_str(&fmt, ": ");
	sksm_fmt_str(&fmt, path);
}

int sksm_domain_open_file(const struct sksm_sys *sys, int dir_fd, const char *name, int flags)
{
	int fd = sys->openat(dir_fd, name,
			     flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

	/* A link, a directory, a socket. */
	if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
		return -EPERM;
	if (fd >= 0 && !is_ours(fd, S_IFREG, S_IRWXG | S_IRWXO)) {
		sys->close(fd);
		return -EPERM;
	}
	return fd;
}

static int read_key(const struct sksm_sys *sys, int domain_fd, uint8_t ret_key[SKSM_KEY_BYTES])
{
	int fd = sksm_domain_open_file(sys, domain_fd, "key", O_RDONLY);
	uint8_t key[SKSM_KEY_BYTES + 1];
	ssize_t length;

	if (fd < 0)
		return fd;
	length = sys->pread(fd, key, sizeof(key), 0);
	sys->close(fd);
	if (length != SKSM_KEY_BYTES)
		return length < 0 ? (int)length : -EPERM;
	memcpy(ret_key, key, SKSM_KEY_BYTES);
	return 0;
}

/* Written under a name of its own and then linked: nobody ever reads half a key. */
static int make_key(const struct sksm_sys *sys, int domain_fd)
{
	uint8_t key[SKSM_KEY_BYTES];
	char name[64];
	struct sksm_fmt fmt = sksm_fmt_start(name, sizeof(name));
	int fd, error = 0;

	if (sksm_call3(SYS_getrandom, key, sizeof(key), 0) != (long)sizeof(key))
		return -EAGAIN;
	sksm_fmt_str(&fmt, "key.");
	sksm_fmt_uint(&fmt, (uint64_t)sksm_call0(SYS_gettid), 10);
	sksm_fmt_char(&fmt, '.');
	sksm_fmt_uint(&fmt, sksm_clock_ns(CLOCK_BOOTTIME), 16);
	fd = sys->openat(domain_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	if (fd < 0)
		return fd;
	if (sys->write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		error = -ENOSPC;
	sys->close(fd);
	if (!error)
		error = (int)sksm_call5(SYS_linkat, domain_fd, name, domain_fd, "key", 0);
	sksm_call3(SYS_unlinkat, domain_fd, name, 0);
	return error == -EEXIST ? 0 : error;
}

int sksm_domain_key(const struct sksm_sys *sys, int domain_fd, uint8_t ret_key[SKSM_KEY_BYTES])
{
	int error = read_key(sys, domain_fd, ret_key);

	if (error != -ENOENT)
		return error;
	error = make_key(sys, domain_fd);
	return error ? error : read_key(sys, domain_fd, ret_key);
}
