/* SPDX-License-Identifier: MIT */
/*
 * overhead CASE [N]: do something N times and print how many nanoseconds each took. What
 * test/bench/overhead runs with and without the library.
 *
 *	exec	posix_spawn and wait; PRELOAD in the environment becomes the LD_PRELOAD of the child
 *	map4k	mmap and munmap of 4 KiB
 *	map8m	mmap and munmap of 8 MiB, below eight frames
 *	malloc	malloc and free of 64 bytes
 *	forks	fork, map and unmap 20 times 4 MiB in the child, wait
 *	getc	a byte of a file by getc
 *	threads	64 threads map and unmap 64 KiB at the same time
 */
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 64
#define FILE_BYTES (1u << 20)

static pthread_barrier_t barrier;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void map_once(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p, bytes))
		die("mmap");
}

/* As deep as what allocators and interpreters map from. */
__attribute__((noinline)) static void map_below(size_t bytes, int frames)
{
	if (frames > 1)
		map_below(bytes, frames - 1);
	else
		map_once(bytes);
	__asm__ volatile("");
}

static void run_map4k(uint64_t count)
{
	while (count--)
		map_once(4096);
}

static void run_map8m(uint64_t count)
{
	while (count--)
		map_below(8u << 20, 8);
}

static void run_exec(uint64_t count)
{
	char preload[4096] = "LD_PRELOAD=";
	char *argv[] = { (char *)"true", NULL };
	char *envp[] = { (char *)"PATH=/usr/bin:/bin", preload, NULL };
	const char *library = getenv("PRELOAD");
	int status;
	pid_t pid;

	if (library)
		strncat(preload, library, sizeof(preload) - strlen(preload) - 1);
	else
		envp[1] = NULL;
	while (count--) {
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp))
			die("/bin/true");
		if (waitpid(pid, &status, 0) != pid || status)
			die("wait");
	}
}

static void run_malloc(uint64_t count)
{
	/* So that the pair is not taken for nothing. */
	void *volatile block;

	while (count--) {
		block = malloc(64);
		free(block);
	}
}

static void run_forks(uint64_t count)
{
	int status;

	while (count--) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		for (int i = 0; !pid && i < 20; i++)
			map_below(4u << 20, 8);
		if (!pid)
			_exit(0);
		if (waitpid(pid, &status, 0) != pid || status)
			die("wait");
	}
}

static void run_getc(uint64_t count)
{
	FILE *file = tmpfile();
	uint64_t sum = 0;

	if (!file)
		die("tmpfile");
	for (unsigned int i = 0; i < FILE_BYTES; i++)
		putc('x', file);
	rewind(file);
	while (count--) {
		int c = getc(file);

		if (c == EOF)
			rewind(file);
		sum += (unsigned int)c;
	}
	if (!sum)
		die("getc");
	fclose(file);
}

static void *map_many(void *arg)
{
	uint64_t count = *(uint64_t *)arg;

	pthread_barrier_wait(&barrier);
	while (count--)
		map_once(64u << 10);
	return NULL;
}

static void run_threads(uint64_t count)
{
	pthread_t threads[THREADS];
	uint64_t each = count / THREADS;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, map_many, &each))
			die("pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static const struct {
	const char *name;
	void (*run)(uint64_t count);
	uint64_t count;
} cases[] = {
	{ "exec", run_exec, 500 },
	{ "map4k", run_map4k, 500000 },
	{ "map8m", run_map8m, 300000 },
	{ "malloc", run_malloc, 50000000 },
	{ "forks", run_forks, 2000 },
	{ "getc", run_getc, 100000000 },
	{ "threads", run_threads, 1500000 },
	/* No longer than our thread's start and first pass take. */
	{ "threads-start", run_threads, 256000 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : cases[i].count;
		uint64_t start_ns = now_ns();

		if (strcmp(argv[1], cases[i].name) || !count)
			continue;
		cases[i].run(count);
		printf("%.2f\n", (double)(now_ns() - start_ns) / (double)count);
		return 0;
	}
	fprintf(stderr, "usage: overhead exec|map4k|map8m|malloc|forks|getc|threads|threads-start "
			"[N]\n");
	return 2;
}
