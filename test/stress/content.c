/* SPDX-License-Identifier: MIT */
/*
 * stress_content [--seed S] [--seconds N] [--threads N]: threads that map, write, move, fork,
 * punch, pin and free memory at random, and check each byte against a shadow. Status 3 and the
 * place on standard error where one is wrong, 0 and the counts on standard output else.
 */
#include "stress.h"

#include <getopt.h>
#include <pthread.h>
#include <sys/wait.h>

atomic_ulong counted_verified, counted_forks, counted_pins, counted_moves;

static uint64_t seed, end_ms;

uint64_t next_random(struct worker *worker)
{
	return mix(worker->random++);
}

size_t pick(struct worker *worker, size_t limit)
{
	return next_random(worker) % limit;
}

uint64_t pick_tag(struct worker *worker)
{
	uint64_t random = next_random(worker);

	if (random % 8 == 0)
		return 0;
	return random % 8 < 6 ? 1 + (random >> 8) % 64 : random | 1ull << 40;
}

void verify_pages(struct worker *worker, const struct area *area, size_t first, size_t count)
{
	for (size_t page = first; page < first + count; page++) {
		if (page_is(area->start + page * PAGE, area->tags[page]))
			continue;
		fprintf(stderr,
			"WRONG BYTES: seed %llu, thread %u, after %s, page %zu of %zu at %p\n",
			(unsigned long long)seed, worker->number, worker->doing, page, area->pages,
			(void *)area->start);
		_exit(3);
	}
	counted_verified += count;
}

static void write_pages(struct worker *worker, struct area *area)
{
	size_t first = pick(worker, area->pages), count = 1 + pick(worker, area->pages - first);
	uint64_t tag = pick_tag(worker);

	worker->doing = "write";
	for (size_t page = first; page < first + count; page++) {
		area->tags[page] = tag > 1 ? tag + page % 64 : tag;
		page_write(area->start + page * PAGE, area->tags[page]);
	}
}

static void map_area(struct worker *worker, struct area *area)
{
	size_t pages = 1 + pick(worker, AREA_PAGES_MAX / 2);
	int kind = (int)pick(worker, 4), fd = -1;

	worker->doing = "map";
	if (kind == 0) {
		fd = memfd_create("stress", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, AREA_PAGES_MAX * PAGE) < 0)
			die("memfd_create");
	}
	area->start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (area->start == MAP_FAILED)
		die("mmap");
	if (fd >= 0)
		close(fd);
	if (kind == 1)
		madvise(area->start, pages * PAGE, MADV_HUGEPAGE);
	area->pages = pages;
	area->mixed = false;
	memset(area->tags, 0, sizeof(area->tags));
	write_pages(worker, area);
}

static void unmap_area(struct worker *worker, struct area *area)
{
	worker->doing = "unmap";
	if (munmap(area->start, area->pages * PAGE) < 0)
		die("munmap");
	area->start = NULL;
}

