/* SPDX-License-Identifier: MIT */
/*
 * Calls that want a process with one thread, or change what a thread is: ours steps aside for
 * them and comes back afterwards, made by the thread that called and so with the ids it has then.
 * These hooks wait for our thread to end: usually microseconds, at most one bounded kernel call.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <unistd.h>

int capset(cap_user_header_t header, const cap_user_data_t data);

#define ASIDES(X) \
	X(setuid, (uid_t uid), (uid)) \
	X(setgid, (gid_t gid), (gid)) \
	X(seteuid, (uid_t uid), (uid)) \
	X(setegid, (gid_t gid), (gid)) \
	X(setreuid, (uid_t real, uid_t effective), (real, effective)) \
	X(setregid, (gid_t real, gid_t effective), (real, effective)) \
	X(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved)) \
	X(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved)) \
	X(setgroups, (size_t count, const gid_t *groups), (count, groups)) \
	X(initgroups, (const char *user, gid_t group), (user, group)) \
	X(setfsuid, (uid_t uid), (uid)) \
	X(setfsgid, (gid_t gid), (gid)) \
	X(capset, (cap_user_header_t header, const cap_user_data_t data), (header, data)) \
	X(unshare, (int flags), (flags)) \
	X(setns, (int fd, int type), (fd, type))

#define DECLARE(name, parameters, arguments) static int (*real_##name) parameters;
ASIDES(DECLARE)

#define RESOLVE(name, parameters, arguments) \
	real_##name = (int (*) parameters)dlsym(RTLD_NEXT, #name);

void shim_aside_resolve(void)
{
	ASIDES(RESOLVE)
}

#define DEFINE(name, parameters, arguments) \
	SHIM_EXPORT int name parameters \
	{ \
		bool active = shim_active(), was_running = false; \
		int result, saved_errno = errno; \
\
		if (active && !shim.control->alive) \
			shim_child(); \
		if (active) \
			was_running = shim_thread_hold(); \
		else if (!real_##name) \
			RESOLVE(name, parameters, arguments) \
		errno = saved_errno; \
		result = real_##name arguments; \
		saved_errno = errno; \
		if (active) \
			shim_thread_release(was_running); \
		errno = saved_errno; \
		return result; \
	}
ASIDES(DEFINE)
