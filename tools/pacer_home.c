/* SPDX-License-Identifier: MIT */
#include "pacer_home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

#include "tracker/options.h"

#define LOCK_NAME "pacer.lock"
#define STATS_NAME "pacer.stats"
#define REGISTER_NAME "pacer.d"
#define PACER_COMM "sksm-pacer"

static int open_ours(int parent_fd, const char *path)
{
	struct stat status;
	int fd;

	if (mkdirat(parent_fd, path, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
	if (fstat(fd, &status) || status.st_uid != 0 || (status.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

int sksm_pacer_home_open(void)
{
	int home_fd = open_ours(AT_FDCWD, SKSM_PACER_HOME);
	int register_fd;

	if (home_fd < 0)
		return home_fd;
	register_fd = open_ours(home_fd, REGISTER_NAME);
	if (register_fd < 0) {
		close(home_fd);
		return register_fd;
	}
	close(register_fd);
	return home_fd;
}

int sksm_pacer_home_lock(int home_fd, pid_t *ret_holder)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = openat(home_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_SETLK, &lock))
		return fd;
	*ret_holder = fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK ? 0 : lock.l_pid;
	close(fd);
	return -EAGAIN;
}

/* Without permission for the lock: a root process of that name. */
static pid_t find_by_name(void)
{
	DIR *stream = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (stream && !found && (entry = readdir(stream))) {
		struct sksm_process process;
		uint64_t pid;

		if (sksm_text_number(entry->d_name, &pid) && pid <= INT32_MAX &&
		    !sksm_process_read((pid_t)pid, &process) && !process.dead &&
		    !strcmp(process.comm, PACER_COMM) &&
		    sksm_process_has_uid((pid_t)pid, 0))
			found = (pid_t)pid;
	}
	if (stream)
		closedir(stream);
	return found;
}

pid_t sksm_pacer_home_holder(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(SKSM_PACER_HOME "/" LOCK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	pid_t holder = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : find_by_name();
	if (!fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK)
		holder = lock.l_pid;
	close(fd);
	return holder;
}

int sksm_pacer_home_register(int home_fd, const char *dir)
{
	int register_fd = openat(home_fd, REGISTER_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];
	int error;

	if (register_fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "%d", (int)getpid());
	error = sksm_text_replace(register_fd, name, dir, 0600);
	close(register_fd);
	return error;
}

void sksm_pacer_home_unregister(int home_fd)
{
	char name[32];

	snprintf(name, sizeof(name), REGISTER_NAME "/%d", (int)getpid());
	unlinkat(home_fd, name, 0);
}

static void visit_registered(int register_fd, const char *name,
			     void (*found)(const char *dir, void *arg), void *arg)
{
	struct sksm_process process;
	char dir[SKSM_PATH_MAX];
	uint64_t pid;

	if (!sksm_text_number(name, &pid) || pid > INT32_MAX)
		return;
	if (sksm_process_read((pid_t)pid, &process) || process.dead ||
	    strcmp(process.comm, PACER_COMM)) {
		unlinkat(register_fd, name, 0);
		return;
	}
	if (sksm_text_read(register_fd, name, dir, sizeof(dir)) > 0 && dir[0] == '/')
		found(dir, arg);
}

void sksm_pacer_home_registered(void (*found)(const char *dir, void *arg), void *arg)
{
	int fd = open(SKSM_PACER_HOME "/" REGISTER_NAME,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(stream)))
		visit_registered(fd, entry->d_name, found, arg);
	closedir(stream);
}

int sksm_pacer_home_read_stats(struct sksm_pacer_stats *ret)
{
	char text[256];
	ssize_t length = sksm_text_read(AT_FDCWD, SKSM_PACER_HOME "/" STATS_NAME, text,
					sizeof(text));

	memset(ret, 0, sizeof(*ret));
	if (length < 0)
		return length == -ENOENT ? 0 : (int)length;
	if (sscanf(text, "pacer_cpu_ns %" SCNu64 "\nksmd_cpu_ns %" SCNu64 "\npulses %" SCNu64,
		   &ret->pacer_cpu_ns, &ret->ksmd_cpu_ns, &ret->pulses) == 3)
		return 0;
	memset(ret, 0, sizeof(*ret));
	return -EINVAL;
}

int sksm_pacer_home_write_stats(int home_fd, const struct sksm_pacer_stats *stats)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "pacer_cpu_ns %" PRIu64 "\nksmd_cpu_ns %" PRIu64 "\npulses %" PRIu64 "\n",
		 stats->pacer_cpu_ns, stats->ksmd_cpu_ns, stats->pulses);
	return sksm_text_replace(home_fd, STATS_NAME, text, 0600);
}
