/* SPDX-License-Identifier: MIT */
/*
 * ids setuid | setresuid | keepcaps | securebits | capset | raw: started as root with memory to
 * work on, give root up as daemons do. Prints the distinct Uid, Gid, Groups and Cap lines of all
 * threads: a thread that keeps what the program gave up shows as a second line.
 */
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "victim.h"

int capset(cap_user_header_t header, const cap_user_data_t data);

#define NOBODY 65534
#define LINES_MAX 64

static char lines[LINES_MAX][160];
static unsigned int line_count;

static bool wanted(const char *line)
{
	static const char *const names[] = { "Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:",
					     "CapInh:", "CapBnd:", "CapAmb:", "NoNewPrivs:" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void add_line(const char *line)
{
	for (unsigned int i = 0; i < line_count; i++)
		if (strcmp(lines[i], line) == 0)
			return;
	if (line_count < LINES_MAX)
		snprintf(lines[line_count++], sizeof(lines[0]), "%s", line);
}

static void print_credentials(const char *when)
{
	DIR *tasks = opendir(TASKS);
	struct dirent *entry;
	char path[300], line[160];
	FILE *status;

	if (!tasks)
		die(TASKS);
	line_count = 0;
	while ((entry = readdir(tasks))) {
		snprintf(path, sizeof(path), TASKS "/%s/status", entry->d_name);
		status = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			if (wanted(line))
				add_line(line);
		if (status)
			fclose(status);
	}
	closedir(tasks);
	printf("%s:\n", when);
	for (unsigned int i = 0; i < line_count; i++)
		printf("  %s", lines[i]);
}

static void show(const char *what, int result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
}

/* Keep CAP_NET_BIND_SERVICE only, in this thread: the call knows no other. */
static void drop_capabilities(const char *way)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	const unsigned int kept = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_SETUID | 1u << CAP_SETGID;
	struct __user_cap_data_struct data[2] = { { kept, kept, 0 } };

	show("capset", strcmp(way, "capset") == 0 ? capset(&header, data) :
						    (int)syscall(SYS_capset, &header, data));
}

/* As Go programs before 1.16 did: for one thread only, and by no function of libc. */
static int become_nobody_raw(void)
{
#ifdef __x86_64__
	long result = SYS_setresuid;

	__asm__ volatile("syscall" : "+a"(result) : "D"(NOBODY), "S"(NOBODY), "d"(NOBODY)
			 : "rcx", "r11", "memory");
	errno = result < 0 ? (int)-result : 0;
	return result < 0 ? -1 : 0;
#else
	return (int)syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
#endif
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "setresuid";
	size_t bytes = 64 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(argc > 2 ? (unsigned int)atoi(argv[2]) : 300);

	if (strcmp(way, "keepcaps") == 0) {
		show("PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
		drop_capabilities(way);
	}
	if (strcmp(way, "securebits") == 0)
		show("PR_SET_SECUREBITS",
		     prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
	if (strcmp(way, "capset") == 0) {
		drop_capabilities(way);
	} else if (strcmp(way, "raw") == 0) {
		show("raw setresuid", become_nobody_raw());
	} else {
		show("setgroups", setgroups(0, NULL));
		show("setresgid", setresgid(NOBODY, NOBODY, NOBODY));
		show("setresuid", strcmp(way, "setuid") == 0 ? setuid(NOBODY) :
							      setresuid(NOBODY, NOBODY, NOBODY));
	}
	/* What the raw call does to one thread nobody can know of at once. */
	if (strcmp(way, "raw") != 0)
		print_credentials("at once");
	sleep_ms(strcmp(way, "raw") != 0 ? 300 : 1500);
	print_credentials("later");
	show("root again", setuid(0));
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("ids", i / PAGE);
	printf("verified\n");
	return 0;
}
