/* SPDX-License-Identifier: MIT */
/*
 * What the program's leader does that reaches no hook of ours, looked at once a second. A thread
 * that has slept finds its caches cold, and a path looked up in /proc then costs 20 to 45 us; so
 * the files are kept open, and the full texts are read only where the cheap answers leave a doubt.
 */
#include "leader.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "thread.h"
#include "tracker/sys.h"

static int open_path(const char *path)
{
	return sksm_sys_kernel.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

void shim_leader_open(struct shim_leader *ret)
{
	ret->self_fd = open_path("/proc/self");
	ret->task_fd = open_path("/proc/self/task");
	ret->statm_fd = open_path("/proc/self/statm");
}

void shim_leader_close(struct shim_leader *leader)
{
	const int fds[] = { leader->self_fd, leader->task_fd, leader->statm_fd };

	for (unsigned int i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			sksm_sys_kernel.close(fds[i]);
}

/* A task that has exited has no memory any more. Where that cannot be read, it may have. */
static bool may_be_gone(const struct shim_leader *leader)
{
	struct stat st;
	char text[4];

	if (leader->task_fd >= 0 &&
	    sksm_call4(SYS_newfstatat, leader->task_fd, "", &st, AT_EMPTY_PATH) == 0 &&
	    st.st_nlink > 4)
		return false;
	return leader->statm_fd < 0 ||
	       sksm_sys_kernel.pread(leader->statm_fd, text, 2, 0) != 2 ||
	       (text[0] == '0' && text[1] == ' ');
}

bool shim_leader_is_gone(const struct shim_leader *leader, int *ret_status)
{
	const char *p, *last;
	char text[512];
	struct stat st;
	int code = 0;

	if (!may_be_gone(leader))
		return false;
	if (sksm_call4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) || st.st_nlink > 4)
		return false;
	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/stat", text, sizeof(text)) <= 0)
		return false;
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] != 'Z')
		return false;
	/* exit_code is the last field, a wait status. */
	last = strrchr(p, ' ');
	for (last++; *last >= '0' && *last <= '9'; last++)
		code = code * 10 + (*last - '0');
	*ret_status = code >> 8 & 0xff;
	return true;
}

/*
 * /proc/PID itself belongs to the effective ids of the leader, dumpable or not (fs/proc/base.c,
 * task_dump_owner).
 */
static bool same_owner(const struct shim_leader *leader)
{
	struct stat st;

	return leader->self_fd >= 0 &&
	       sksm_call4(SYS_newfstatat, leader->self_fd, "", &st, AT_EMPTY_PATH) == 0 &&
	       st.st_uid == (unsigned int)sksm_call0(SYS_geteuid) &&
	       st.st_gid == (unsigned int)sksm_call0(SYS_getegid);
}

bool shim_leader_has_other_ids(const struct shim_leader *leader, bool closely)
{
	unsigned int ruid, euid, suid, rgid, egid, sgid;
	struct sksm_ids ids;
	char text[2048];

	if (!closely && same_owner(leader))
		return false;
	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/status", text,
			   sizeof(text)) <= 0 || !shim_parse_ids(text, &ids))
		return false;
	sksm_call3(SYS_getresuid, &ruid, &euid, &suid);
	sksm_call3(SYS_getresgid, &rgid, &egid, &sgid);
	return ids.uid[0] != ruid || ids.uid[1] != euid || ids.uid[2] != suid ||
	       ids.gid[0] != rgid || ids.gid[1] != egid || ids.gid[2] != sgid;
}
