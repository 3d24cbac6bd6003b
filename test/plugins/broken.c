// SPDX-License-Identifier: MIT
/*
 * Does what a preloaded library must not, one of the things below as $BREAK says, in python3
 * alone. test/compat/run has to see each.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *broken = "";

static void linger(void)
{
	if (fork())
		return;
	prctl(PR_SET_NAME, "lingering");
	setsid();
	sleep(20);
	_exit(0);
}

__attribute__((constructor)) static void begin(int argc, char *argv[])
{
	const char *what = getenv("BREAK");

	if (!what || argc < 1 || !strstr(argv[0], "python"))
		return;
	broken = what;
	if (strcmp(broken, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(broken, "hang") == 0)
		pause();
	if (strcmp(broken, "noise") == 0)
		fprintf(stderr, "something else\n");
	if (strcmp(broken, "linger") == 0)
		linger();
}

__attribute__((destructor)) static void end(void)
{
	if (strcmp(broken, "status") == 0)
		_exit(42);
}

/* A mapping loses a byte when the next one is made. */
__attribute__((visibility("default"))) void *mmap64(void *addr, size_t length, int protection,
						      int flags, int fd, off64_t offset);
void *mmap64(void *addr, size_t length, int protection, int flags, int fd, off64_t offset)
{
	static char *last;
	void *result = (void *)syscall(SYS_mmap, addr, length, protection, flags, fd, offset);

	if (strcmp(broken, "memory") == 0 && length == 1 << 20) {
		if (last)
			last[4096] ^= 1;
		last = result;
	}
	return result;
}
