/* SPDX-License-Identifier: MIT */
/*
 * places chroot DIRECTORY | net | time SECONDS | secure | threads: with 16 MiB to work on, go
 * somewhere else, map more and fork there. "time" enters a time namespace whose clock is ahead,
 * which only a process of one thread may. "secure" says whether the kernel has changed the ids of
 * this program, and whether a library with "sksm" in its name is in it. "threads" starts one.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "victim.h"

#define BYTES (16ul << 20)
#define NEW_TIME 0x80	/* CLONE_NEWTIME, since 5.6 */

static void show(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
	fflush(stdout);
}

static unsigned char *map(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(p + i, 1 + i / PAGE % 64);
	return p;
}

static void verify(const unsigned char *p, size_t bytes, const char *what)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(p + i, 1 + i / PAGE % 64))
			wrong(what, i / PAGE);
}

/* Live on where we are now, and have a child that does. */
static void live_on(void)
{
	unsigned char *p = map(BYTES / 2), *of_child;
	int status;
	pid_t pid;

	/* Until all of it is digested: what a child shares is not, any more. */
	sleep_ms(1500);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		of_child = map(BYTES / 2);
		sleep_ms(300);
		verify(p, BYTES / 2, "inherited");
		verify(of_child, BYTES / 2, "child");
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	printf("child: status %#x\n", (unsigned int)status);
	verify(p, BYTES / 2, "later");
}

static void test_chroot(const char *directory)
{
	show("chroot", chroot(directory));
	show("chdir", chdir("/"));
	live_on();
	/* As daemons do: user and group change in the new root. */
	show("setgid", setgid(65534));
	show("setuid", setuid(65534));
	live_on();
}

static void test_net(const char *unused)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	show("unshare", unshare(CLONE_NEWNET));
	live_on();
	show("setns", setns(own, CLONE_NEWNET));
	live_on();
}

static void test_time(const char *seconds)
{
	struct timespec before, after;
	int fd = -1, offsets;
	char line[64];
	int length = snprintf(line, sizeof(line), "boottime %s 0\n", seconds);

	clock_gettime(CLOCK_BOOTTIME, &before);
	show("unshare", unshare(NEW_TIME));
	offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	show("offsets", write(offsets, line, (size_t)length));
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	show("setns", setns(fd, NEW_TIME));
	clock_gettime(CLOCK_BOOTTIME, &after);
	printf("the clock was set: %d\n", labs(after.tv_sec - before.tv_sec - atol(seconds)) < 5);
	live_on();
}

static void test_secure(const char *unused)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		count += strstr(line, "libsksm") != NULL;
	printf("secure: %lu, preloaded: %d, euid: %d\n", getauxval(AT_SECURE), count != 0,
	       (int)geteuid());
}

static void *idle(void *argument)
{
	sleep_ms(100);
	return argument;
}

static void test_threads(const char *unused)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, idle, NULL);

	printf("a thread: %s\n", strerror(error));
	if (!error)
		pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(const char *argument);
	} modes[] = {
		{ "chroot", test_chroot }, { "net", test_net }, { "time", test_time },
		{ "secure", test_secure }, { "threads", test_threads },
	};
	unsigned char *memory = map(BYTES);

	sleep_ms(300);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && strcmp(argv[1], modes[i].name) == 0)
			modes[i].test(argc > 2 ? argv[2] : "0");
	verify(memory, BYTES, "places");
	printf("verified\n");
	return 0;
}
