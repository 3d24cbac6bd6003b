/* SPDX-License-Identifier: MIT */
/*
 * Be away while the program counts its threads. Sandboxes look at /proc/self/task before they go
 * on, by its link count or by its entries, and abort where there is more than one. So whoever
 * names that directory finds our thread gone, and it stays away for a while. So does whoever has
 * just forked and opens /proc/self/stat or status, as Python does since 3.12, to warn of threads.
 *
 * The functions are passed on first and the path is looked at afterwards, when they succeeded: by
 * then it is known to be readable. What was counted with us is counted once more. Lookups by bare
 * system calls, and those inside glibc (nftw, glob), are not seen.
 *
 * The functions behind the hooks are looked up when they are first called, when the shim wakes, or
 * before there is a second thread (malloc.c): the constructor has no time for them.
 */
#include "shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tracker/sys.h"

/* From counting to the sandbox that it was for. */
#define AWAY_NS 2000000000ull
/* From a fork to a question about it. */
#define FORKED_NS 100000000ull

/* Behind "self" or our pid. NULL: another process, or no process. */
static const char *skip_process(const char *path)
{
	uint32_t pid = 0;

	if (strncmp(path, "self/", 5) == 0)
		return path + 5;
	for (; *path >= '0' && *path <= '9'; path++)
		pid = pid * 10 + (uint32_t)(*path - '0');
	/*
	 * A shim that sleeps does not ask for its pid; whoever has one to give has no thread yet.
	 */
	return pid && *path == '/' && shim_active() && pid == shim.control->pid ? path + 1 : NULL;
}

/* What is opened for other reasons as well, again and again, tells of threads after a fork only. */
static bool has_just_forked(void)
{
	return shim.forked_ns && shim_coarse_ns() - shim.forked_ns < FORKED_NS;
}

/* Relative paths are those below a descriptor of /proc or of /proc/PID. */
static bool names_tasks(const char *path)
{
	bool is_absolute;

	/* Since 6.11 statx and fstatat take none; glibc's headers say that there is one. */
	__asm__("" : "+r"(path));
	if (!path)
		return false;
	is_absolute = *path == '/';
	if (is_absolute && strncmp(path, "/proc/", 6) != 0)
		return false;
	if (is_absolute || strncmp(path, "task", 4) != 0)
		path = skip_process(is_absolute ? path + 6 : path);
	if (!path)
		return false;
	if (strncmp(path, "task", 4) != 0)
		return (strcmp(path, "stat") == 0 || strcmp(path, "status") == 0) &&
		       has_just_forked();
	for (path += 4; *path == '/' || *path == '.'; path++)
		;
	return !*path;
}

/* True: our thread was there, or may have been. */
static bool step_aside(void)
{
	struct shim_control *control = shim.control;
	int saved_errno = errno;

	/* A shim that sleeps has no thread, and is to have none for a while. */
	__atomic_store_n(&shim.away_until_ns, shim_coarse_ns() + AWAY_NS, __ATOMIC_SEQ_CST);
	if (!shim_active() || !control->alive ||
	    control->pid != (uint32_t)sksm_call0(SYS_getpid))
		return false;
	shim_thread_hold();
	shim_thread_release();
	errno = saved_errno;
	return true;
}

static bool is_counting(const char *path)
{
	return (shim_active() || shim.sleep) && !shim.sandboxed && names_tasks(path) &&
	       step_aside();
}

#define STATS(X) \
	X(stat, (const char *path, struct stat *buf), (path, buf)) \
	X(stat64, (const char *path, struct stat64 *buf), (path, buf)) \
	X(lstat, (const char *path, struct stat *buf), (path, buf)) \
	X(lstat64, (const char *path, struct stat64 *buf), (path, buf)) \
	X(fstatat, (int fd, const char *path, struct stat *buf, int flags), \
	  (fd, path, buf, flags)) \
	X(fstatat64, (int fd, const char *path, struct stat64 *buf, int flags), \
	  (fd, path, buf, flags)) \
	X(statx, (int fd, const char *path, int flags, unsigned int mask, struct statx *buf), \
	  (fd, path, flags, mask, buf)) \
	/* What those before glibc 2.33 are, in programs that were built with it. */ \
	X(__xstat, (int version, const char *path, struct stat *buf), (version, path, buf)) \
	X(__xstat64, (int version, const char *path, struct stat64 *buf), (version, path, buf)) \
	X(__lxstat, (int version, const char *path, struct stat *buf), (version, path, buf)) \
	X(__lxstat64, (int version, const char *path, struct stat64 *buf), \
	  (version, path, buf)) \
	X(__fxstatat, (int version, int fd, const char *path, struct stat *buf, int flags), \
	  (version, fd, path, buf, flags)) \
	X(__fxstatat64, (int version, int fd, const char *path, struct stat64 *buf, int flags), \
	  (version, fd, path, buf, flags))

