/* SPDX-License-Identifier: MIT */
/*
 * single: with memory to work on, do what the kernel or the C library allow to a program of one
 * thread only (or what breaks threads that do not expect it), and print the results.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

static unsigned char *memory;
static const size_t bytes = 64 << 20;

static void show(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
	fflush(stdout);
}

/* Each in a child that has memory and time of its own, so that one does not spoil the next. */
static void in_child(const char *name, void (*attempt)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < bytes; i += PAGE)
			page_write(memory + i, 2 + i);
		sleep_ms(300);
		attempt();
		sleep_ms(100);
		for (size_t i = 0; i < bytes; i += PAGE)
			if (!page_is(memory + i, 2 + i))
				wrong(name, i / PAGE);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	printf("%s ended with %#x\n", name, (unsigned int)status);
}

static void unshare_user(void)
{
	show("unshare(CLONE_NEWUSER)", unshare(CLONE_NEWUSER));
}

static void unshare_thread(void)
{
	show("unshare(CLONE_THREAD)", unshare(CLONE_THREAD));
	show("unshare(CLONE_VM)", unshare(CLONE_VM));
	show("unshare(CLONE_SIGHAND)", unshare(CLONE_SIGHAND));
}

static void unshare_others(void)
{
	show("unshare(CLONE_NEWPID)", unshare(CLONE_NEWPID));
	show("unshare(CLONE_NEWNS)", unshare(CLONE_NEWNS));
	show("unshare(CLONE_FS)", unshare(CLONE_FS));
	show("unshare(CLONE_FILES)", unshare(CLONE_FILES));
}

static void enter_own(void)
{
	int user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	int mount = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	show("setns(user)", setns(user, CLONE_NEWUSER));	/* one's own: EINVAL */
	show("setns(mnt)", setns(mount, CLONE_NEWNS));
}

static void enter_other(void)
{
	char path[64];
	int ready[2], fd;
	char c = 0;
	pid_t pid;

	if (pipe(ready) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		c = unshare(CLONE_NEWUSER) == 0;
		if (write(ready[1], &c, 1) == 1)
			sleep_ms(3000);
		_exit(0);
	}
	if (read(ready[0], &c, 1) != 1)
		die("read");
	printf("a child in a new user namespace: %d\n", c);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	show("setns(the child's)", setns(fd, CLONE_NEWUSER));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void undumpable(void)
{
	show("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	sleep_ms(200);
}

static void change_root(void)
{
	/* Somewhere with no /proc, no /run and no /tmp. */
	show("chdir", chdir("/proc/self/fdinfo"));
	show("chroot", chroot("."));
	sleep_ms(200);
}

int main(void)
{
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(300);
	in_child("user", unshare_user);
	in_child("thread", unshare_thread);
	in_child("others", unshare_others);
	in_child("own", enter_own);
	in_child("other", enter_other);
	in_child("undumpable", undumpable);
	if (geteuid() == 0)
		in_child("chroot", change_root);
	unshare_user();
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("single", i / PAGE);
	printf("verified\n");
	return 0;
}
