/* SPDX-License-Identifier: MIT */
/*
 * holds FILE: with 64 MiB to work on, four threads make calls that a foreign thread has to be away
 * for, three times over. Then nothing happens and nothing grows, until FILE is there. "holds
 * beside": one of these calls is under way (test/plugins/slow.c) while another is made and done.
 */
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/mman.h>

#include "victim.h"

#define THREADS 4
#define CALLS 1000

static unsigned int made[THREADS];

static bool all_made(void)
{
	for (int i = 0; i < THREADS; i++)
		if (__atomic_load_n(&made[i], __ATOMIC_RELAXED) < CALLS)
			return false;
	return true;
}

/* Nobody stops before all are done, so that the calls overlap in every way. */
static void *call_much(void *argument)
{
	unsigned int *mine = argument;
	uid_t uid = geteuid();

	while (!all_made()) {
		setfsuid(uid);
		__atomic_add_fetch(mine, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void call_at_once(void)
{
	pthread_t threads[THREADS];

	memset(made, 0, sizeof(made));
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, call_much, &made[i]) != 0)
			die("pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* As the kernel counts them: what we open here is not looked at. */
static unsigned int count_threads(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned int threads = 0;
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "Threads: %u", &threads);
	if (status)
		fclose(status);
	return threads;
}

static void *call_slowly(void *argument)
{
	bool *is_done = argument;

	setfsuid(geteuid());
	__atomic_store_n(is_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Where the slow call was done before the count, that says nothing. */
static void call_beside(void)
{
	unsigned int threads = 0;
	bool is_done, was_done;
	pthread_t thread;

	do {
		is_done = false;
		if (pthread_create(&thread, NULL, call_slowly, &is_done) != 0)
			die("pthread_create");
		sleep_ms(500);
		setfsgid(getegid());
		sleep_ms(300);
		threads = count_threads();
		was_done = __atomic_load_n(&is_done, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
	} while (was_done);
	printf("threads: %u\n", threads);
}

int main(int argc, char **argv)
{
	const size_t bytes = 64 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (argc < 2 || memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(300);
	if (strcmp(argv[1], "beside") == 0) {
		call_beside();
		return 0;
	}
	/* What brings a thread back for the growth so far does so once: after the first round. */
	for (int i = 0; i < 3; i++) {
		call_at_once();
		sleep_ms(200);
	}
	printf("called\n");
	fflush(stdout);
	while (access(argv[1], F_OK) < 0)
		sleep_ms(20);
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("holds", i / PAGE);
	printf("verified\n");
	return 0;
}
