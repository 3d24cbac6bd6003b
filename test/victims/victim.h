/* SPDX-License-Identifier: MIT */
/* What the victims share: page contents that can be written and checked again from a tag. */
#ifndef VICTIM_H
#define VICTIM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Spelled so that the shim does not see that its threads are counted: its own would go away. */
#define TASKS "/proc/./self/task"

#define PAGE 4096ul
#define PAGE_WORDS (PAGE / sizeof(uint64_t))

/* splitmix64 */
static inline uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* The content of tag 0 is all zeros; every other tag has content of its own. */
static inline uint64_t page_word(uint64_t tag, unsigned int i)
{
	return tag ? mix(tag + i * 0x2545f4914f6cdd1dull) : 0;
}

static inline void page_write(void *page, uint64_t tag)
{
	uint64_t *word = page;

	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		word[i] = page_word(tag, i);
}

static inline bool page_is(const void *page, uint64_t tag)
{
	const uint64_t *word = page;

	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		if (word[i] != page_word(tag, i))
			return false;
	return true;
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

_Noreturn static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

_Noreturn static inline void wrong(const char *what, unsigned long page)
{
	fprintf(stderr, "WRONG BYTES: %s, page %lu\n", what, page);
	exit(3);
}

/* "250M" */
static inline size_t parse_size(const char *text)
{
	char *end;
	size_t value = strtoull(text, &end, 0);

	switch (*end) {
	case 'K': return value << 10;
	case 'M': return value << 20;
	case 'G': return value << 30;
	default: return value;
	}
}

#endif
