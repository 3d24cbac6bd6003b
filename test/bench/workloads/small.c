/* SPDX-License-Identifier: MIT */
/*
 * small [--seconds N] [--scale F]: 200 processes of 3 MiB. All hold the same 2 MiB of small
 * objects and 1 MiB of their own; one answers requests, the others sleep.
 */
#include <spawn.h>

#include "workload.h"

#define PROCESSES 200
#define HEAP_BYTES (2ul << 20)
#define OWN_PAGES ((1ul << 20) / PAGE)
#define MAX_OBJECTS (HEAP_BYTES / 64)
#define OBJECTS_PER_REQUEST 16
#define SAMPLE_EVERY 16

extern char **environ;

static uint64_t *objects[MAX_OBJECTS];
static size_t object_count;
static unsigned char *own;
static volatile uint64_t checksum;

static size_t words_of(size_t object)
{
	return 8 + mix(object) % 113;
}

static void build_heap(void)
{
	size_t bytes = 0, words;

	while (bytes < HEAP_BYTES) {
		words = words_of(object_count);
		objects[object_count] = malloc(words * sizeof(uint64_t));
		if (!objects[object_count])
			die("malloc");
		for (unsigned int i = 0; i < words; i++)
			objects[object_count][i] = page_word(object_count + 1, i);
		bytes += words * sizeof(uint64_t);
		object_count++;
	}
}

static void build_own(unsigned int worker)
{
	own = mmap(NULL, OWN_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (own == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < OWN_PAGES; page++)
		page_write(own + page * PAGE, mix(worker) + page + 1);
}

static void answer(void)
{
	uint64_t sum = 0;

	for (unsigned int n = 0; n < OBJECTS_PER_REQUEST; n++) {
		size_t object = pick(object_count);

		for (size_t i = 0; i < words_of(object); i++)
			sum = (sum ^ objects[object][i]) * 0x100000001b3ull;
	}
	sum += own[pick(OWN_PAGES * PAGE)];
	checksum = sum;
}

static void verify(unsigned int worker)
{
	for (size_t object = 0; object < object_count; object++)
		for (unsigned int i = 0; i < words_of(object); i++)
			if (objects[object][i] != page_word(object + 1, i))
				wrong_byte("object", object);
	for (size_t page = 0; page < OWN_PAGES; page++)
		if (!page_is(own + page * PAGE, mix(worker) + page + 1))
			wrong_byte("page", page);
}

static int work(int fd, unsigned int worker, pid_t parent)
{
	uint32_t command;

	/* Not "exe". */
	prctl(PR_SET_NAME, "small");
	end_with_parent(parent);
	share(fd);
	close(fd);
	build_heap();
	build_own(worker);
	atomic_fetch_add(&shared->ready, 1);
	while ((command = told()) != END) {
		if (worker == 0 && command == CALM)
			operate(answer, SAMPLE_EVERY);
		else
			sleep_while(command);
	}
	verify(worker);
	return 0;
}

static void start_worker(int fd, unsigned int worker)
{
	char text[3][16];
	char *argv[] = { "small", "--worker", text[0], text[1], text[2], NULL };

	snprintf(text[0], sizeof(text[0]), "%d", fd);
	snprintf(text[1], sizeof(text[1]), "%u", worker);
	snprintf(text[2], sizeof(text[2]), "%d", (int)getpid());
	errno = posix_spawn(&(pid_t){ 0 }, "/proc/self/exe", NULL, NULL, argv, environ);
	if (errno)
		die("posix_spawn");
}

int main(int argc, char **argv)
{
	struct phase phase;
	unsigned int count;
	int fd;

	if (argc == 5 && strcmp(argv[1], "--worker") == 0)
		return work(atoi(argv[2]), (unsigned int)atoi(argv[3]), atoi(argv[4]));
	parse_arguments(argc, argv);
	if (optind != argc)
		usage("usage: small [--seconds N] [--scale F]");
	count = scale * PROCESSES < 2 ? 2 : (unsigned int)(scale * PROCESSES);
	/* No close-on-exec: the workers find it by its number. */
	fd = memfd_create("small", 0);
	if (fd < 0 || ftruncate(fd, sizeof(struct shared)) < 0)
		die("memfd_create");
	share(fd);
	for (unsigned int worker = 0; worker < count; worker++)
		start_worker(fd, worker);
	wait_ready(count);
	phase = (struct phase){ NULL, CALM, seconds };
	run_phases(&phase, 1);
	return end_workers();
}
