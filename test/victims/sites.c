/* SPDX-License-Identifier: MIT */
/*
 * Memory from places with known names: sites [--plugin FILE] [--seconds N]. Each is 4 MiB, filled
 * with the same pages. Prints "ready" when all is there, with --fork "child PID" before. SIGUSR1
 * has it write to what make_plain made, and print "written".
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define BYTES (4ul << 20)
#define NOINLINE __attribute__((noinline, noclone))
#define FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)

static void fill(void *start, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += PAGE)
		page_write((char *)start + at, at / PAGE + 1);
}

static NOINLINE void *map(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, FLAGS, -1, 0);

	if (start == MAP_FAILED)
		die("mmap");
	return start;
}

static NOINLINE void *make_plain(void)
{
	void *start = map(BYTES);

	fill(start, BYTES);
	return start;
}

/* The function that is named is inlined into the one that calls. */
static inline __attribute__((always_inline)) void *inner_inlined(void)
{
	void *start = map(BYTES);

	fill(start, BYTES);
	/* Not the same code as make_plain. */
	*(char *)start = 1;
	return start;
}

static inline __attribute__((always_inline)) void *outer_inlined(void)
{
	return inner_inlined();
}

static NOINLINE void *make_inlined(void)
{
	return outer_inlined();
}

/* Two apart, so that they do not touch. */
static NOINLINE void *make_moved(void)
{
	char *start = map(BYTES / 2), *wall = map(PAGE), *moved;

	moved = mremap(start, BYTES / 2, BYTES, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		die("mremap");
	fill(moved, BYTES);
	(void)wall;
	return moved;
}

static NOINLINE void *make_named(void)
{
	void *start = map(BYTES);

	fill(start, BYTES);
	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, BYTES, "victim buffer"))
		fprintf(stderr, "no names for memory\n");
	return start;
}

static NOINLINE void *make_heap(void)
{
	char *start = sbrk(BYTES);

	if (start == (void *)-1)
		die("sbrk");
	fill((void *)(((uintptr_t)start + PAGE - 1) & -PAGE), BYTES - PAGE);
	return start;
}

/*
 * The second half goes, and the C library takes its place where it likes: not this site's any more.
 */
static NOINLINE void *make_halved(void)
{
	char *start = map(2 * BYTES);

	fill(start, BYTES);
	if (munmap(start + BYTES, BYTES))
		die("munmap");
	return start;
}

static void *arena_main(void *arg)
{
	/* Below the size that gets a mapping of its own, so from the thread's arena. */
	for (size_t i = 0; i < BYTES / 65536; i++) {
		char *piece = malloc(65536);

		memset(piece, (int)i + 1, 65536);
	}
	*(volatile bool *)arg = true;
	for (;;)
		pause();
	return NULL;
}

static void make_arena(void)
{
	static volatile bool ready;
	pthread_t thread;

	if (pthread_create(&thread, NULL, arena_main, (void *)&ready))
		die("pthread_create");
	while (!ready)
		sleep_ms(1);
}

static void load_plugin(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW);
	void *(*make)(size_t bytes);

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	make = (void *(*)(size_t))dlsym(plugin, "plugin_make");
	fill(make(BYTES), BYTES);
}

static volatile sig_atomic_t asked;

static void on_usr1(int number)
{
	asked = 1;
}

static void write_when_asked(char *start, unsigned int seconds)
{
	uint64_t end_ms = now_ms() + seconds * 1000;

	while (now_ms() < end_ms) {
		sleep_ms(50);
		if (!asked)
			continue;
		asked = 0;
		for (size_t at = 0; at < BYTES; at += PAGE)
			start[at]++;
		printf("written\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	unsigned int seconds = 60;
	bool forks = false;
	char *plain;

	signal(SIGUSR1, on_usr1);
	plain = make_plain();
	make_inlined();
	make_moved();
	make_named();
	make_heap();
	make_halved();
	make_arena();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--plugin") == 0 && i + 1 < argc)
			load_plugin(argv[++i]);
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = (unsigned int)atoi(argv[++i]);
		else if (strcmp(argv[i], "--fork") == 0)
			forks = true;
	}
	if (forks && fork() == 0)
		printf("child %d\n", (int)getpid());
	printf("ready\n");
	fflush(stdout);
	write_when_asked(plain, seconds);
	return 0;
}
