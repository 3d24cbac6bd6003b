/* SPDX-License-Identifier: MIT */
/*
 * near pointer|counter|time|header|twin: 16 MiB of pages that are equal in each process that runs
 * this but for a few words of that kind, two in each KiB at byte 64 and 512. Waits for a signal.
 */
#include <sys/mman.h>
#include <time.h>

#include "victim.h"

#define PAGES 4096u

static uint64_t differing(const char *kind, const unsigned char *object, unsigned int number)
{
	struct timespec now;

	if (!strcmp(kind, "pointer"))
		return (uintptr_t)object + 128;
	if (!strcmp(kind, "counter"))
		return (uint64_t)(getpid() % 1000 + number % 7 + 1);
	if (!strcmp(kind, "time")) {
		clock_gettime(CLOCK_REALTIME, &now);
		return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "twin";
	unsigned char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int page = 0; page < PAGES; page++) {
		page_write(memory + page * PAGE, page + 1);
		for (unsigned int at = 64; at < PAGE && strcmp(kind, "twin"); at += 448) {
			uint64_t word = differing(kind, memory + page * PAGE + at, page);

			memcpy(memory + page * PAGE + at, &word, sizeof(word));
		}
	}
	printf("ready\n");
	fflush(stdout);
	pause();
	return 0;
}
