/* SPDX-License-Identifier: MIT */
/*
 * merge_life: merged pages through fork, exit, swap, mremap, unmap, races with writers and with
 * other processes, and beside ksmd.
 */
#include "merge_check.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CGROUP "/sys/fs/cgroup/merge/"

static void wait_for(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	check(WIFEXITED(status) && !WEXITSTATUS(status), "%s", what);
}

static void forks(void)
{
	char *p = map(4 * PAGE);
	pid_t pid;

	fill(p, 1);
	fill(p + PAGE, 1);
	fill(p + 2 * PAGE, 2);
	memset(p + 3 * PAGE, 0, PAGE);
	merge(p, 4 * PAGE);
	pid = fork();
	if (!pid) {
		bool fine = has(p, 1) && has(p + PAGE, 1) && has(p + 2 * PAGE, 2);

		fill(p, 3);
		fill(p + 2 * PAGE, 1);
		p[3 * PAGE] = 4;
		fine &= !merge(p, 4 * PAGE) && same_frame(p + PAGE, p + 2 * PAGE);
		/* The page that fork shared is ours now too, as far as ksm_stat goes. */
		fine &= stat_of_self("ksm_merging_pages") == 2 && has(p, 3) && has(p + PAGE, 1);
		_exit(!fine);
	}
	wait_for(pid, "a child writes, and merges with what it inherited");
	check(has(p, 1) && has(p + PAGE, 1) && same_frame(p, p + PAGE) && !p[3 * PAGE],
	      "the parent sees nothing of it");
	pid = fork();
	if (!pid) {
		munmap(p, PAGE);
		_exit(!has(p + PAGE, 1));
	}
	munmap(p, 2 * PAGE);
	wait_for(pid, "a child outlives the parent's mapping");
	munmap(p + 2 * PAGE, 2 * PAGE);
}

static void exits(void)
{
	char *p = map(16 * PAGE);
	pid_t pid = fork();
	int gone = 0;

	if (!pid) {
		for (size_t i = 0; i < 16; i++)
			fill(p + i * PAGE, 100 + i);
		_exit(merge(p, 16 * PAGE) != 0);
	}
	wait_for(pid, "a child offers pages and is gone");
	for (size_t i = 0; i < 16; i++)
		fill(p + i * PAGE, 100 + i);
	check(!merge(p, 16 * PAGE), "the same contents again");
	for (size_t i = 0; i < 16; i++)
		gone += alone(p + i * PAGE);
	check(gone == 16, "are merged with nobody");
	munmap(p, 16 * PAGE);
}

