/* SPDX-License-Identifier: MIT */
/*
 * The only program of a guest of test/compat/guest-image: its first process. On the console it says
 *	round N		each second: so much was computed since it is up
 *	took US		the microseconds that those rounds took, by the guest's clock
 *	right or WRONG	each two seconds: what it holds is what it put there
 * It holds /data in memory as the image brought it (equal in all guests of an image), OWN_BYTES
 * that no other guest has, and writes to HOT_BYTES in each round. On the kernel's command line:
 * seed=NUMBER, and pause=MS between two rounds, if not 0.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef OWN_BYTES
#define OWN_BYTES (24u << 20)
#define HOT_BYTES (8u << 20)
#endif

static uint64_t step(uint64_t x)
{
	return x * 6364136223846793005u + 1442695040888963407u;
}

static uint64_t *map(size_t bytes)
{
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	return p;
}

static uint64_t sum(const uint64_t *p, size_t bytes)
{
	uint64_t total = 0;

	for (size_t i = 0; i < bytes / 8; i++)
		total = (total ^ p[i]) * 1099511628211u;
	return total;
}

/* From the kernel's command line: what follows @name there, or 0. */
static uint64_t read_number(const char *name)
{
	char line[512] = "";
	int fd = open("/proc/cmdline", O_RDONLY);
	const char *word;

	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		_exit(1);
	close(fd);
	word = strstr(line, name);
	return word ? strtoull(word + strlen(name), NULL, 10) : 0;
}

static const uint64_t *map_data(size_t *bytes)
{
	int fd = open("/data", O_RDONLY);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		_exit(1);
	*bytes = (size_t)st.st_size;
	p = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		_exit(1);
	return p;
}

static uint64_t write_round(uint64_t *hot, uint64_t x)
{
	for (size_t i = 0; i < HOT_BYTES / 8; i += 8)
		hot[i] = x = step(x);
	return x;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int main(void)
{
	uint64_t *own = map(OWN_BYTES), *hot = map(HOT_BYTES), x, data_sum, own_sum, rounds = 0;
	uint64_t pause_us, took = 0, began;
	const uint64_t *data;
	size_t data_bytes;
	time_t said;

	if (mount("proc", "/proc", "proc", 0, NULL) && access("/proc/cmdline", R_OK))
		_exit(1);
	x = read_number("seed=");
	pause_us = read_number("pause=") * 1000;
	for (size_t i = 0; i < OWN_BYTES / 8; i++)
		own[i] = x = step(x);
	own_sum = sum(own, OWN_BYTES);
	data = map_data(&data_bytes);
	data_sum = sum(data, data_bytes);
	said = time(NULL);
	for (;;) {
		began = now_us();
		x = write_round(hot, x);
		took += now_us() - began;
		rounds++;
		if (pause_us)
			usleep((useconds_t)pause_us);
		if (time(NULL) == said)
			continue;
		said = time(NULL);
		printf("round %llu\n", (unsigned long long)rounds);
		printf("took %llu\n", (unsigned long long)took);
		if (said % 2 == 0)
			puts(sum(own, OWN_BYTES) == own_sum && sum(data, data_bytes) == data_sum
				     ? "right"
				     : "WRONG");
		fflush(stdout);
	}
}
