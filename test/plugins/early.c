/* SPDX-License-Identifier: MIT */
/*
 * A library in LD_PRELOAD whose constructor, destructor and exit handler do what hooks of other
 * libraries see: map, read, wait, fork. Before or behind us, as the order of LD_PRELOAD has it.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../victims/victim.h"

#define BYTES (4ul << 20)

static unsigned char *kept;
static int failures;

static void check(bool good, const char *when, const char *what)
{
	if (good)
		return;
	failures++;
	dprintf(1, "early: %s: %s: %s\n", when, what, strerror(errno));
}

static unsigned char *map_some(const char *when)
{
	unsigned char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	check(p != MAP_FAILED, when, "mmap");
	for (size_t i = 0; i < BYTES; i += PAGE)
		page_write(p + i, 1 + i % 16);
	return p;
}

static void verify(const unsigned char *p, const char *when)
{
	for (size_t i = 0; i < BYTES; i += PAGE)
		check(page_is(p + i, 1 + i % 16), when, "bytes");
}

static void call_what_waits(const char *when)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), available, status = -1;
	char text[16];
	pid_t pid;

	check(fd >= 0 && read(fd, text, sizeof(text)) == sizeof(text), when, "read");
	check(ioctl(fd, FIONREAD, &available) == 0, when, "ioctl");
	close(fd);
	check(poll(NULL, 0, 1) == 0, when, "poll");
	sleep_ms(2);
	check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) >= 0, when, "prctl");
	check(syscall(SYS_getpid) == getpid(), when, "syscall");
	check(madvise(NULL, 0, MADV_NORMAL) == 0, when, "madvise");
	pid = fork();
	if (pid == 0)
		_exit(9);
	check(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9, when,
	      "waitpid");
}

static void do_everything(const char *when)
{
	unsigned char *p = map_some(when), *moved;

	call_what_waits(when);
	moved = mremap(p, BYTES, 2 * BYTES, MREMAP_MAYMOVE);
	check(moved != MAP_FAILED, when, "mremap");
	verify(moved, when);
	check(munmap(moved, 2 * BYTES) == 0, when, "munmap");
	verify(kept, when);
	dprintf(1, "early: %s: %d failures\n", when, failures);
}

static void at_the_end(void)
{
	do_everything("exit handler");
}

__attribute__((constructor)) static void begin(void)
{
	kept = map_some("constructor");
	do_everything("constructor");
	atexit(at_the_end);
}

__attribute__((destructor)) static void end(void)
{
	do_everything("destructor");
}
