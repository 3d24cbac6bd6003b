/* SPDX-License-Identifier: MIT */
/*
 * threads [SECONDS]: four threads map, fill, check and unmap, two fork children that do the same
 * once, one starts and joins short-lived threads, and a timer signal maps memory in its handler.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "victim.h"

static atomic_bool stop;

static void map_once(uint64_t seed)
{
	size_t pages = 256 + mix(seed) % 512;
	unsigned char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < pages; i++)
		page_write(p + i * PAGE, 1 + i % 64);
	if (seed % 4 == 0)
		sleep_ms(5);
	for (size_t i = 0; i < pages; i++)
		if (!page_is(p + i * PAGE, 1 + i % 64))
			wrong("thread", i);
	if (munmap(p, pages * PAGE) < 0)
		die("munmap");
}

static void *mapper(void *argument)
{
	uint64_t seed = (uintptr_t)argument;

	while (!stop)
		map_once(seed = mix(seed));
	return NULL;
}

static void *forker(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	int status;
	pid_t pid;

	while (!stop) {
		seed = mix(seed);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (pid == 0) {
			map_once(seed | 3);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0) {
			fprintf(stderr, "a child ended with status %#x\n", (unsigned int)status);
			exit(3);
		}
	}
	return NULL;
}

static void *short_lived(void *argument)
{
	void *p = malloc(2 << 20);

	memset(p, 1, 2 << 20);
	free(p);
	return argument;
}

static void *starter(void *argument)
{
	pthread_t thread;

	while (!stop) {
		if (pthread_create(&thread, NULL, short_lived, NULL) != 0)
			die("pthread_create");
		pthread_join(thread, NULL);
	}
	return argument;
}

static void on_timer(int signal_number)
{
	int error = errno;
	void *p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)signal_number;
	if (p == MAP_FAILED || munmap(p, 2 << 20) < 0)
		_exit(4);
	errno = error;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } };
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	pthread_t thread[7];

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (unsigned int i = 0; i < 7; i++)
		if (pthread_create(&thread[i], NULL, i < 4 ? mapper : i < 6 ? forker : starter,
				   (void *)(uintptr_t)(i + 1)) != 0)
			die("pthread_create");
	sleep_ms((unsigned int)(seconds * 1000));
	stop = true;
	for (unsigned int i = 0; i < 7; i++)
		pthread_join(thread[i], NULL);
	printf("threads: verified\n");
	return 0;
}
