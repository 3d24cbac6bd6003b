/* SPDX-License-Identifier: MIT */
/*
 * own softdirty | wait | realtime: use what the kernel has of its kind in a program only once, or
 * once per thread, with memory to work on. Prints what is found; 77: not on this kernel.
 */
#include <fcntl.h>
#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "victim.h"

#define PAGES 2048u
#define SOFT_DIRTY (1ull << 55)

static unsigned char *memory;

static void fill(uint64_t version)
{
	for (unsigned int page = 0; page < PAGES; page++)
		page_write(memory + page * PAGE, version + page % 64);
}

static bool is_dirty(int pagemap, unsigned int page)
{
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)(memory + page * PAGE) / PAGE * sizeof(entry));

	if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry))
		die("pagemap");
	return entry & SOFT_DIRTY;
}

/* Exactly what was written since reads as written. */
static void test_softdirty(void)
{
	int clear = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int wrong_pages = 0;

	if (clear < 0 || pagemap < 0)
		die("/proc/self/clear_refs");
	if (!is_dirty(pagemap, 0)) {
		printf("this kernel has no soft-dirty bit\n");
		exit(77);
	}
	for (unsigned int round = 0; round < 20; round++) {
		if (write(clear, "4", 1) != 1)
			die("clear_refs");
		for (unsigned int page = round % 3; page < PAGES; page += 3)
			memory[page * PAGE]++;
		sleep_ms(20);
		for (unsigned int page = 0; page < PAGES; page++)
			wrong_pages += is_dirty(pagemap, page) != (page % 3 == round % 3);
	}
	printf("wrong: %u\n", wrong_pages);
}

static void show_wait(const char *what, pid_t pid)
{
	printf("%s: %s\n", what, pid < 0 ? strerror(errno) : pid ? "a child" : "children");
}

/* A program that has started nobody has no child. */
static void show_children(void)
{
	siginfo_t info = { 0 };

	show_wait("wait", wait(NULL));
	show_wait("WNOHANG", waitpid(-1, NULL, WNOHANG));
	show_wait("__WCLONE", waitpid(-1, NULL, WNOHANG | __WCLONE));
	show_wait("__WALL", waitpid(-1, NULL, WNOHANG | __WALL));
	show_wait("waitid", waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL));
}

static void test_wait(void)
{
	int status;
	pid_t pid;

	show_children();
	pid = fork();
	if (pid == 0)
		_exit(5);
	printf("the child: %d\n", waitpid(-1, &status, __WALL) == pid && WEXITSTATUS(status) == 5);
	show_children();
}

static void test_realtime(void)
{
	struct sched_param param = { .sched_priority = 1 };
	DIR *tasks;
	struct dirent *entry;
	unsigned int count = 0;

	if (sched_setscheduler(0, SCHED_FIFO, &param) < 0) {
		printf("SCHED_FIFO: %s\n", strerror(errno));
		exit(77);
	}
	/* More, so that there is a reason to have a thread. */
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		die("mmap");
	fill(7);
	sleep_ms(500);
	tasks = opendir(TASKS);
	while (tasks && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			count += sched_getscheduler(atoi(entry->d_name)) == SCHED_FIFO;
	printf("real-time threads: %u\n", count);
	closedir(tasks);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "wait") == 0)
		show_children();
	if (strcmp(mode, "realtime") == 0) {
		test_realtime();
		return 0;
	}
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		die("mmap");
	fill(1);
	sleep_ms(300);
	if (strcmp(mode, "softdirty") == 0)
		test_softdirty();
	else if (strcmp(mode, "wait") == 0)
		test_wait();
	else
		return 2;
	printf("verified\n");
	return 0;
}
