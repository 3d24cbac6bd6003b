/* SPDX-License-Identifier: MIT */
/*
 * library PAGES: what libsksm promises, one line for each. Two equal ranges, a unique one, one that
 * is not added; ksmd is to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracker/sksm.h"

#define PAGE 4096ul

static size_t bytes;

static void check(const char *what, bool good)
{
	printf("%s: %s\n", good ? "ok" : "FAIL", what);
	fflush(stdout);
}

static void fill(unsigned char *p, uint64_t seed)
{
	for (size_t i = 0; i < bytes; i += 8) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(p + i, &seed, 8);
	}
}

static unsigned char *make(uint64_t seed)
{
	/* Apart from one another, so that no run of like mappings joins them. */
	unsigned char *p = mmap(NULL, bytes + 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0);

	if (p == MAP_FAILED || mprotect(p + 8 * PAGE, bytes, PROT_READ | PROT_WRITE))
		exit(2);
	fill(p + 8 * PAGE, seed);
	return p + 8 * PAGE;
}

/* Pages that somebody maps besides us, as the kernel's page map tells. */
static size_t count_shared(const unsigned char *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t shared = 0;
	uint64_t entry;

	for (size_t i = 0; i < bytes; i += PAGE)
		if (pread(fd, &entry, sizeof(entry), (off_t)(((uintptr_t)p + i) / PAGE * 8)) == 8)
			shared += entry >> 63 && !(entry >> 56 & 1);
	close(fd);
	return shared * PAGE;
}

static void check_shared(const char *what, const unsigned char *p, size_t expected)
{
	size_t shared = count_shared(p);

	if (shared != expected)
		printf("of %zu bytes %zu are shared, not %zu\n", bytes, shared, expected);
	check(what, shared == expected);
}

static void refuse(void)
{
	const char *reason = NULL;
	struct sksm *sksm = NULL;

	check("a setting that is none", sksm_start(&sksm, (const char *[]){ "NOTHING=1", NULL },
						   &reason) == -EINVAL && reason && !sksm);
	check("a value that cannot be used",
	      sksm_start(&sksm, (const char *[]){ "SKSM_AGE_MS=soon", NULL }, &reason) == -EINVAL &&
	      *reason && !sksm);
	check("a directory that cannot be used",
	      sksm_start(&sksm, (const char *[]){ "DIR=/proc/nowhere", NULL }, NULL) == -EACCES);
}

static void in_child(struct sksm *sksm, unsigned char *p)
{
	struct sksm_stats stats;
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		bool good = sksm_add(sksm, p, bytes) == -ECHILD &&
			    sksm_get_stats(sksm, &stats) == -ECHILD &&
			    sksm_merge_now(sksm, 10) == -ECHILD;

		sksm_stop(sksm);
		_exit(good ? 0 : 1);
	}
	check("a forked child is told so", waitpid(pid, &status, 0) == pid && !status);
}

/* A process with pages of its own, which it tells the domain of and never offers. */
static pid_t make_bystander(const char *dir, uint64_t seed)
{
	const char *settings[] = { dir, "INTERVAL_MS=20", "AGE_MS=0", "ENGINE=none", NULL };
	struct sksm *sksm;
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) || (pid = fork()) < 0)
		exit(2);
	if (pid) {
		close(ready[1]);
		check("a process that merges nothing", read(ready[0], &byte, 1) == 1);
		close(ready[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sksm_start(&sksm, settings, NULL) || sksm_add(sksm, make(seed), bytes) ||
	    sksm_merge_now(sksm, 30000) || write(ready[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	char dir[512];
	const char *settings[] = { dir, "INTERVAL_MS=20", "AGE_MS=60000", "SKSM_CPU_PERCENT=100",
				   argc > 2 ? argv[2] : NULL, NULL };
	unsigned char *one, *two, *unique, *apart, *secret;
	struct sksm_stats stats;
	struct sksm *sksm;
	const char *reason = "", *slow = getenv("SKSM_TEST_SLOW");
	/* test/wait.lib.sh */
	unsigned int patience_ms = 30000 * (slow ? (unsigned int)atoi(slow) : 1);
	unsigned int watched;
	pid_t bystander;

	bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1000) * PAGE;
	snprintf(dir, sizeof(dir), "DIR=%s", getenv("SKSM_DIR"));
	refuse();
	bystander = make_bystander(dir, 5);
	one = make(1);
	two = make(1);
	apart = make(1);
	unique = make((uint64_t)getpid());
	/* What is never read does not keep anybody waiting. */
	secret = make(1);
	madvise(secret, bytes, MADV_DONTDUMP);
	/* Where digests are compared, a fourth range has smart scan keep some pages apart. */
	watched = argc > 2 && !strcmp(argv[2], "TRACKER=digest") ? 3 : 4;
	if (sksm_start(&sksm, settings, &reason)) {
		printf("FAIL: start: %s\n", reason);
		return 1;
	}
	check("nothing to add", sksm_add(sksm, one, 10) == -EINVAL);
	check("add", !sksm_add(sksm, one, bytes) && !sksm_add(sksm, two, bytes / 2) &&
	      !sksm_add(sksm, two + bytes / 4, bytes - bytes / 4) &&
	      !sksm_add(sksm, unique, bytes) && (watched < 4 || !sksm_add(sksm, secret, bytes)));
	check("merge now, an age of a minute notwithstanding", sksm_merge_now(sksm, patience_ms) == 0);
	check_shared("the kernel says that it is merged", one, bytes);
	check_shared("and its twin", two, bytes);
	check_shared("what is unique is not", unique, 0);
	check_shared("nor what was not added", apart, 0);
	check_shared("nor what is sensitive", secret, 0);
	sksm_get_stats(sksm, &stats);
	printf("tracked %lu, duplicate %lu, merged %lu\n", (unsigned long)stats.tracked,
	       (unsigned long)stats.duplicate, (unsigned long)stats.merged);
	check("statistics", stats.tracked == watched * bytes && stats.duplicate == 2 * bytes &&
	      stats.merged == 2 * bytes && stats.refused == 0 && stats.passes > 1);
	check("contents", !memcmp(one, two, bytes) && !memcmp(one, apart, bytes));
	in_child(sksm, unique);
	check("remove", !sksm_remove(sksm, two, bytes));
	fill(two, 7);
	fill(one, 9);
	fill(unique, 9);
	check("merge what is equal now", sksm_merge_now(sksm, patience_ms) == 0);
	check_shared("the kernel says so", one, bytes);
	check_shared("and not what was removed", two, 0);
	fill(apart, 5);
	check("merge what the other side does not offer", !sksm_add(sksm, apart, bytes) &&
	      sksm_merge_now(sksm, patience_ms) == 0);
	sksm_get_stats(sksm, &stats);
	check_shared("nobody does", apart, 0);
	check("and that is told", stats.refused == bytes);
	kill(bystander, SIGKILL);
	waitpid(bystander, NULL, 0);
	check("a setting is changed", !sksm_set(sksm, "AGE_MS=0") &&
	      sksm_set(sksm, "AGE_MS=-1") == -EINVAL && sksm_set(sksm, "DIR") == -EINVAL);
	check("and holds", sksm_merge_now(sksm, patience_ms) == 0);
	sksm_stop(sksm);
	sksm_stop(NULL);
	check_shared("what is merged stays so", one, bytes);
	check("contents in the end", !memcmp(one, unique, bytes));
	return 0;
}
