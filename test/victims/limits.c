/* SPDX-License-Identifier: MIT */
/*
 * limits nofile | as | room | nproc | closeall | dup2: live under a limit, or do to all descriptors
 * what daemons do, and print what the program can see of its descriptors before and after.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

static unsigned char *memory;
static const size_t bytes = 16 << 20;

/* Numbers only: what pipes and files they are differs from run to run. */
static void print_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		die("/proc/self/fd");
	printf("open:");
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
			printf(" %s", entry->d_name);
	printf("\n");
	closedir(directory);
}

static void fill(void)
{
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(300);
}

static void verify(void)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("limits", i / PAGE);
	printf("verified\n");
}

static void set_limit(int resource, rlim_t value)
{
	struct rlimit limit = { value, value };

	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		die("setrlimit");
}

static void test_nofile(void)
{
	int fd, count = 0;

	set_limit(RLIMIT_NOFILE, 8);
	fill();
	print_descriptors();
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		printf("opened %d\n", fd), count++;
	printf("%d, then: %s\n", count, strerror(errno));
	sleep_ms(300);
}

static rlim_t address_space(void)
{
	unsigned long pages_total = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu", &pages_total) != 1)
		die("/proc/self/statm");
	fclose(file);
	return pages_total * PAGE;
}

static void test_as(void)
{
	unsigned int count = 0;

	fill();
	/* Nothing of this size may be missing because of someone else's memory in the process. */
	set_limit(RLIMIT_AS, address_space() + (64 << 20));
	while (mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED)
		count++;
	printf("at least 7 of 8: %d, then: %s\n", count >= 7, strerror(errno));
	printf("malloc: %s\n", malloc(64 << 20) ? "memory" : "none");
	sleep_ms(300);
}

/* How much of the limit that it was started with a program has for itself. */
static void print_room(const char *when)
{
	const size_t room = 1100ul << 20;
	void *taken =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	printf("room %s: %s\n", when, taken == MAP_FAILED ? "no" : "yes");
	if (taken != MAP_FAILED)
		munmap(taken, room);
}

static void test_room(void)
{
	print_room("at the start");
	fill();
	print_room("later");
}

static void *idle(void *argument)
{
	return argument;
}

static void test_nproc(void)
{
	pthread_t thread;
	int error;

	/* Root is exempt, so that this needs another user to bite. */
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		die("setuid");
	set_limit(RLIMIT_NPROC, 0);
	fill();
	error = pthread_create(&thread, NULL, idle, NULL);
	printf("a thread: %s\n", strerror(error));
	printf("a child: %s\n", fork() < 0 ? strerror(errno) : "yes");
}

static void test_closeall(void)
{
	fill();
	print_descriptors();
	syscall(SYS_close_range, 3u, ~0u, 0u);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	sleep_ms(300);
	printf("first free: %d\n", open("/dev/null", O_RDONLY));
	print_descriptors();
}

static void test_dup2(void)
{
	fill();
	for (int fd = 3; fd < 256; fd++)
		if (dup2(1, fd) != fd)
			die("dup2");
	sleep_ms(300);
	for (int fd = 3; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) != 0 || close(fd) < 0)
			die("a descriptor changed");
	print_descriptors();
	if (fork() == 0) {
		print_descriptors();
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "nofile", test_nofile }, { "as", test_as }, { "room", test_room },
		{ "nproc", test_nproc }, { "closeall", test_closeall }, { "dup2", test_dup2 },
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (argc > 1 && strcmp(tests[i].name, argv[1]) == 0) {
			tests[i].test();
			verify();
			return 0;
		}
	fprintf(stderr, "usage: limits nofile|as|room|nproc|closeall|dup2\n");
	return 2;
}
