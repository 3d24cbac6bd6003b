/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define NS_PER_S 1000000000ull
#define PF_KTHREAD 0x00200000u	/* include/linux/sched.h; shown in stat as it is */

int sksm_process_read(pid_t pid, struct sksm_process *ret)
{
	char path[32], text[1024], state, *open, *close;
	struct sksm_process process = { 0 };
	unsigned long long start;
	unsigned int flags;
	long threads;
	ssize_t length;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	length = sksm_text_read(AT_FDCWD, path, text, sizeof(text));
	if (length < 0)
		return (int)length;
	/* The name may hold blanks and brackets of its own; it ends at the last bracket. */
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EINVAL;
	if (sscanf(close + 1,
		   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d"
		   " %ld %*d %llu",
		   &state, &parent, &flags, &threads, &start) != 5)
		return -EINVAL;
	*close = '\0';
	snprintf(process.comm, sizeof(process.comm), "%s", open + 1);
	process.parent = parent;
	process.start_ticks = start;
	process.kernel_thread = flags & PF_KTHREAD;
	process.leader_gone = (state == 'Z' || state == 'X') && threads > 1;
	process.dead = (state == 'Z' || state == 'X') && threads <= 1;
	*ret = process;
	return 0;
}

bool sksm_process_has_uid(pid_t pid, uid_t uid)
{
	unsigned int real, effective, saved;
	char path[32], text[2048], *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (sksm_text_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return false;
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) != 3)
		return false;
	return real == uid || effective == uid || saved == uid;
}

/* A thread of @pid that still has its address space. 0 where there is none. */
static pid_t living_thread(pid_t pid)
{
	struct dirent *entry;
	pid_t thread = 0;
	char path[64];
	DIR *stream;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	stream = opendir(path);
	while (stream && !thread && (entry = readdir(stream))) {
		uint64_t tid;

		if (sksm_text_number(entry->d_name, &tid) && (pid_t)tid != pid)
			thread = (pid_t)tid;
	}
	if (stream)
		closedir(stream);
	return thread;
}

int sksm_process_open(pid_t pid, const char *name)
{
	struct sksm_process process;
	char path[64];
	int error, fd;

	error = sksm_process_read(pid, &process);
	if (error)
		return error;
	if (process.leader_gone)
		pid = living_thread(pid);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sksm_process_stream(pid_t pid, const char *name, FILE **ret)
{
	int fd = sksm_process_open(pid, name);

	if (fd < 0)
		return fd;
	*ret = fdopen(fd, "r");
	if (*ret)
		return 0;
	close(fd);
	return -ENOMEM;
}

/* Can @record, a file of @owner, be about @pid? */
static bool can_be_of(const struct sksm_record *record, uid_t owner, pid_t pid)
{
	struct sksm_process process;
	uint64_t start_ns, hertz = (uint64_t)sysconf(_SC_CLK_TCK);

	if (sksm_process_read(pid, &process) || process.dead)
		return false;
	start_ns = process.start_ticks / hertz * NS_PER_S +
		   process.start_ticks % hertz * NS_PER_S / hertz;
	if (start_ns > record->start_ns)
		return false;
	/* A user cannot make the process of another one appear in the report. Root's can change. */
	return owner == 0 || sksm_process_has_uid(pid, owner);
}

bool sksm_process_matches(const struct sksm_record *record, uid_t owner)
{
	return can_be_of(record, owner, (pid_t)record->pid);
}

bool sksm_process_matches_nested(const struct sksm_record *record, uid_t owner,
				 const struct sksm_nested *nested)
{
	size_t i;

	for (i = 0; i < nested->count; i++)
		if (nested->list[i].inner == (pid_t)record->pid &&
		    can_be_of(record, owner, nested->list[i].outer))
			return true;
	return false;
}

/* True where the record was made before the machine was started: its clock says so. */
static bool from_earlier_boot(const struct sksm_record *record)
{
	struct timespec boot, real;
	int64_t booted_now, booted_then;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &real);
	booted_now = real.tv_sec - boot.tv_sec;
	booted_then = (int64_t)(record->start_realtime_ns / NS_PER_S) -
		      (int64_t)(record->start_ns / NS_PER_S);
	return record->start_ns / NS_PER_S > (uint64_t)boot.tv_sec + 1 ||
	       llabs(booted_now - booted_then) > 60;
}

