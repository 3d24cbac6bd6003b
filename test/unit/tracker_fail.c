/* SPDX-License-Identifier: MIT */
/*
 * Any call may fail, at any time, once or from then on: the program's memory is what it was, and
 * nothing of ours stays behind. Each case is a process of its own.
 */
#define RIG_INEXACT
#include "rig.h"

#include <sys/wait.h>

#define PAGES 1200
#define BYTES (PAGES * PAGE)
#define PASSES 6

static struct rig rig;
static char *data, *shadow;

static uint64_t content_of(unsigned int page)
{
	return page < 100 ? 0 : page < 800 ? page / 2 + 1 : page + 1;
}

static void use_memory(unsigned int pass)
{
	for (unsigned int i = pass; i < PAGES; i += 97) {
		data[i * PAGE + pass] ^= 0x55;
		shadow[i * PAGE + pass] ^= 0x55;
	}
	if (pass == 3) {
		madvise(data + 50 * PAGE, 100 * PAGE, MADV_DONTNEED);
		memset(shadow + 50 * PAGE, 0, 100 * PAGE);
	}
}

/* What the shim does with a tracker. Returns 0, or what is wrong. */
static int live(enum inject_op op)
{
	unsigned int fds = unit_count_fds(), mappings = unit_count_mappings();

	if (rig_init(&rig)) {
		for (unsigned int pass = 0; pass < PASSES; pass++) {
			use_memory(pass);
			sksm_tracker_pass(rig.tracker);
			if (!rig_blocks_consistent(&rig.tracker->blocks))
				return 2;
			unit_sleep_ms(1);
		}
		sksm_tracker_fini(rig.tracker);
	}
	if (memcmp(data, shadow, BYTES))
		return 3;
	if (unit_count_fds() != fds)
		return 4;
	/* Marks stay where they are (trap 21); unmarked, the mappings join again. */
	madvise(data, BYTES, MADV_UNMERGEABLE);
	madvise(shadow, BYTES, MADV_UNMERGEABLE);
	if (op != INJECT_MUNMAP && op != INJECT_MPROTECT && unit_count_mappings() != mappings)
		return 5;
	/* Nothing is protected any more. */
	for (unsigned int i = 0; i < PAGES; i += 10)
		if (unit_pagemap_entry(data + i * PAGE) & SKSM_PM_UFFD_WP)
			return 6;
	return memcmp(data, shadow, BYTES) ? 7 : 0;
}

static unsigned int run_case(enum inject_op op, unsigned int nth, int error, bool sticky)
{
	int status, report[2];
	unsigned int failed = 0;
	pid_t pid;

	cr_assert_eq(pipe(report), 0);
	pid = fork();
	if (pid == 0) {
		int wrong;

		inject_arm(op, nth, error, sticky);
		wrong = live(op);
		failed = op == INJECT_OPS ? 0 : inject.failed;
		if (write(report[1], &failed, sizeof(failed)) != sizeof(failed))
			_exit(1);
		_exit(wrong);
	}
	close(report[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%s call %u, errno %d%s: status %x",
		     op == INJECT_OPS ? "no" : inject_names[op], nth, error,
		     sticky ? ", for ever" : "", status);
	cr_assert_eq(read(report[0], &failed, sizeof(failed)), (ssize_t)sizeof(failed));
	close(report[0]);
	return failed;
}

static void prepare(const char *engine)
{
	const char *const variables[] = { engine, NULL };

	rig_start(&rig, variables);
	sksm_tracker_fini(rig.tracker);
	data = unit_map(BYTES);
	shadow = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++) {
		unit_fill_page(data + i * PAGE, content_of(i));
		unit_fill_page(shadow + i * PAGE, content_of(i));
	}
}

/* Rarer and rarer, so that late calls are met too. */
static unsigned int next_nth(unsigned int nth)
{
	return nth < 16 ? nth + 1 : nth + nth / 4;
}

static void fail_everything(const char *engine, bool sticky)
{
	static const int errors[] = { EPERM, ENOMEM, EAGAIN, EINVAL, EFAULT, EIO, 0 };
	unsigned int cases = 0;

	prepare(engine);
	cr_assert_eq(run_case(INJECT_OPS, 0, 0, false), 0);
	for (int op = 0; op < INJECT_OPS; op++) {
		for (unsigned int nth = 1; nth < 2000; nth = next_nth(nth)) {
			/* The first calls with every errno, later ones with one each. */
			for (unsigned int e = 0; e < 7; e++) {
				if (nth > 6 && e != nth % 7)
					continue;
				/* Calls that cannot do nothing and say 0. */
				if (!errors[e] && op != INJECT_PREAD && op != INJECT_READ &&
				    op != INJECT_WRITE && op != INJECT_COPY_MEMORY)
					continue;
				if (run_case(op, nth, errors[e], sticky))
					cases++;
				else
					nth = 2000;
			}
		}
	}
	cr_assert_gt(cases, 150, "%u cases", cases);
	unit_remove_dir(rig.dir);
}

Test(tracker_fail, once_while_estimating, .timeout = 250)
{
	fail_everything("SKSM_ENGINE=none", false);
}

Test(tracker_fail, once_while_offering, .timeout = 250)
{
	fail_everything("SKSM_ENGINE=ksm", false);
}

Test(tracker_fail, from_then_on, .timeout = 250)
{
	fail_everything("SKSM_ENGINE=ksm", true);
}
