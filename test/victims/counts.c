/* SPDX-License-Identifier: MIT */
/*
 * counts HOW [--later]: with memory to work on, count the threads of this process in one of the
 * ways that sandboxes have, and print what each count says, then what the kernel says for a while
 * afterwards, and with --later whether there is another thread again some time after that.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

#define BYTES (32u << 20)

static unsigned char *map_bytes(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

/* By bare system calls, which nobody sees. */
static int threads_in_kernel(void)
{
	struct stat st;

	if (syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) < 0)
		die("newfstatat");
	return (int)st.st_nlink - 2;
}

static int count_entries(DIR *dir)
{
	int count = 0;

	if (!dir)
		die("opendir");
	for (struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static int below_proc(const char *format, int flags)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), format, (int)getpid());
	if (fstatat(proc, path, &st, flags) < 0)
		die("fstatat");
	close(proc);
	return (int)st.st_nlink - 2;
}

static int by_old_stat(void)
{
	int (*old)(int, const char *, struct stat *) =
		(int (*)(int, const char *, struct stat *))dlsym(RTLD_DEFAULT, "__xstat");
	struct stat st;

	if (!old || old(1, "/proc/self/task", &st) < 0)
		die("__xstat");
	return (int)st.st_nlink - 2;
}

static int by_statx(void)
{
	struct statx st;

	if (statx(AT_FDCWD, "/proc/self/task/.", 0, STATX_NLINK, &st) < 0)
		die("statx");
	return (int)st.stx_nlink - 2;
}

/* As Python does since 3.12, where threads are beside the one that forks. */
static int after_fork(const char *path)
{
	pid_t pid = fork();
	int status, threads = 0;
	char text[4096];
	FILE *file;
	size_t got;
	const char *at;

	if (pid == 0)
		_exit(0);
	file = fopen(path, "r");
	if (pid < 0 || !file)
		die(path);
	got = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[got] = '\0';
	at = strstr(text, "\nThreads:\t");
	at = at ? strchr(at, '\t') : strrchr(text, ')');
	for (int field = 2; field < 20 && at && *at != '\t'; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %d", &threads) != 1 || waitpid(pid, &status, 0) != pid)
		die(path);
	return threads;
}

static int count(const char *how)
{
	struct stat st;

	if (!strcmp(how, "forked"))
		return after_fork("/proc/self/stat");
	if (!strcmp(how, "forked-status"))
		return after_fork("/proc/self/status");

	if (!strcmp(how, "stat") && stat("/proc/self/task", &st) == 0)
		return (int)st.st_nlink - 2;
	if (!strcmp(how, "lstat") && lstat("/proc/self/task/", &st) == 0)
		return (int)st.st_nlink - 2;
	if (!strcmp(how, "fstatat"))
		return below_proc("self/task/", 0);
	if (!strcmp(how, "pid"))
		return below_proc("%d/task", AT_SYMLINK_NOFOLLOW);
	if (!strcmp(how, "statx"))
		return by_statx();
	if (!strcmp(how, "__xstat"))
		return by_old_stat();
	if (!strcmp(how, "opendir"))
		return count_entries(opendir("/proc/self/task"));
	if (!strcmp(how, "open"))
		return count_entries(fdopendir(open("/proc/self/task", O_RDONLY | O_DIRECTORY)));
	if (!strcmp(how, "openat")) {
		int self = open("/proc/self", O_RDONLY | O_DIRECTORY);

		return count_entries(fdopendir(openat(self, "task", O_RDONLY | O_DIRECTORY)));
	}
	die(how);
}

int main(int argc, char *argv[])
{
	unsigned char *memory = map_bytes(BYTES);
	int most = 1, again = 0;
	uint64_t counted_ms = 0;
	struct stat st;

	if (argc < 2)
		die("usage: counts HOW [--later]");
	for (size_t i = 0; i < BYTES; i += PAGE)
		page_write(memory + i, i);
	/* Time for another thread to come, if one does. */
	for (int i = 0; i < 60 && threads_in_kernel() == 1; i++)
		sleep_ms(50);
	fprintf(stderr, "before: %d\n", threads_in_kernel());
	for (int i = 0; i < 3; i++) {
		counted_ms = now_ms();
		printf("%s: %d\n", argv[1], count(argv[1]));
	}
	/* More reasons for a thread: memory, and waits. For 2 s it is to stay away. */
	for (int i = 0; i < 40; i++) {
		int now = threads_in_kernel();

		if (now_ms() - counted_ms > 1900)
			break;
		most = now > most ? now : most;
		page_write(map_bytes(1 << 20), 7);
		sleep_ms(10);
	}
	printf("soon after: %d\n", most);
	/* What is no path stays an error, whichever way it is looked at. */
	printf("bad addresses: %d %d %d\n", stat((const char *)1, &st),
	       open((const char *)1, O_RDONLY), openat(AT_FDCWD, (const char *)-4096l, O_RDONLY));
	for (int i = 0; argc > 2 && i < 150 && !again; i++) {
		sleep_ms(50);
		again = threads_in_kernel() > 1;
	}
	fprintf(stderr, "later: %d\n", again);
	for (size_t i = 0; i < BYTES; i += PAGE)
		if (!page_is(memory + i, i))
			wrong("counts", i / PAGE);
	return 0;
}
