/* SPDX-License-Identifier: MIT */
/*
 * A library whose constructor waits for a thread that it made: while it does, dlopen holds the
 * loader's lock, and what the thread calls must not want it.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "../victims/victim.h"

static sem_t done;

static void *work(void *arg)
{
	struct stat st;
	void *blocks[] = { aligned_alloc(64, 640), memalign(64, 640), realloc(NULL, 640),
			   calloc(8, 80), NULL };
	bool good = posix_memalign(&blocks[4], 64, 640) == 0 && stat("/", &st) == 0 &&
		    lstat("/", &st) == 0 && close(open("/", O_RDONLY | O_CLOEXEC)) == 0;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		free(blocks[i]);
	printf("the thread of a constructor: %d\n", good);
	sem_post(&done);
	return arg;
}

__attribute__((constructor)) static void wait_for_thread(void)
{
	struct timespec until;
	pthread_t thread;

	sem_init(&done, 0, 0);
	if (pthread_create(&thread, NULL, work, NULL) != 0)
		die("pthread_create");
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	if (sem_timedwait(&done, &until) < 0)
		printf("the thread of a constructor does not go on\n");
	fflush(stdout);
	pthread_join(thread, NULL);
}
