/* SPDX-License-Identifier: MIT */
/*
 * mapper [SEED [OPERATIONS [PAUSE_US]]]: map, unmap, move, protect and forget parts of a window of
 * memory at random, write to it, and check every byte against a shadow of tags. Contents repeat,
 * so that there is something to merge. The output depends on the arguments alone.
 */
#include <sys/mman.h>

#include "victim.h"

#define WINDOW_PAGES 8192u
#define AREA_PAGES 2048u
#define BREAK_PAGES 1024u
#define CONTENTS 512u

enum state { HOLE, NONE, READ_ONLY, READ_WRITE };

static unsigned char *window;
static uint64_t tag[WINDOW_PAGES];
static unsigned char state[WINDOW_PAGES];

static unsigned char *area;	/* one mapping that grows and shrinks, and may move */
static size_t area_pages;
static uint64_t area_tag[2 * AREA_PAGES];

static uint64_t seed;

static unsigned int pick(unsigned int below)
{
	return (unsigned int)((seed = mix(seed)) % below);
}

static void check(bool good, const char *what)
{
	if (!good)
		die(what);
}

static void verify_window(void)
{
	for (unsigned int i = 0; i < WINDOW_PAGES; i++)
		if (state[i] >= READ_ONLY && !page_is(window + i * PAGE, tag[i]))
			wrong("window", i);
}

static void verify_area(void)
{
	for (size_t i = 0; i < area_pages; i++)
		if (!page_is(area + i * PAGE, area_tag[i]))
			wrong("area", i);
}

static void set(unsigned int first, unsigned int count, enum state to, bool zero)
{
	for (unsigned int i = first; i < first + count; i++) {
		state[i] = (unsigned char)to;
		if (zero)
			tag[i] = 0;
	}
}

static void map_over(unsigned int first, unsigned int count)
{
	check(mmap(window + first * PAGE, count * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == window + first * PAGE,
	      "MAP_FIXED");
	set(first, count, READ_WRITE, true);
}

static void unmap(unsigned int first, unsigned int count)
{
	check(munmap(window + first * PAGE, count * PAGE) == 0, "munmap");
	set(first, count, HOLE, true);
}

/* Holes may belong to someone else meanwhile: they are only filled where they are still free. */
static void fill_holes(unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++) {
		if (state[i] != HOLE)
			continue;
		if (mmap(window + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
			check(errno == EEXIST, "MAP_FIXED_NOREPLACE");
		else
			set(i, 1, READ_WRITE, true);
	}
}

static void protect(unsigned int first, unsigned int count)
{
	static const int prot[] = { 0, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	enum state to = (enum state)(NONE + pick(3));

	for (unsigned int i = first; i < first + count; i++) {
		if (state[i] == HOLE)
			continue;
		check(mprotect(window + i * PAGE, PAGE, prot[to]) == 0, "mprotect");
		state[i] = (unsigned char)to;
	}
}

static void forget(unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++) {
		if (state[i] == HOLE)
			continue;
		check(madvise(window + i * PAGE, PAGE, MADV_DONTNEED) == 0, "MADV_DONTNEED");
		tag[i] = 0;
	}
}

static void write_pages(unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++) {
		if (state[i] != READ_WRITE)
			continue;
		tag[i] = mix(pick(CONTENTS));
		page_write(window + i * PAGE, tag[i]);
	}
}

/* Within the window, to a place that is cleared first. */
static void move(unsigned int from, unsigned int to, unsigned int count)
{
	if (from < to + count && to < from + count)
		return;
	for (unsigned int i = 1; i < count; i++)
		if (state[from + i] != state[from])
			return;
	if (state[from] == HOLE)
		return;
	unmap(to, count);
	for (unsigned int i = 0; i < count; i++) {
		/* One by one: pages of equal protection may still be several mappings. */
		check(mremap(window + (from + i) * PAGE, PAGE, PAGE,
			     MREMAP_MAYMOVE | MREMAP_FIXED, window + (to + i) * PAGE) ==
		      window + (to + i) * PAGE, "mremap in the window");
		tag[to + i] = tag[from + i];
		state[to + i] = state[from + i];
		tag[from + i] = 0;
		state[from + i] = HOLE;
	}
}

/*
 * The area is one mapping as far as this program knows, so resizing it as a whole must work,
 * whatever was done to parts of it behind the program's back.
 */
static void resize_area(void)
{
	size_t to = AREA_PAGES / 2 + pick(AREA_PAGES);
	void *moved = mremap(area, area_pages * PAGE, to * PAGE, MREMAP_MAYMOVE);

	check(moved != MAP_FAILED, "mremap of the area");
	area = moved;
	for (size_t i = area_pages; i < to; i++)
		area_tag[i] = 0;
	area_pages = to;
}

static void write_area(void)
{
	size_t first = pick(AREA_PAGES);

	for (size_t i = first; i < first + 64 && i < area_pages; i++) {
		area_tag[i] = mix(pick(CONTENTS));
		page_write(area + i * PAGE, area_tag[i]);
	}
}

static void breathe(void)
{
	size_t count = 1 + pick(BREAK_PAGES);
	unsigned char *base = sbrk((intptr_t)(count * PAGE));

	check(base != (void *)-1, "sbrk up");
	base = (unsigned char *)(((uintptr_t)base + PAGE - 1) & -PAGE);
	for (size_t i = 0; i + 1 < count; i++)
		page_write(base + i * PAGE, 1 + i % CONTENTS);
	usleep(2000);
	for (size_t i = 0; i + 1 < count; i++)
		if (!page_is(base + i * PAGE, 1 + i % CONTENTS))
			wrong("brk", i);
	check(sbrk(-(intptr_t)(count * PAGE)) != (void *)-1, "sbrk down");
}

static void operate(void)
{
	unsigned int first = pick(WINDOW_PAGES), count = 1 + pick(256);

	if (first + count > WINDOW_PAGES)
		count = WINDOW_PAGES - first;
	switch (pick(16)) {
	case 0: map_over(first, count); break;
	case 1: unmap(first, count); break;
	case 2: fill_holes(first, count); break;
	case 3: protect(first, count); break;
	case 4: forget(first, count); break;
	case 5: move(first, pick(WINDOW_PAGES - count), count); break;
	case 6: resize_area(); break;
	case 7: write_area(); break;
	case 8: breathe(); break;
	default: write_pages(first, count); break;
	}
}

int main(int argc, char **argv)
{
	static char out[BUFSIZ];
	uint64_t first_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned int operations = argc > 2 ? (unsigned int)atoi(argv[2]) : 2000;
	unsigned int pause_us = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;

	setvbuf(stdout, out, _IOFBF, sizeof(out));
	seed = first_seed;
	window = mmap(NULL, WINDOW_PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	area_pages = AREA_PAGES;
	area = mmap(NULL, area_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	check(window != MAP_FAILED && area != MAP_FAILED, "mmap");
	set(0, WINDOW_PAGES, READ_WRITE, true);
	write_pages(0, WINDOW_PAGES);
	for (unsigned int i = 0; i < operations; i++) {
		operate();
		if (pause_us)
			usleep(pause_us);
		if (i % 256 == 255) {
			verify_window();
			verify_area();
		}
	}
	verify_window();
	verify_area();
	printf("seed %llu, %u operations, verified\n", (unsigned long long)first_seed, operations);
	return 0;
}
