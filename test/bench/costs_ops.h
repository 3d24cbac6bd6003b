/* SPDX-License-Identifier: MIT */
/* The operations that costs.c measures without root; each function is one repetition, in ns. */
#ifndef COSTS_OPS_H
#define COSTS_OPS_H

#include <err.h>
#include <linux/futex.h>
#include <math.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "tracker/digest.h"
#include "tracker/map.h"
#include "tracker/scan.h"
#include "tracker/sys.h"

#define PAGE SKSM_PAGE_BYTES
#define BLOCK (512 * PAGE)
#define RUNS 1024

static const struct sksm_sys *const sys = &sksm_sys_kernel;
static struct sksm_page_region runs[RUNS];
static struct sksm_digester digester;
static char *memory;
static size_t pages, bytes;
static int uffd, pagemap, file;
static volatile uint64_t sink;
static uint64_t random_state = 1;

static uint64_t next_random(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static double now(void)
{
	return (double)sksm_clock_ns(CLOCK_MONOTONIC);
}

static double cpu(void)
{
	return (double)sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void write_each(char *start, size_t count)
{
	for (size_t page = 0; page < count; page++)
		((volatile char *)start)[page * PAGE]++;
}

static void fill(char *start, size_t count)
{
	for (size_t i = 0; i < count * PAGE; i += 8)
		*(uint64_t *)(start + i) = next_random();
}

static void arm_all(void)
{
	uint64_t start = (uintptr_t)memory;

	if (sksm_scan_arm(sys, pagemap, start, start + bytes, SKSM_ARM_FILE, runs, RUNS) < 0)
		errx(1, "arming fails");
}

/* Out of the caches, as memory is that nobody used for the age. */
static void make_cold(const char *start, size_t size)
{
#ifdef __x86_64__
	for (size_t i = 0; i < size; i += 64)
		__builtin_ia32_clflush(start + i);
	__builtin_ia32_mfence();
#else
	(void)start;
	(void)size;
#endif
}

static double scan_armed(bool files)
{
	uint64_t at = (uintptr_t)memory, end = at + bytes, walked = at;
	double start;

	arm_all();
	start = now();
	for (; at < end; at = walked)
		if (sksm_scan_look(sys, pagemap, at, end, 0, files, runs, RUNS, &walked) < 0 ||
		    walked <= at)
			return NAN;
	return (now() - start) / (double)pages;
}

static double scan(void)
{
	return scan_armed(false);
}

static double scan_unarmed(void)
{
	uint64_t at = (uintptr_t)memory, end = at + bytes, walked = at;
	double start;

	arm_all();
	start = now();
	for (; at < end; at = walked)
		if (sksm_scan_unarmed(sys, pagemap, at, end, runs, RUNS, &walked) < 0 ||
		    walked <= at)
			return NAN;
	return (now() - start) / (double)pages;
}

static double scan_file(void)
{
	return scan_armed(true);
}

static double arm(void)
{
	uint64_t start = (uintptr_t)memory, walked;
	double begin;

	arm_all();
	write_each(memory, pages);
	begin = now();
	for (size_t at = 0; at < bytes; at += BLOCK)
		if (sksm_scan_arm_runs(sys, pagemap, start + at, start + at + BLOCK, SKSM_ARM_FILE,
				       runs, RUNS, &walked) != 1)
			return NAN;
	return (now() - begin) / (double)pages;
}

static double write_armed(void)
{
	double start;

	arm_all();
	start = now();
	write_each(memory, pages);
	return (now() - start) / (double)pages;
}

static double write_unarmed(void)
{
	double start;

	arm_all();
	write_each(memory, pages);
	start = now();
	write_each(memory, pages);
	return (now() - start) / (double)pages;
}

static double read_cold(void)
{
	uint64_t sum = 0;
	double start;

	make_cold(memory, bytes);
	start = now();
	for (size_t i = 0; i < bytes; i += 8)
		sum += *(const uint64_t *)(memory + i);
	sink = sum;
	return (now() - start) / (double)pages;
}

static double digest_direct(void)
{
	double start;

	make_cold(memory, bytes);
	start = now();
	for (size_t page = 0; page < pages; page++)
		sink = sksm_digest_page(&digester, memory + page * PAGE);
	return (now() - start) / (double)pages;
}

/* As the tracker does it: @count pages to a call. */
static double digest_copies(size_t count)
{
	static unsigned char copy[16 * PAGE];
	double start;

	make_cold(memory, bytes);
	start = now();
	for (size_t page = 0; page < pages; page += count) {
		if (sys->copy_memory(copy, memory + page * PAGE, count * PAGE) < 0)
			return NAN;
		for (size_t i = 0; i < count; i++)
			sink = sksm_digest_page(&digester, copy + i * PAGE);
	}
	return (now() - start) / (double)pages;
}

static double digest_16(void)
{
	return digest_copies(16);
}

static double digest_1(void)
{
	return digest_copies(1);
}

static double entries(void)
{
	uint64_t list[512];
	double start = now();

	for (size_t at = 0; at < bytes; at += BLOCK)
		if (sksm_scan_pagemap(sys, pagemap, (uintptr_t)memory + at, 512, list))
			return NAN;
	return (now() - start) / (double)pages;
}

static double map_query(void)
{
	char *cut = mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sksm_map map;
	struct sksm_vma vma;
	double start, ns = NAN;
	unsigned int seen = 0;

	for (size_t at = 0; cut != MAP_FAILED && at < BLOCK; at += 2 * PAGE)
		mprotect(cut + at, PAGE, PROT_READ | PROT_WRITE);
	if (cut == MAP_FAILED || sksm_map_open(&map, sys, false))
		return NAN;
	start = now();
	if (!sksm_map_rewind(&map))
		while (sksm_map_next(&map, &vma) == 1)
			seen++;
	if (seen >= 512)
		ns = (now() - start) / seen;
	sksm_map_close(&map);
	munmap(cut, BLOCK);
	return ns;
}

/* Every other 64 KiB, as a run of twins is: each call cuts a mapping, or joins three again. */
static double mark(int timed)
{
	const int advice[] = { MADV_MERGEABLE, MADV_UNMERGEABLE };
	double ns = NAN;

	for (int i = 0; i < 2; i++) {
		double start = now();

		for (size_t at = 0; at < bytes; at += 32 * PAGE)
			if (madvise(memory + at, 16 * PAGE, advice[i]))
				return NAN;
		if (i == timed)
			ns = (now() - start) / (double)(bytes / (32 * PAGE));
	}
	return ns;
}

static double mark_call(void)
{
	return mark(0);
}

static double unmark_call(void)
{
	return mark(1);
}

static double wake(void)
{
	struct timespec step = { 0, 1000000 };
	double start = cpu();
	uint32_t word = 0;

	for (int i = 0; i < 100; i++)
		sksm_call4(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &step);
	return (cpu() - start) / 100;
}

enum { PREAD, PWRITE, CALLS = 20000 };

/* In random places of a file as large as an index of 2^14 buckets. */
static double access_file(int what, size_t size)
{
	const uint64_t places = (4u << 20) / 256;
	char data[256] = { 0 };
	double start = now();

	for (int i = 0; i < CALLS; i++) {
		uint64_t offset = next_random() % places * 256;
		ssize_t n = what == PREAD ? sys->pread(file, data, size, offset) :
			    sksm_call4(SYS_pwrite64, file, data, size, offset);

		if (n != (ssize_t)size)
			return NAN;
	}
	return (now() - start) / CALLS;
}

static double read_entry(void)
{
	return access_file(PREAD, 8);
}

static double read_bucket(void)
{
	return access_file(PREAD, 256);
}

static double write_entry(void)
{
	return access_file(PWRITE, 8);
}

#endif
