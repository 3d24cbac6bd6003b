/* SPDX-License-Identifier: MIT */
/*
 * exec: the record says that this image of the process was left by it. The next image is often too
 * short-lived to have a record of its own, which would tell as well. An exec by a bare system call
 * is not seen; nor is posix_spawn's, whose child has no record yet.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#define EXECS(X) \
	X(execve, (const char *path, char *const argv[], char *const envp[]), (path, argv, envp)) \
	X(execv, (const char *path, char *const argv[]), (path, argv)) \
	X(execvp, (const char *file, char *const argv[]), (file, argv)) \
	X(execvpe, (const char *file, char *const argv[], char *const envp[]), \
	  (file, argv, envp)) \
	X(fexecve, (int fd, char *const argv[], char *const envp[]), (fd, argv, envp))

#define DECLARE(name, parameters, arguments) static int (*real_##name) parameters;
EXECS(DECLARE)

#define RESOLVE(name, parameters, arguments) \
	real_##name = (int (*) parameters)dlsym(RTLD_NEXT, #name);

void shim_exec_resolve(void)
{
	EXECS(RESOLVE)
}

#define DEFINE(name, parameters, arguments) \
	SHIM_EXPORT int name parameters \
	{ \
		int saved_errno, result; \
\
		if (!real_##name) \
			RESOLVE(name, parameters, arguments) \
		saved_errno = errno; \
		if (shim_active()) \
			shim_exit_exec(true); \
		errno = saved_errno; \
		result = real_##name arguments; \
		saved_errno = errno; \
		if (shim_active()) \
			shim_exit_exec(false); \
		errno = saved_errno; \
		return result; \
	}
EXECS(DEFINE)

/* How many arguments follow @first, the NULL at the end included. */
static size_t count_arguments(const char *first, va_list args)
{
	size_t count = 1;

	for (const char *arg = first; arg; count++)
		arg = va_arg(args, const char *);
	return count;
}

/* On the stack, as libc has it: in a vfork child malloc would be the parent's. */
#define COLLECT(first, args, argv) \
	do { \
		va_start(args, first); \
		size_t count = count_arguments(first, args); \
		va_end(args); \
		argv = __builtin_alloca((count + 1) * sizeof(*argv)); \
		argv[0] = (char *)first; \
		va_start(args, first); \
		for (size_t i = 1; argv[i - 1]; i++) \
			argv[i] = va_arg(args, char *); \
	} while (0)

SHIM_EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;

	COLLECT(arg, args, argv);
	va_end(args);
	return execv(path, argv);
}

SHIM_EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;
	char **argv;

	COLLECT(arg, args, argv);
	va_end(args);
	return execvp(file, argv);
}

SHIM_EXPORT int execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	va_list args;
	char **argv;

	COLLECT(arg, args, argv);
	envp = va_arg(args, char *const *);
	va_end(args);
	return execve(path, argv, envp);
}