/*
 * True where the process maps the record, or the library where records are not mapped;
 * @if_unreadable where that cannot be seen. Device numbers differ between stat and maps on btrfs
 * and overlayfs, so that the path counts as well.
 */
static bool maps_record(pid_t pid, const struct sksm_place_record *found,
			bool if_unreadable)
{
	char *line = NULL, tail[300];
	unsigned int major, minor;
	bool mapped = false;
	size_t size = 0;
	ino_t inode;
	int error, path;
	FILE *maps;

	error = sksm_process_stream(pid, "maps", &maps);
	if (error)
		return if_unreadable && error != -ENOENT && error != -ESRCH;
	snprintf(tail, sizeof(tail), "/%s/records/%s", found->domain, found->name);
	while (!mapped && getline(&line, &size, maps) > 0) {
		if (sscanf(line, "%*x-%*x %*s %*x %x:%x %lu %n", &major, &minor, &inode,
			   &path) != 3)
			continue;
		if (!found->mapped)
			mapped = strstr(line + path, "/libsksm");
		else
			mapped = inode == found->inode && (makedev(major, minor) == found->dev ||
							   strstr(line + path, tail));
	}
	mapped = mapped || (if_unreadable && ferror(maps));
	free(line);
	fclose(maps);
	return mapped;
}

/* The process behind a record from another pid namespace, 0 where there is none. */
static pid_t find_nested(const struct sksm_place_record *found, const struct sksm_nested *nested)
{
	size_t i;

	for (i = 0; i < nested->count; i++) {
		pid_t outer = nested->list[i].outer;

		if (nested->list[i].inner == (pid_t)found->record->pid &&
		    (!found->owner || sksm_process_has_uid(outer, found->owner)) &&
		    (found->mapped || can_be_of(found->record, found->owner, outer)) &&
		    maps_record(outer, found, false))
			return outer;
	}
	return 0;
}

/* What became of a process of ours that does not map its record, or not any more. */
static enum sksm_life judge_ended(const struct sksm_place_record *found, bool matches,
				  bool superseded)
{
	struct sksm_process other;

	if (found->record->state == SKSM_STATE_EXEC)
		return SKSM_LIFE_EXEC;
	if (matches)
		return superseded || !from_earlier_boot(found->record) ? SKSM_LIFE_EXEC :
		       SKSM_LIFE_KILLED;
	/* With another process under that pid now, a newer record is the other one's. */
	return superseded && sksm_process_read((pid_t)found->record->pid, &other) ?
	       SKSM_LIFE_EXEC : SKSM_LIFE_KILLED;
}

enum sksm_life sksm_process_life(const struct sksm_place_record *found, bool superseded,
				 const struct sksm_nested *nested, pid_t *ret_pid)
{
	const struct sksm_record *record = found->record;
	bool matches;
	pid_t outer;

	*ret_pid = (pid_t)record->pid;
	if (record->state == SKSM_STATE_EXITED)
		return SKSM_LIFE_EXITED;
	outer = find_nested(found, nested);
	if (outer) {
		*ret_pid = outer;
		return SKSM_LIFE_RUNNING;
	}
	matches = sksm_process_matches(record, found->owner);
	if (matches && !superseded && maps_record(*ret_pid, found, true))
		return SKSM_LIFE_RUNNING;
	return judge_ended(found, matches, superseded);
}

const char *sksm_life_name(enum sksm_life life)
{
	static const char *const names[] = {
		[SKSM_LIFE_RUNNING] = "running",
		[SKSM_LIFE_EXITED] = "exited",
		[SKSM_LIFE_KILLED] = "killed",
		[SKSM_LIFE_EXEC] = "exec",
	};

	return names[life];
}