#define OPENS(X) \
	X(open, (const char *path, int flags, ...), (path, flags, mode)) \
	X(open64, (const char *path, int flags, ...), (path, flags, mode)) \
	X(openat, (int fd, const char *path, int flags, ...), (fd, path, flags, mode)) \
	X(openat64, (int fd, const char *path, int flags, ...), (fd, path, flags, mode))

/* Of _FORTIFY_SOURCE, where the flags are no constant. */
#define OPENS_2(X) \
	X(__open_2, (const char *path, int flags), (path, flags)) \
	X(__open64_2, (const char *path, int flags), (path, flags)) \
	X(__openat_2, (int fd, const char *path, int flags), (fd, path, flags)) \
	X(__openat64_2, (int fd, const char *path, int flags), (fd, path, flags))

#define STREAMS(X) \
	X(DIR, opendir, (const char *path), (path)) \
	X(FILE, fopen, (const char *path, const char *mode), (path, mode)) \
	X(FILE, fopen64, (const char *path, const char *mode), (path, mode))

#define DECLARE(name, parameters, ...) static int (*real_##name) parameters;
STATS(DECLARE)
OPENS(DECLARE)
OPENS_2(DECLARE)
#define DECLARE_STREAM(type, name, parameters, arguments) static type *(*real_##name) parameters;
STREAMS(DECLARE_STREAM)

#define RESOLVE(name, parameters, ...) \
	if (!real_##name) \
		real_##name = (int (*) parameters)dlsym(RTLD_NEXT, #name);

#define RESOLVE_STREAM(type, name, parameters, arguments) \
	if (!real_##name) \
		real_##name = (type *(*) parameters)dlsym(RTLD_NEXT, #name);

void shim_count_resolve(void)
{
	STATS(RESOLVE)
	OPENS(RESOLVE)
	OPENS_2(RESOLVE)
	STREAMS(RESOLVE_STREAM)
}

/* A C library without such a function: nobody was linked to it. */
static int not_there(void)
{
	errno = ENOSYS;
	return -1;
}

#define NEED(name, parameters) \
	RESOLVE(name, parameters) \
	if (!real_##name) \
		return not_there();

#define DEFINE_STAT(name, parameters, arguments) \
	SHIM_EXPORT int name parameters; \
	SHIM_EXPORT int name parameters \
	{ \
		int result; \
\
		NEED(name, parameters) \
		result = real_##name arguments; \
		if (!result && is_counting(path)) \
			result = real_##name arguments; \
		return result; \
	}
STATS(DEFINE_STAT)

/* Whose entries are read is read later. */
static int opened(int fd, const char *path)
{
	if (fd >= 0)
		is_counting(path);
	return fd;
}

#define DEFINE_OPEN(name, parameters, arguments) \
	SHIM_EXPORT int name parameters \
	{ \
		va_list args; \
		mode_t mode = 0; \
\
		if (__OPEN_NEEDS_MODE(flags)) { \
			va_start(args, flags); \
			mode = va_arg(args, mode_t); \
			va_end(args); \
		} \
		NEED(name, parameters) \
		return opened(real_##name arguments, path); \
	}
OPENS(DEFINE_OPEN)

#define DEFINE_OPEN_2(name, parameters, arguments) \
	SHIM_EXPORT int name parameters; \
	SHIM_EXPORT int name parameters \
	{ \
		NEED(name, parameters) \
		return opened(real_##name arguments, path); \
	}
OPENS_2(DEFINE_OPEN_2)

/* Likewise: what is in the file is made when it is read. */
#define DEFINE_STREAM(type, name, parameters, arguments) \
	SHIM_EXPORT type *name parameters \
	{ \
		type *result; \
\
		if (!real_##name) \
			shim_count_resolve(); \
		result = real_##name arguments; \
		if (result) \
			is_counting(path); \
		return result; \
	}
STREAMS(DEFINE_STREAM)
