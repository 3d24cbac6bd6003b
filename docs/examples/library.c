/* SPDX-License-Identifier: MIT */
/*
 * Merge the memory of a program that knows where it is. Two equal tables are made; as root, with
 * sksm-pacer or ksmd running, one of them is freed:
 *
 *	cc library.c $(pkg-config --cflags --libs sksm) -o library && ./library
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sksm.h>

#define BYTES (64ul << 20)

static unsigned char *make_table(void)
{
	unsigned char *table = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int state = 1;

	if (table == MAP_FAILED)
		exit(1);
	for (size_t i = 0; i < BYTES; i += sizeof(state)) {
		state = state * 1664525 + 1013904223;
		memcpy(table + i, &state, sizeof(state));
	}
	return table;
}

int main(void)
{
	/* The program itself says when its memory is calm: an age is not waited for. */
	const char *settings[] = { "INTERVAL_MS=100", "CPU_PERCENT=50", NULL };
	unsigned char *one = make_table(), *two = make_table();
	struct sksm_stats stats;
	const char *reason;
	struct sksm *sksm;

	if (sksm_start(&sksm, settings, &reason)) {
		fprintf(stderr, "library: nothing can be merged: %s\n", reason);
		return 1;
	}
	sksm_add(sksm, one, BYTES);
	sksm_add(sksm, two, BYTES);
	if (sksm_merge_now(sksm, 20000))
		fprintf(stderr, "library: not everything was merged within 20 s; does ksmd run?\n");
	sksm_get_stats(sksm, &stats);
	printf("%s, %s: %lu MiB watched, %lu have a twin, %lu merged, %lu saved, %lu refused\n",
	       sksm_get_engine(sksm), sksm_get_tracker(sksm), (unsigned long)(stats.tracked >> 20),
	       (unsigned long)(stats.duplicate >> 20), (unsigned long)(stats.merged >> 20),
	       (unsigned long)(stats.saved >> 20), (unsigned long)(stats.refused >> 20));
	sksm_stop(sksm);
	return memcmp(one, two, BYTES) != 0;
}