static void processes(void)
{
	char *p = map(64 * PAGE);
	int there[2], done[2], status = 0;
	char byte;
	pid_t pid;

	if (pipe(there) || pipe(done))
		die("pipe");
	pid = fork();
	if (!pid) {
		for (size_t i = 0; i < 64; i++)
			fill(p + i * PAGE, 200 + i);
		merge(p, 64 * PAGE);
		if (write(there[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1)
			_exit(2);
		for (size_t i = 0; i < 64; i++) {
			status |= alone(p + i * PAGE) || !has(p + i * PAGE, 200 + i);
			fill(p + i * PAGE, 300 + i);
		}
		_exit(status);
	}
	for (size_t i = 0; i < 64; i++)
		fill(p + i * PAGE, 200 + i);
	if (read(there[0], &byte, 1) != 1)
		die("read");
	check(!merge(p, 64 * PAGE), "what another process offered");
	for (size_t i = 0; i < 64; i++)
		status |= alone(p + i * PAGE);
	check(!status, "is found");
	if (write(done[1], "x", 1) != 1)
		die("write");
	wait_for(pid, "there too");
	for (size_t i = 0; i < 64; i++)
		status |= !has(p + i * PAGE, 200 + i);
	check(!status, "its writes stay there");
	munmap(p, 64 * PAGE);
}

/* What this process writes from now on can be pushed out of memory. */
static void enter_cgroup(const char *path)
{
	char pid[16];

	mkdir(CGROUP, 0755);
	snprintf(pid, sizeof(pid), "%d", getpid());
	set("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	set(path, pid);
}

static void reclaim(void)
{
	int fd;

	/* Merged pages count as used just now. */
	set("/proc/self/clear_refs", "1");
	fd = open(CGROUP "memory.reclaim", O_WRONLY | O_CLOEXEC);
	/* EAGAIN: less than that was to be had. */
	if (fd < 0 || (write(fd, "1G", 2) < 0 && errno != EAGAIN))
		die("memory.reclaim");
	close(fd);
}

static void swap(void)
{
	size_t pages = 4096;
	char *p = map(pages * PAGE);
	int out = 0, wrong = 0;

	enter_cgroup(CGROUP "cgroup.procs");
	for (size_t i = 0; i < pages; i++)
		fill(p + i * PAGE, 10000 + i % (pages / 2));
	merge(p, pages * PAGE);
	check(same_frame(p, p + pages / 2 * PAGE), "half of the pages are merged with the others");
	reclaim();
	for (size_t i = 0; i < pages; i++)
		out += !!(entry(p + i * PAGE) & PM_SWAP);
	check(out > (int)pages / 4, "%d of %zu merged pages go to swap", out, pages);
	for (size_t i = 0; i < pages; i++)
		wrong += !has(p + i * PAGE, 10000 + i % (pages / 2));
	check(!wrong, "they come back from swap");
	check(!merge(p, pages * PAGE), "and are merged again");
	for (size_t i = 0; i < pages / 2; i++)
		wrong += !same_frame(p + i * PAGE, p + (pages / 2 + i) * PAGE);
	check(!wrong, "all but %d of them", wrong);
	munmap(p, pages * PAGE);
	p = map(64 * PAGE);
	for (size_t i = 0; i < 64; i++)
		fill(p + i * PAGE, 500 + i % 32);
	merge(p, 32 * PAGE);
	madvise(p, 32 * PAGE, MADV_PAGEOUT);
	merge(p + 32 * PAGE, 32 * PAGE);
	for (size_t i = 0; i < 64; i++)
		wrong += !has(p + i * PAGE, 500 + i % 32);
	check(!wrong, "candidates in swap do no harm");
	munmap(p, 64 * PAGE);
	enter_cgroup("/sys/fs/cgroup/cgroup.procs");
}

static void moves(void)
{
	char *p = map(4 * PAGE), *q = map(4 * PAGE), *r;

	fill(p, 600);
	fill(p + PAGE, 600);
	fill(p + 2 * PAGE, 601);
	merge(p, 4 * PAGE);
	r = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	if (r != q)
		die("mremap");
	check(has(q, 600) && has(q + PAGE, 600) && has(q + 2 * PAGE, 601), "merged pages move");
	fill(q, 602);
	check(has(q, 602) && has(q + PAGE, 600), "and are written");
	check(!merge(q, 4 * PAGE), "and are offered again");
	p = mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0);
	fill(p, 601);
	fill(p + PAGE, 605);
	check(!merge(p, 4 * PAGE) && same_frame(p, q + 2 * PAGE) && alone(p + PAGE),
	      "other contents at the old addresses are told apart");
	munmap(p, 4 * PAGE);
	munmap(q, 4 * PAGE);
}

struct race {
	char *pages;
	size_t count;
	volatile bool stop;
};

static void *merge_always(void *arg)
{
	struct race *race = arg;

	while (!race->stop)
		if (merge(race->pages, race->count * PAGE))
			die("merge in a race");
	return NULL;
}

/* Each page holds one of two contents, and a counter; the writers know what is there. */
static void *write_always(void *arg)
{
	struct race *race = arg;
	uint32_t seed = (uint32_t)(uintptr_t)&seed;
	long wrong = 0;

	for (int round = 0; round < 20000; round++) {
		size_t i = (seed = seed * 1664525 + 1013904223) >> 16;
		uint64_t *words = (uint64_t *)(race->pages + i % race->count * PAGE);
		uint64_t n = seed & 3, was = words[100];

		words[0] = n;
		words[100] = n;
		words[511] = n;
		wrong += was > 3 || words[0] != n || words[100] != n || words[511] != n;
	}
	return (void *)wrong;
}

static void races(void)
{
	struct race one = { .count = 64 }, two = { .count = 64 };
	pthread_t merger, first, second;
	void *wrong_one, *wrong_two;

	/* Writers have pages of their own, the merger of both. */
	one.pages = map(128 * PAGE);
	two.pages = one.pages + 64 * PAGE;
	memset(one.pages, 0, 128 * PAGE);
	struct race both = { .pages = one.pages, .count = 128 };

	pthread_create(&merger, NULL, merge_always, &both);
	pthread_create(&first, NULL, write_always, &one);
	pthread_create(&second, NULL, write_always, &two);
	pthread_join(first, &wrong_one);
	pthread_join(second, &wrong_two);
	both.stop = true;
	pthread_join(merger, NULL);
	check(!wrong_one && !wrong_two, "writers that race with the advice find what they wrote");
	printf("# %ld offered, %ld merged, %ld failed\n", stat_of_self("ksm_merge_offered"),
	       stat_of_self("ksm_merge_merged"), stat_of_self("ksm_merge_failed"));
	munmap(one.pages, 128 * PAGE);
}

/* Several processes merge with one another and write, at the same time. */
static void crowd(void)
{
	pid_t pids[4];

	for (int n = 0; n < 4; n++) {
		pids[n] = fork();
		if (pids[n])
			continue;
		char *p = map(128 * PAGE);
		uint8_t now[128];
		uint32_t seed = 7 + (uint32_t)n;

		memset(now, 0, sizeof(now));
		for (size_t i = 0; i < 128; i++)
			fill(p + i * PAGE, 700);
		for (int round = 0; round < 300; round++) {
			for (int k = 0; k < 8; k++) {
				seed = seed * 1664525 + 1013904223;
				now[seed >> 25] = (uint8_t)(seed >> 13 & 7);
				fill(p + (seed >> 25) * PAGE, 700 + now[seed >> 25]);
			}
			merge(p + (seed >> 26) * PAGE, 64 * PAGE);
		}
		for (size_t i = 0; i < 128; i++)
			if (!has(p + i * PAGE, 700u + now[i]))
				_exit(1);
		_exit(0);
	}
	for (int n = 0; n < 4; n++)
		wait_for(pids[n], "one of four processes that merge and write");
}

static void beside_ksmd(void)
{
	char *p = map(256 * PAGE), *q = map(256 * PAGE);
	int wrong = 0, shared = 0;

	for (size_t i = 0; i < 256; i++) {
		fill(p + i * PAGE, 800 + i % 64);
		fill(q + i * PAGE, 800 + i % 64);
	}
	madvise(p, 256 * PAGE, MADV_MERGEABLE);
	set(KSM "pages_to_scan", "1000");
	set(KSM "sleep_millisecs", "1");
	set(KSM "run", "1");
	for (int i = 0; i < 200; i++) {
		merge(q, 256 * PAGE);
		merge(p, 256 * PAGE);
		fill(p + i * PAGE, 800 + (size_t)i % 64);
		usleep(10000);
	}
	for (size_t i = 0; i < 256; i++) {
		wrong += !has(p + i * PAGE, 800 + i % 64) || !has(q + i * PAGE, 800 + i % 64);
		shared += !alone(p + i * PAGE) + !alone(q + i * PAGE);
	}
	check(!wrong && shared > 450, "the advice and ksmd on the same pages: %d of 512 merged",
	      shared);
	/* What a page of p has of both is counted once, after a scan or two. */
	for (int i = 0; i < 300 && stat_of_self("ksm_merging_pages") > 512; i++)
		usleep(20000);
	check(stat_of_self("ksm_merging_pages") <= 512, "counted once: %ld",
	      stat_of_self("ksm_merging_pages"));
	set(KSM "run", "2");
	for (size_t i = 0; i < 256; i++)
		wrong += !alone(p + i * PAGE) || !alone(q + i * PAGE) ||
			 !has(p + i * PAGE, 800 + i % 64) || !has(q + i * PAGE, 800 + i % 64);
	check(!wrong, "run=2 undoes all of it");
	check(merge(q, PAGE) == -EBUSY, "and the advice waits until it is another");
	set(KSM "run", "0");
	munmap(p, 256 * PAGE);
	munmap(q, 256 * PAGE);
}

static long shared_pages(void)
{
	return number(KSM "pages_shared", NULL) + number(KSM "pages_sharing", NULL) +
	       number(KSM "merge_candidates", NULL) + number(KSM "ksm_zero_pages", NULL);
}

int main(void)
{
	pid_t pid;

	setvbuf(stdout, NULL, _IOLBF, 0);
	need_merge();
	pid = fork();
	if (!pid) {
		forks();
		exits();
		processes();
		swap();
		moves();
		races();
		crowd();
		beside_ksmd();
		exit(finish());
	}
	wait_for(pid, "all of the above");
	/* Stale nodes go when they are met; zero pages and candidates at once. */
	for (int i = 0; i < 500 && (number(KSM "merge_candidates", NULL) ||
				    number(KSM "ksm_zero_pages", NULL)); i++)
		usleep(20000);
	check(!number(KSM "merge_candidates", NULL) && !number(KSM "ksm_zero_pages", NULL),
	      "nothing is left of those that are gone: %ld", shared_pages());
	return finish();
}
