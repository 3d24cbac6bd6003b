/* SPDX-License-Identifier: MIT */
/*
 * stress_forks [COUNT]: threads that fork in turn while others map and unmap, COUNT children in
 * all. A child ends at once, calls exec, maps and waits, or forks a child of its own from a
 * thread; each kind must end within a minute and as it should.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../victims/victim.h"

#define FORKERS 2u
#define MAPPERS 2u
#define LIMIT_S 60u

static atomic_long left;
static atomic_bool done;
static char *self;

static void map_once(uint64_t random)
{
	size_t pages = 1 + random % 512;
	unsigned char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	page_write(memory + random % pages * PAGE, random | 1);
	if (!page_is(memory + random % pages * PAGE, random | 1))
		wrong("map", random % pages);
	if (munmap(memory, pages * PAGE) < 0)
		die("munmap");
}

static void *map_for_long(void *arg)
{
	for (uint64_t i = (uintptr_t)arg << 32; !done; i++)
		map_once(mix(i));
	return NULL;
}

static void wait_for(pid_t pid, int expected)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
		fprintf(stderr, "child %d: wait status %#x\n", (int)pid, (unsigned int)status);
		_exit(4);
	}
}

static void *fork_once(void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(7);
	wait_for(pid, 7);
	return NULL;
}

_Noreturn static void live(uint64_t random)
{
	pthread_t thread;

	/* A child that hangs says so by the signal that ends it. */
	signal(SIGALRM, SIG_DFL);
	alarm(LIMIT_S);
	switch (random % 8) {
	case 0:
		execl(self, self, "exit", NULL);
		_exit(5);
	case 1:
		for (unsigned int i = 0; i < 20; i++)
			map_once(mix(random + i));
		usleep(1000);
		break;
	case 2:
		if (pthread_create(&thread, NULL, fork_once, NULL) ||
		    pthread_join(thread, NULL))
			_exit(6);
		break;
	default:
		break;
	}
	_exit(7);
}

static void *fork_for_long(void *arg)
{
	for (uint64_t i = (uintptr_t)arg << 40; atomic_fetch_sub(&left, 1) > 0; i++) {
		uint64_t random = mix(i);
		pid_t pid = random % 16 == 0 ? vfork() : fork();

		if (pid < 0)
			die("fork");
		/* What a vfork child may do is little. */
		if (!pid && random % 16 == 0) {
			execl(self, self, "exit", NULL);
			_exit(5);
		}
		if (!pid)
			live(random);
		wait_for(pid, 7);
		alarm(LIMIT_S);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[FORKERS + MAPPERS];
	long count = argc > 1 ? atol(argv[1]) : 1000;

	if (argc > 1 && strcmp(argv[1], "exit") == 0)
		return 7;
	if (count <= 0) {
		fprintf(stderr, "stress_forks: '%s', expected a number of children\n", argv[1]);
		return 2;
	}
	self = argv[0];
	left = count;
	alarm(LIMIT_S);
	for (uintptr_t i = 0; i < FORKERS + MAPPERS; i++)
		if (pthread_create(&threads[i], NULL, i < FORKERS ? fork_for_long : map_for_long,
				   (void *)i))
			die("pthread_create");
	for (unsigned int i = 0; i < FORKERS; i++)
		pthread_join(threads[i], NULL);
	done = true;
	for (unsigned int i = FORKERS; i < FORKERS + MAPPERS; i++)
		pthread_join(threads[i], NULL);
	printf("%ld children\n", count);
	return 0;
}
