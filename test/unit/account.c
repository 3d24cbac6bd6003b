/* SPDX-License-Identifier: MIT */
#include "ksmd.h"
#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)

static struct rig rig;

static void start(const char *engine)
{
	const char *const variables[] = { engine, "SKSM_AGE_MS=20", NULL };

	rig_start(&rig, variables);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Pages in memory less the distinct frames behind them, by the kernel's page map (root). */
static unsigned int count_saved(const char *start)
{
	static uint64_t frames[PAGES];
	unsigned int count = 0, distinct = 0;

	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t entry = unit_pagemap_entry(start + i * PAGE);

		if (entry & SKSM_PM_PRESENT)
			frames[count++] = entry & ((1ull << 55) - 1);
	}
	qsort(frames, count, sizeof(frames[0]), compare);
	for (unsigned int i = 0; i < count; i++)
		distinct += i == 0 || frames[i] != frames[i - 1];
	return count - distinct;
}

static bool near(uint64_t a, uint64_t b)
{
	uint64_t difference = a > b ? a - b : b - a;

	return difference * 100 <= 3 * b;
}

Test(account, saved_is_what_distinct_frames_tell)
{
	struct ksmd ksmd;
	const struct sksm_counters *counters;
	uint64_t end_ms, saved;
	char *data;

	start("SKSM_ENGINE=ksm");
	if (geteuid())
		unit_skip("frame numbers are for root");
	ksmd = ksmd_start();
	counters = &rig.tracker->counters;
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, (uint64_t)getpid() << 32 | (i % 512 + 1));
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(MERGED), PAGES));
	saved = count_saved(data) * PAGE;
	cr_assert(near(saved, BYTES / 4 * 3), "%lu", (unsigned long)saved);
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	while (!near(counters->saved, saved) && unit_now_ms() < end_ms)
		rig_pass(&rig, 10);
	cr_assert(near(counters->saved, saved), "%lu, by frames %lu",
		  (unsigned long)counters->saved, (unsigned long)saved);
	cr_assert_eq(counters->merged, BYTES);
	cr_assert_eq(counters->debt, BYTES);
	cr_assert_eq(counters->zero, 0);
	cr_assert_eq(counters->duplicate, BYTES);
	/* Half of it written, and no twin any more, or ksmd could be back before the next pass. */
	for (unsigned int i = 0; i < PAGES / 2; i++)
		unit_fill_page(data + i * PAGE, 1000000 + i);
	end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	do {
		rig_pass(&rig, 10);
		saved = count_saved(data) * PAGE;
	} while ((!near(counters->saved, saved) || counters->cow_breaks != PAGES / 2) &&
		 unit_now_ms() < end_ms);
	cr_assert_eq(counters->cow_breaks, PAGES / 2);
	cr_assert(near(counters->saved, saved), "%lu, by frames %lu",
		  (unsigned long)counters->saved, (unsigned long)saved);
	rig_stop(&rig);
	ksmd_stop(&ksmd);
}

/* Shared by fork is shared already: nothing is merged, nothing saved. */
Test(account, fork_shared_pages_are_no_savings)
{
	char *data;
	int go[2];
	pid_t pid;

	start("SKSM_ENGINE=ksm");
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i / 2 + 1);
	cr_assert_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit((int)read(go[0], &(char){ 0 }, 1));
	}
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(SHARED), PAGES));
	rig_pass(&rig, 10);
	cr_assert_eq(rig.tracker->counters.merged, 0);
	cr_assert_eq(rig.tracker->counters.saved, 0);
	cr_assert_eq(rig.tracker->counters.offered, 0);
	cr_assert_eq(rig.tracker->counters.digested, 0);
	cr_assert_eq(rig.tracker->counters.invariant, BYTES);
	cr_assert_eq(rig.tracker->counters.resident, BYTES);
	close(go[1]);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	rig_stop(&rig);
}

Test(account, shared_memory_cannot_be_merged)
{
	int fd = memfd_create("unit", MFD_CLOEXEC);
	char *shared, *private;

	start("SKSM_ENGINE=ksm");
	cr_assert_eq(ftruncate(fd, BYTES), 0);
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(shared, MAP_FAILED);
	memset(shared, 1, BYTES / 2);
	/* Once in so many passes it is counted. */
	rig_pass(&rig, 40);
	cr_assert_eq(rig.tracker->counters.shared_unmergeable, BYTES / 2);
	cr_assert_eq(rig_count(&rig, shared, PAGES, RIG_BIT(NONE)), PAGES);
	/* Copied pages of a private mapping of it can be. */
	private = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	cr_assert_neq(private, MAP_FAILED);
	for (unsigned int i = 0; i < 100; i++)
		unit_fill_page(private + i * PAGE, i / 2 + 1);
	cr_assert(rig_pass_until(&rig, private, PAGES, RIG_DIGESTED, 100));
	cr_assert_eq(rig_count(&rig, private, PAGES, RIG_BIT(NONE)), PAGES - 100);
	for (unsigned int i = 0; i < 100; i++)
		cr_assert(unit_page_holds(private + i * PAGE, i / 2 + 1));
	cr_assert_eq(shared[0], 1, "the file itself is untouched");
	rig_stop(&rig);
}

Test(account, our_own_memory_is_small_and_counted)
{
	const size_t bytes = 64 * MIB;
	char *data;

	start("SKSM_ENGINE=none");
	data = unit_map(bytes);
	for (size_t i = 0; i < bytes / PAGE; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, bytes / PAGE, RIG_BIT(UNIQUE), bytes / PAGE));
	cr_assert_gt(rig.tracker->counters.own, 0);
	cr_assert_geq(rig.tracker->counters.own, rig.tracker->arena.used_bytes);
	cr_assert_leq(rig.tracker->counters.own, bytes / 100, "%lu bytes of our own for %lu",
		      (unsigned long)rig.tracker->counters.own, (unsigned long)bytes);
	rig_stop(&rig);
}
