/* SPDX-License-Identifier: MIT */
/*
 * The operations of costs.c that need root: ksmd is switched on as the pacer does it, and what it
 * costs is read from its schedstat. However the program ends, the settings are put back.
 */
#ifndef COSTS_KSM_H
#define COSTS_KSM_H

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "costs_ops.h"

#define KSM "/sys/kernel/mm/ksm/"
#define KSM_PATIENCE_NS 30e9

/* In the order of writing; put back in the opposite one. */
static struct setting {
	const char *path;
	const char *ours;
	char before[32];
} settings[] = {
	{ KSM "pages_to_scan", "2000", "" }, { KSM "sleep_millisecs", "1", "" },
	{ KSM "use_zero_pages", "0", "" },   { KSM "smart_scan", "0", "" },
	{ KSM "run", "1", "" },
};

#define SETTINGS (sizeof(settings) / sizeof(*settings))

static char ksmd_schedstat[64];

/* Async-signal-safe. */
static void set_value(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		sink++;
	close(fd);
}

static bool read_text(const char *path, char *ret, size_t size)
{
	return sksm_read_file(sys, AT_FDCWD, path, ret, size) > 0;
}

static double read_value(const char *path)
{
	char text[64];

	return read_text(path, text, sizeof(text)) ? strtod(text, NULL) : NAN;
}

static void ksmd_off(void)
{
	for (size_t i = SETTINGS; i--;)
		if (*settings[i].before)
			set_value(settings[i].path, settings[i].before);
}

static void on_signal(int number)
{
	ksmd_off();
	_exit(128 + number);
}

static void ksmd_on(void)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (*settings[i].before)
			set_value(settings[i].path, settings[i].ours);
}

static bool find_ksmd(void)
{
	char path[64], name[32];
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && !*ksmd_schedstat && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
		if (read_text(path, name, sizeof(name)) && !strcmp(name, "ksmd\n"))
			snprintf(ksmd_schedstat, sizeof(ksmd_schedstat), "/proc/%.20s/schedstat",
				 entry->d_name);
	}
	if (dir)
		closedir(dir);
	return *ksmd_schedstat;
}

/* ksmd belongs to the whole machine: one measures at a time. */
static void lock_ksmd(void)
{
	int fd;

	if (getenv("SKSM_TEST_LOCKED"))
		return;
	fd = open("/run/sksm-test.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX))
		err(1, "/run/sksm-test.lock");
}

/* NULL where ksmd can be measured; from then on it is ours. Else why not. */
static const char *ksm_obstacle(void)
{
	const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT };
	char advisor[64];

	if (geteuid())
		return "needs root";
	if (access(KSM "run", W_OK) || !find_ksmd())
		return "no samepage merging in this kernel";
	lock_ksmd();
	if (read_value(KSM "run") != 0)
		return "somebody else runs ksmd";
	if (read_text(KSM "advisor_mode", advisor, sizeof(advisor)) && !strstr(advisor, "[none]"))
		return "ksmd has an advisor";
	for (size_t i = 0; i < SETTINGS; i++)
		read_text(settings[i].path, settings[i].before, sizeof(settings[i].before));
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], on_signal);
	return NULL;
}

static double ksmd_cpu(void)
{
	return read_value(ksmd_schedstat);
}

/* By bit 56: the kernel's own counters still hold what was unmarked until ksmd passes again. */
static size_t merged_pages(void)
{
	uint64_t list[512];
	size_t merged = 0;

	for (size_t at = 0; at < bytes; at += BLOCK) {
		if (sksm_scan_pagemap(sys, pagemap, (uintptr_t)memory + at, 512, list))
			return 0;
		for (int i = 0; i < 512; i++)
			merged += (list[i] & (SKSM_PM_PRESENT | SKSM_PM_EXCLUSIVE)) ==
				  SKSM_PM_PRESENT;
	}
	return merged;
}

/* Two equal halves, merged. What ksmd took for it, or NAN. */
static double merge_halves(void)
{
	double start = now(), before = ksmd_cpu();

	fill(memory, pages / 2);
	memcpy(memory + bytes / 2, memory, bytes / 2);
	if (madvise(memory, bytes, MADV_MERGEABLE))
		return NAN;
	ksmd_on();
	while (merged_pages() < pages && now() - start < KSM_PATIENCE_NS)
		usleep(5000);
	ksmd_off();
	return merged_pages() < pages ? NAN : ksmd_cpu() - before;
}

static double unmark_all(void)
{
	double start = now();

	if (madvise(memory, bytes, MADV_UNMERGEABLE))
		return NAN;
	return (now() - start) / (double)pages;
}

static double ksm_merge(void)
{
	double ns = merge_halves() / (double)pages;

	unmark_all();
	return ns;
}

/* The first scans take checksums and build the tree; they are not counted. */
static double ksm_scan(void)
{
	double begin, first, scanned, spent;

	fill(memory, pages);
	if (madvise(memory, bytes, MADV_MERGEABLE))
		return NAN;
	begin = now();
	first = read_value(KSM "full_scans");
	ksmd_on();
	while (read_value(KSM "full_scans") < first + 3 && now() - begin < KSM_PATIENCE_NS)
		usleep(2000);
	scanned = read_value(KSM "pages_scanned");
	spent = ksmd_cpu();
	while (read_value(KSM "full_scans") < first + 8 && now() - begin < KSM_PATIENCE_NS)
		usleep(2000);
	ksmd_off();
	scanned = read_value(KSM "pages_scanned") - scanned;
	spent = ksmd_cpu() - spent;
	unmark_all();
	return scanned >= (double)pages ? spent / scanned : NAN;
}

static double ksm_cow(void)
{
	double start, ns;

	if (isnan(merge_halves()))
		return NAN;
	start = now();
	write_each(memory, pages / 2);
	ns = (now() - start) / (double)(pages / 2);
	unmark_all();
	return ns;
}

static double ksm_unmerge(void)
{
	return isnan(merge_halves()) ? NAN : unmark_all();
}

#endif
