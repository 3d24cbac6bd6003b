/* SPDX-License-Identifier: MIT */
#define RIG_INEXACT
#include "rig.h"

#include <sys/wait.h>

#define PAGES 2048
#define BYTES (PAGES * PAGE)

Test(tracker, init_and_fini_leave_nothing)
{
	unsigned int fds, mappings;
	struct rig rig;
	char *data;

	rig_start(&rig, NULL);
	rig_stop(&rig);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	fds = unit_count_fds();
	mappings = unit_count_mappings();
	for (int round = 0; round < 3; round++) {
		rig_start(&rig, NULL);
		cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
		rig_stop(&rig);
		cr_assert_eq(unit_count_fds(), fds, "round %d", round);
		cr_assert_eq(unit_count_mappings(), mappings, "round %d", round);
		/* All protection has gone with it. */
		for (unsigned int i = 0; i < PAGES; i++)
			cr_assert_not(unit_pagemap_entry(data + i * PAGE) & SKSM_PM_UFFD_WP);
	}
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(data + i * PAGE, i + 1));
}

/* The same reservation again, as after the thread stepped aside. */
Test(tracker, a_second_life_in_the_same_reservation)
{
	struct rig rig;
	char *data;

	rig_start(&rig, NULL);
	data = unit_map(BYTES);
	memset(data, 1, BYTES);
	for (int round = 0; round < 3; round++) {
		cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(TWIN), PAGES));
		sksm_tracker_fini(rig.tracker);
		cr_assert(rig_init(&rig), "%s", rig.reason);
		cr_assert_eq(rig.tracker->counters.passes, 0);
		cr_assert_eq(rig.tracker->counters.digested, 0);
	}
	rig_stop(&rig);
}

/* Where it cannot be had: a reason for people, and the domain's descriptor is the caller's. */
Test(tracker, reasons)
{
	static const struct { enum inject_op op; unsigned int nth; } failing[] = {
		{ INJECT_OPENAT, 1 }, { INJECT_USERFAULTFD, 1 }, { INJECT_IOCTL, 1 },
		{ INJECT_COPY_MEMORY, 1 }, { INJECT_MPROTECT, 1 },
	};
	const char *const variables[] = { "SKSM_TRACKER=wp", NULL };
	struct rig rig;

	rig_start(&rig, variables);
	sksm_tracker_fini(rig.tracker);
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		unsigned int fds = unit_count_fds();

		inject_arm(failing[i].op, failing[i].nth, EPERM, true);
		cr_assert_not(rig_init(&rig), "%s", inject_names[failing[i].op]);
		cr_assert_str_not_empty(rig.reason);
		cr_assert_eq(unit_count_fds(), fds, "%s", inject_names[failing[i].op]);
	}
	inject_reset();
	cr_assert(rig_init(&rig), "%s", rig.reason);
	rig_stop(&rig);
}

/* What write-protection needs is missing: digests are compared, unless that was not asked for. */
Test(tracker, falls_back_to_digests)
{
	static const enum inject_op failing[] = { INJECT_USERFAULTFD, INJECT_IOCTL };
	struct rig rig;

	/* Is there anything to fall back from? */
	rig_start(&rig, rig_wp);
	sksm_tracker_fini(rig.tracker);
	rig_parse(&rig, NULL);
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		inject_arm(failing[i], 1, EPERM, true);
		cr_assert(rig_init(&rig), "%s: %s", inject_names[failing[i]], rig.reason);
		cr_assert_eq(rig.tracker->kind, SKSM_TRACKER_DIGEST);
		sksm_tracker_fini(rig.tracker);
	}
	inject_reset();
	cr_assert(rig_init(&rig), "%s", rig.reason);
	rig_stop(&rig);
}

/* Two processes that publish at once may overwrite each other's entries (index.h): not many. */
#define MOST (PAGES - PAGES / 100)

/* Equal pages, each once in two processes. */
static char *make_equal(void)
{
	char *data = unit_map(BYTES);

	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	return data;
}

static int run_other(struct rig *rig, int ready, int go)
{
	char *data = make_equal(), byte = 0;
	bool all;

	if (!rig_init(rig))
		return 2;
	all = rig_pass_until(rig, data, PAGES, RIG_BIT(TWIN) | RIG_BIT(OFFERED) |
			     RIG_BIT(MERGED) | RIG_BIT(REFUSED), MOST);
	if (write(ready, &byte, 1) != 1)
		return 3;
	/* Alive until the other one has seen it too. */
	while (read(go, &byte, 1) < 0)
		rig_pass(rig, 1);
	for (unsigned int i = 0; i < PAGES; i++)
		if (!unit_page_holds(data + i * PAGE, i + 1))
			return 4;
	sksm_tracker_fini(rig->tracker);
	return all ? 0 : 5;
}

static void expect_twins_across(const char *engine, unsigned int states)
{
	const char *const variables[] = { engine, "SKSM_AGE_MS=20", NULL };
	int ready[2], go[2], status;
	struct rig rig;
	char *data;
	pid_t pid;

	rig_start(&rig, variables);
	sksm_tracker_fini(rig.tracker);
	cr_assert_eq(pipe(ready), 0);
	cr_assert_eq(pipe2(go, O_NONBLOCK), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(run_other(&rig, ready[1], go[0]));
	}
	cr_assert(rig_init(&rig), "%s", rig.reason);
	data = make_equal();
	cr_assert(rig_pass_until(&rig, data, PAGES, states, MOST), "%u twins",
		  rig_count(&rig, data, PAGES, states));
	cr_assert_geq(rig.tracker->counters.duplicate, MOST * PAGE);
	cr_assert_eq(read(ready[0], &(char){ 0 }, 1), 1);
	close(go[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "the other process: %x", status);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(data + i * PAGE, i + 1));
	rig_stop(&rig);
}

