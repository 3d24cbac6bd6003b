/* SPDX-License-Identifier: MIT */
/*
 * stall [--seconds N]: how long another thread waits for the mmap lock, for writing and in a page
 * fault, while MADV_MERGE runs over 64 MiB, 2 MiB a call; and while the same thread only reads
 * that memory. On two CPUs and more.
 */
#include <pthread.h>
#include <stdbool.h>

#include "advice_calls.h"

#define AREA_BYTES (32 * BATCH_BYTES)
#define SAMPLES_MAX (1u << 21)

static char *area;
static volatile bool stop;
static uint32_t samples[SAMPLES_MAX];	/* ns */
static unsigned int sample_count;

/* The program: maps, writes and unmaps a page all the time. */
static void *live(void *unused)
{
	(void)unused;
	while (!stop && sample_count < SAMPLES_MAX) {
		uint64_t ns = sksm_clock_ns(CLOCK_MONOTONIC);
		char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			err(1, "mmap");
		*(volatile char *)page = 1;
		munmap(page, PAGE);
		samples[sample_count++] = (uint32_t)(sksm_clock_ns(CLOCK_MONOTONIC) - ns);
	}
	return NULL;
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void read_all(void)
{
	for (size_t at = 0; at < AREA_BYTES; at += 64)
		(void)*(volatile char *)(area + at);
}

/* Twins of one another are merged in the first round; then written, and merged again. */
static void merge_all(void)
{
	for (size_t at = 0; at < AREA_BYTES; at += PAGE)
		((volatile char *)area)[at]++;
	for (size_t at = 0; at < AREA_BYTES; at += BATCH_BYTES)
		if (madvise(area + at, BATCH_BYTES, MADV_MERGE))
			err(1, "MADV_MERGE");
}

/* Part @thousandths of the sorted samples, in us. */
static uint32_t quantile(unsigned int thousandths)
{
	return samples[(uint64_t)(sample_count - 1) * thousandths / 1000] / 1000;
}

static void measure(const char *what, void (*work)(void), unsigned int seconds)
{
	uint64_t begin_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	unsigned int over = 0;
	pthread_t thread;

	sample_count = 0;
	stop = false;
	if (pthread_create(&thread, NULL, live, NULL))
		errx(1, "no thread");
	while (sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns < seconds * 1000000000ull)
		work();
	stop = true;
	pthread_join(thread, NULL);
	qsort(samples, sample_count, sizeof(*samples), compare_samples);
	for (unsigned int i = 0; i < sample_count; i++)
		over += samples[i] > 1000000;
	printf("result: %-8s %7u rounds, us: median %u, 99 %% %u, 99.9 %% %u, longest %u; %u above 1 ms\n",
	       what, sample_count, quantile(500), quantile(990), quantile(999), quantile(1000),
	       over);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 2 ? (unsigned int)atoi(argv[2]) : 20;

	area = map_pages(AREA_BYTES);
	fill_unique(area, AREA_BYTES / 2);
	memcpy(area + AREA_BYTES / 2, area, AREA_BYTES / 2);
	if (madvise(area, PAGE, MADV_MERGE)) {
		printf("SKIP: this kernel has no MADV_MERGE\n");
		return 77;
	}
	for (int i = 0; i < 2; i++) {
		measure("reading", read_all, seconds);
		measure("merging", merge_all, seconds);
	}
	return 0;
}
