/* SPDX-License-Identifier: MIT */
/*
 * waits [MIB [SECONDS [BUSY]]]: how long mmap and munmap take in a program of MIB (1024) of calm
 * memory, all different, among BUSY (0) other programs that compute. Whoever looks at its memory
 * holds the mmap lock meanwhile. To be run without the library, with it, and, with MERGEABLE in the
 * environment, under ksmd.
 */
#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define SMALL (16 * PAGE)
#define SAMPLES_MAX (1u << 18)

static uint32_t samples[SAMPLES_MAX];	/* us */
static unsigned int sample_count;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

static void start_busy(unsigned int count)
{
	while (count--) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				__asm__ volatile("");
		}
	}
}

static void fill(char *memory, size_t bytes)
{
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < bytes; at += PAGE)
		*(uint64_t *)(memory + at) = at + 1;
	if (getenv("MERGEABLE") && madvise(memory, bytes, MADV_MERGEABLE))
		err(1, "MADV_MERGEABLE");
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double quantile_ms(unsigned int thousandths)
{
	return samples[(uint64_t)(sample_count - 1) * thousandths / 1000] / 1000.0;
}

int main(int argc, char **argv)
{
	const size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) << 20;
	const uint64_t seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t end_ns;

	start_busy(argc > 3 ? (unsigned int)atoi(argv[3]) : 0);
	fill(map(bytes), bytes);
	for (end_ns = now_ns() + seconds * 1000000000;
	     now_ns() < end_ns && sample_count < SAMPLES_MAX;) {
		uint64_t ns;

		nanosleep(&pause, NULL);
		ns = now_ns();
		munmap(map(SMALL), SMALL);
		samples[sample_count++] = (uint32_t)((now_ns() - ns) / 1000);
	}
	qsort(samples, sample_count, sizeof(*samples), compare_samples);
	printf("%u calls, ms: median %.3f, 99 %% %.3f, 99.9 %% %.3f, longest %.1f\n", sample_count,
	       quantile_ms(500), quantile_ms(990), quantile_ms(999), quantile_ms(1000));
	return 0;
}