Test(tracker, twins_in_two_processes)
{
	expect_twins_across("SKSM_ENGINE=none", RIG_BIT(TWIN));
}

Test(tracker, twins_in_two_processes_are_offered)
{
	expect_twins_across("SKSM_ENGINE=ksm", RIG_BIT(OFFERED) | RIG_BIT(MERGED) |
			    RIG_BIT(REFUSED));
}

/* A domain that went away, or never worked, costs twins and nothing else. */
Test(tracker, without_an_index)
{
	struct rig rig;
	char *data;

	rig_start(&rig, NULL);
	inject_arm(INJECT_FTRUNCATE, 1, ENOSPC, true);
	data = make_equal();
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	cr_assert_not(rig.tracker->index_open);
	inject_reset();
	/* It is tried again by itself. */
	for (uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	     !rig.tracker->index_open && unit_now_ms() < end_ms;)
		rig_pass(&rig, 10);
	cr_assert(rig.tracker->index_open);
	rig_stop(&rig);
}

/* A block ripens as a whole: its sample is as old as the rest. */
Test(tracker, the_sample_waits_for_its_block)
{
	static const char *const aged[] = { "SKSM_AGE_MS=100", NULL };
	const struct sksm_block *block;
	struct rig rig;
	char *data;

	rig_start(&rig, aged);
	data = unit_map(BYTES);
	memset(data, 1, BYTES);
	rig_pass(&rig, 1);
	cr_assert_gt(rig_count(&rig, data, PAGES, RIG_BIT(ARMED)), 0, "a sample is armed");
	/* Many ticks later. */
	unit_sleep_ms(50);
	rig_pass(&rig, 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(ARMED)), PAGES);
	block = rig_block(&rig, data + BYTES / 2);
	for (unsigned int page = 1; page < SKSM_BLOCK_PAGES; page++)
		if (block->state[page] == SKSM_PAGE_ARMED)
			cr_assert_eq(block->stamp[page], rig.tracker->tick, "page %u", page);
	rig_stop(&rig);
}

/* Passes become rarer where nothing happens, to sixteen intervals, and something brings them back. */
Test(tracker, a_converged_process_is_left_alone)
{
	static const char *const slow[] = { "SKSM_INTERVAL_MS=1000", NULL };
	const uint64_t second_ns = 1000000000;
	uint64_t pause_ns = 0, last_ns = 0;
	int64_t credit_ns;
	struct rig rig;
	char *data;

	rig_start(&rig, slow);
	data = unit_map(2 * BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	for (int pass = 0; pass < 12; pass++) {
		pause_ns = sksm_tracker_pass(rig.tracker);
		cr_assert_geq(pause_ns, last_ns);
		last_ns = pause_ns;
	}
	cr_assert_eq(pause_ns, 16 * second_ns);
	cr_assert_not(sksm_tracker_stirs(rig.tracker));
	cr_assert_not(sksm_tracker_is_due(rig.tracker, pause_ns - 1, pause_ns));
	cr_assert(sksm_tracker_is_due(rig.tracker, pause_ns, pause_ns));
	for (unsigned int i = 0; i < 300; i++)
		unit_fill_page(data + BYTES + i * PAGE, PAGES + i + 1);
	cr_assert(sksm_tracker_stirs(rig.tracker));
	cr_assert_not(sksm_tracker_is_due(rig.tracker, second_ns - 1, pause_ns));
	cr_assert(sksm_tracker_is_due(rig.tracker, second_ns, pause_ns));
	/* Unless there is nothing left to spend. */
	credit_ns = rig.tracker->budget.credit_ns;
	rig.tracker->budget.credit_ns = 0;
	cr_assert_not(sksm_tracker_is_due(rig.tracker, second_ns, pause_ns));
	rig.tracker->budget.credit_ns = credit_ns;
	pause_ns = sksm_tracker_pass(rig.tracker);
	cr_assert_eq(pause_ns, second_ns);
	cr_assert(rig_pass_until(&rig, data + BYTES, 300, RIG_BIT(UNIQUE), 300));
	rig_stop(&rig);
}

static uint32_t asked_to_stop;
static unsigned int copies;

static ssize_t copy_and_ask(void *to, const void *from, size_t size)
{
	copies++;
	asked_to_stop = 1;
	return sksm_sys_kernel.copy_memory(to, from, size);
}

/* Whoever holds our thread off waits for it: what is left of a long pass is not done. */
Test(tracker, a_long_pass_stops_when_asked)
{
	/* So that all is ripe in one pass. */
	static const char *const aged[] = { "SKSM_AGE_MS=100", "SKSM_TRACKER=wp", NULL };
	struct sksm_sys sys = sksm_sys_kernel;
	struct rig rig;
	char *data;

	rig_start(&rig, aged);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	sys.copy_memory = copy_and_ask;
	rig.tracker->sys = &sys;
	rig.tracker->stop = &asked_to_stop;
	for (uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	     !asked_to_stop && unit_now_ms() < end_ms;)
		rig_pass(&rig, 1);
	cr_assert(asked_to_stop);
	/* The block that it was at, not those that follow. */
	cr_assert_leq(copies, SKSM_BLOCK_PAGES / SKSM_COPY_PAGES);
	data[0] ^= 1;
	copies = 0;
	rig_pass(&rig, 3);
	cr_assert_eq(copies, 0);
	asked_to_stop = 0;
	sys.copy_memory = sksm_sys_kernel.copy_memory;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	rig_stop(&rig);
}