/* Throw pages away, by advice or by mapping new ones over them, or cut off the end. */
static void punch(struct worker *worker, struct area *area)
{
	size_t first = pick(worker, area->pages), count = 1 + pick(worker, area->pages - first);
	unsigned char *start = area->start + first * PAGE;

	worker->doing = "punch";
	if (pick(worker, 3) == 0 && first) {
		if (munmap(start, (area->pages - first) * PAGE) < 0)
			die("munmap");
		area->pages = first;
		return;
	}
	if (pick(worker, 2)) {
		if (madvise(start, count * PAGE, MADV_DONTNEED) < 0)
			die("madvise");
	} else {
		if (mmap(start, count * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			die("mmap over");
		area->mixed = true;
	}
	memset(area->tags + first, 0, count * sizeof(area->tags[0]));
}

/* What the kernel has there, for whoever has to find out why it refused. */
static void show_mappings(const struct area *area, size_t pages, const unsigned char *target)
{
	unsigned long start, end, from = (uintptr_t)area->start;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	fprintf(stderr, "%zu pages at %p to %zu at %p:\n", area->pages, (void *)area->start, pages,
		(const void *)target);
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && end > from &&
		    start < from + area->pages * PAGE)
			fputs(line, stderr);
	if (maps)
		fclose(maps);
}

/*
 * One mapping can be resized and moved, whatever we made of it: EFAULT would be our fault. What
 * others were mapped into is several, and not asked for.
 */
static void move(struct worker *worker, struct area *area)
{
	size_t pages = 1 + pick(worker, AREA_PAGES_MAX);
	unsigned char *moved;
	void *target = NULL;

	if (area->mixed)
		return;
	worker->doing = "move";
	if (pick(worker, 2)) {
		moved = mremap(area->start, area->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	} else {
		target = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (target == MAP_FAILED)
			die("mmap");
		moved = mremap(area->start, area->pages * PAGE, pages * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, target);
	}
	if (moved == MAP_FAILED) {
		perror("mremap");
		show_mappings(area, pages, target);
		exit(2);
	}
	for (size_t page = area->pages; page < pages; page++)
		area->tags[page] = 0;
	area->start = moved;
	area->pages = pages;
	counted_moves++;
}

static void seal(struct worker *worker, struct area *area)
{
	worker->doing = "mprotect";
	area->sealed = !area->sealed;
	if (mprotect(area->start, area->pages * PAGE,
		     area->sealed ? PROT_READ : PROT_READ | PROT_WRITE) < 0)
		die("mprotect");
}

/* The child has all areas of the thread that forked as they were, and writes to its own copy. */
static void fork_child(struct worker *worker)
{
	pid_t pid;
	int status;

	worker->doing = "fork";
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		for (unsigned int i = 0; i < AREAS; i++) {
			struct area *area = &worker->areas[i];

			/* What a ring of the parent writes to is not the child's copy. */
			if (!area->start || area->pinned)
				continue;
			verify_pages(worker, area, 0, area->pages);
			if (!area->sealed) {
				write_pages(worker, area);
				verify_pages(worker, area, 0, area->pages);
			}
		}
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	if (status) {
		fprintf(stderr, "child of thread %u: wait status %#x, seed %llu\n", worker->number,
			(unsigned int)status, (unsigned long long)seed);
		_exit(4);
	}
	counted_forks++;
}

static void step_area(struct worker *worker, struct area *area)
{
	size_t choice = pick(worker, 100);

	if (choice < 40)
		verify_pages(worker, area, 0, area->pages);
	else if (choice < 42)
		seal(worker, area);
	else if (area->sealed)
		return;
	else if (choice < 60)
		write_pages(worker, area);
	else if (choice < 66)
		read_direct(worker, area);
	else if (choice < 72)
		splice_out(worker, area);
	else if (area->pinned && choice < 84)
		read_into_pinned(worker, area);
	else if (area->pinned)
		unpin_area(worker, area);
	else if (choice < 78)
		pin_area(worker, area);
	else if (choice < 86)
		move(worker, area);
	else if (choice < 94)
		punch(worker, area);
	else
		unmap_area(worker, area);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	pins_init(worker, worker->number);
	while (now_ms() < end_ms) {
		struct area *area = &worker->areas[pick(worker, AREAS)];

		if (!area->start)
			map_area(worker, area);
		else
			step_area(worker, area);
		if (pick(worker, 400) == 0)
			fork_child(worker);
		/* Memory that nobody touches for a while is what merges. */
		if (pick(worker, 50) == 0)
			sleep_ms(30);
	}
	for (unsigned int i = 0; i < AREAS; i++)
		if (worker->areas[i].start)
			verify_pages(worker, &worker->areas[i], 0, worker->areas[i].pages);
	return NULL;
}

static uint64_t number_of(const char *text, const char *what)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end || end == text || !value) {
		fprintf(stderr, "stress_content: %s: '%s', expected a number from 1\n", what, text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' },
		{ 0 },
	};
	uint64_t seconds = 10, threads = 6;
	struct worker *workers;
	pthread_t *ids;
	int option;

	seed = now_ms();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 's': seed = number_of(optarg, "--seed"); break;
		case 't': seconds = number_of(optarg, "--seconds"); break;
		case 'n': threads = number_of(optarg, "--threads"); break;
		default: return 2;
		}
	workers = calloc(threads, sizeof(*workers));
	ids = calloc(threads, sizeof(*ids));
	if (!workers || !ids)
		die("calloc");
	fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	pins_prepare();
	end_ms = now_ms() + seconds * 1000;
	for (unsigned int i = 0; i < threads; i++) {
		workers[i].number = i;
		workers[i].random = mix(seed * 1000 + i);
		if (pthread_create(&ids[i], NULL, work, &workers[i]))
			die("pthread_create");
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("%lu pages verified, %lu children, %lu pinned, %lu moved\n", counted_verified,
	       counted_forks, counted_pins, counted_moves);
	return 0;
}
