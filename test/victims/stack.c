/* SPDX-License-Identifier: MIT */
/*
 * stack main | thread | alloca | growsdown: 16 MiB of calm memory, and 64 MiB of stack with
 * contents that repeat, which stays as it is for a while and is checked on the way back. "main" and
 * "alloca" need a limit of more than that.
 */
#include <alloca.h>
#include <pthread.h>
#include <sys/mman.h>

#include "smaps.h"
#include "victim.h"

#define CALM (16ul << 20)
#define DEEP (64ul << 20)
#define FRAME_PAGES 16u
#define FRAME (FRAME_PAGES * PAGE)

static void fill(unsigned char *p, size_t bytes)
{
	for (size_t i = 0; i + PAGE <= bytes; i += PAGE)
		page_write(p + i, 1 + i / PAGE % 16);
}

static void verify(const unsigned char *p, size_t bytes, const char *what)
{
	for (size_t i = 0; i + PAGE <= bytes; i += PAGE)
		if (!page_is(p + i, 1 + i / PAGE % 16))
			wrong(what, i / PAGE);
}

static void rest_at(const unsigned char *at)
{
	sleep_ms(400);
	printf("the stack is mergeable: %s\n", smaps_share(at, PAGE, "mg"));
	fflush(stdout);
}

/* Each frame is as every other one. Returns how deep it went. */
static __attribute__((noinline)) unsigned int descend(unsigned int frames)
{
	unsigned char frame[FRAME] __attribute__((aligned(4096)));
	unsigned int deeper = 0;

	fill(frame, FRAME);
	if (frames == 0)
		rest_at(frame);
	else
		deeper = descend(frames - 1);
	verify(frame, FRAME, "frame");
	return deeper + 1;
}

static void *run_deep(void *argument)
{
	/* Twice: the second time all of it is there already. */
	printf("%u frames\n", descend(DEEP / FRAME));
	printf("%u frames\n", descend(DEEP / FRAME));
	return argument;
}

static void test_main(void)
{
	run_deep(NULL);
}

static void test_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, DEEP + DEEP / 2);
	if (pthread_create(&thread, &attr, run_deep, NULL) != 0)
		die("pthread_create");
	pthread_join(thread, NULL);
}

static void test_alloca(void)
{
	unsigned char *p = alloca(DEEP + PAGE);

	p = (unsigned char *)(((uintptr_t)p + PAGE - 1) & -PAGE);
	fill(p, DEEP);
	rest_at(p);
	verify(p, DEEP, "alloca");
	fill(p, DEEP);
	verify(p, DEEP, "alloca");
	printf("alloca of %lu bytes\n", DEEP);
}

/* A stack as other run-time systems make them: it grows as it is touched. */
static void test_growsdown(void)
{
	unsigned char *window = mmap(NULL, DEEP, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *top = window + DEEP, *p = top - FRAME;

	if (window == MAP_FAILED || munmap(window, DEEP) < 0 ||
	    mmap(p, FRAME, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN |
		 MAP_FIXED_NOREPLACE, -1, 0) != p)
		die("MAP_GROWSDOWN");
	fill(p, FRAME);
	for (unsigned int i = 0; i < 64; i++) {
		sleep_ms(10);
		p -= FRAME;
		/* From above, as a stack is used. */
		for (size_t at = FRAME; at; at -= PAGE)
			page_write(p + at - PAGE, 1 + (at / PAGE - 1) % 16);
		verify(p, FRAME, "growsdown");
	}
	verify(p, (size_t)(top - p), "growsdown");
	printf("grown to %zu\n", (size_t)(top - p));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} modes[] = {
		{ "main", test_main }, { "thread", test_thread }, { "alloca", test_alloca },
		{ "growsdown", test_growsdown },
	};
	unsigned char *calm = mmap(NULL, CALM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);

	if (calm == MAP_FAILED)
		die("mmap");
	fill(calm, CALM);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && strcmp(argv[1], modes[i].name) == 0) {
			modes[i].test();
			verify(calm, CALM, "calm");
			printf("verified\n");
			return 0;
		}
	fprintf(stderr, "usage: stack main|thread|alloca|growsdown\n");
	return 2;
}
