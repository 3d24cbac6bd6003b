/* SPDX-License-Identifier: MIT */
/*
 * altstack [--seconds N]: map memory from a signal handler that runs on a small stack of its own,
 * above pages that cannot be touched, while the program and its threads map and unmap as well. The
 * handler interrupts all of that anywhere. Prints "ok" at the end. --depth: prints how many bytes
 * of its stack the handler used. --first: the handler maps memory before anything else does.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>

#define BYTES (2ul << 20)
#define THREADS 3
/* More than a large array may skip. */
#define GUARD (64 * PAGE)

static volatile sig_atomic_t handled, failed;
static volatile bool over;

static void *map(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static __attribute__((noinline)) void churn(unsigned int depth)
{
	char *p, *q;

	if (depth) {
		churn(depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	p = map(BYTES);
	if (p == MAP_FAILED)
		die("mmap");
	*p = 1;
	q = mremap(p, BYTES, 2 * BYTES, MREMAP_MAYMOVE);
	if (q == MAP_FAILED || *q != 1 || munmap(q, 2 * BYTES))
		die("mremap");
}

static void on_signal(int number)
{
	int saved_errno = errno;
	char *p = map(BYTES);

	if (p == MAP_FAILED) {
		failed = 1;
	} else {
		*p = 1;
		if (munmap(p, BYTES))
			failed = 1;
	}
	if (errno != saved_errno)
		failed = 1;
	handled++;
}

/* What the kernel's frame takes (AT_MINSIGSTKSZ), and two pages. */
static char *use_small_stack(size_t *ret_bytes)
{
	size_t bytes = (getauxval(AT_MINSIGSTKSZ) + 2 * PAGE + PAGE - 1) & -PAGE;
	char *start = map(bytes + GUARD);
	stack_t stack = { .ss_sp = start + GUARD, .ss_size = bytes };

	if (start == MAP_FAILED || mprotect(start, GUARD, PROT_NONE) || sigaltstack(&stack, NULL))
		die("sigaltstack");
	*ret_bytes = bytes;
	return start + GUARD;
}

static void *thread_main(void *arg)
{
	size_t bytes;

	use_small_stack(&bytes);
	for (unsigned int i = 0; !over; i++)
		churn(i % 20);
	return NULL;
}

static void print_depth(void)
{
	size_t bytes, untouched = 0;
	char *stack = use_small_stack(&bytes);

	memset(stack, 0x5a, bytes);
	raise(SIGALRM);
	while (untouched < bytes && stack[untouched] == 0x5a)
		untouched++;
	printf("%zu\n", bytes - untouched);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART };
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
	unsigned int seconds = argc > 2 && !strcmp(argv[1], "--seconds") ?
			       (unsigned int)atoi(argv[2]) : 2;
	pthread_t threads[THREADS];
	uint64_t end_ms;
	size_t bytes;

	sigaction(SIGALRM, &action, NULL);
	if (argc > 1 && !strcmp(argv[1], "--first")) {
		use_small_stack(&bytes);
		raise(SIGALRM);
		printf("%s\n", failed ? "failed" : "ok");
		return failed;
	}
	/* The first of them wakes what is preloaded. */
	churn(0);
	if (argc > 1 && !strcmp(argv[1], "--depth")) {
		print_depth();
		return 0;
	}
	use_small_stack(&bytes);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, thread_main, NULL))
			die("pthread_create");
	setitimer(ITIMER_REAL, &often, NULL);
	end_ms = now_ms() + seconds * 1000;
	for (unsigned int i = 0; now_ms() < end_ms; i++)
		churn(i % 20);
	setitimer(ITIMER_REAL, &never, NULL);
	over = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (failed || !handled) {
		printf("%s\n", failed ? "failed" : "no signals");
		return 1;
	}
	printf("ok\n");
	return 0;
}
