/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include <sys/wait.h>

#include "tracker/probe.h"
#include "tracker/scan.h"

Test(probe, leaves_nothing_behind)
{
	unsigned int fds = unit_count_fds(), mappings;
	struct sksm_probe probe, again;

	inject_reset();
	unit_count_mappings();
	mappings = unit_count_mappings();
	sksm_probe_run(&inject_sys, NULL, &probe);
	cr_assert_eq(unit_count_fds(), fds);
	cr_assert_eq(unit_count_mappings(), mappings);
	sksm_probe_run(&inject_sys, NULL, &again);
	cr_assert_eq(memcmp(&probe, &again, sizeof(probe)), 0);
}

/* The answers agree with asking the kernel in another way. */
Test(probe, tells_what_the_kernel_does)
{
	struct sksm_probe probe;
	char *page = unit_map(PAGE);
	int fd;

	inject_reset();
	page[0] = 1;
	sksm_probe_run(&inject_sys, NULL, &probe);
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(probe.error[SKSM_ABLE_PROC], fd < 0 ? errno : 0);
	close(fd);
	cr_assert_eq(probe.error[SKSM_ABLE_KSM],
		     madvise(page, PAGE, MADV_MERGEABLE) ? errno : 0);
	cr_assert_eq(probe.error[SKSM_ABLE_MADV_MERGE],
		     madvise(page, PAGE, SKSM_MADV_MERGE) ? errno : 0);
	fd = sksm_scan_open_uffd(&sksm_sys_kernel);
	cr_assert_eq(probe.error[SKSM_ABLE_WP_ASYNC], fd < 0 ? -fd : 0);
	if (fd >= 0)
		close(fd);
	if (!sksm_probe_obstacle(&probe, SKSM_TRACKER_WP))
		for (int i = 0; i < SKSM_ABLE_PROCMAP_QUERY; i++)
			cr_assert_eq(probe.error[i], 0);
}

Test(probe, every_ability_has_a_name_and_a_text)
{
	for (int i = 0; i < SKSM_ABILITIES; i++) {
		cr_assert_str_not_empty(sksm_ability_name(i));
		cr_assert_str_not_empty(sksm_ability_text(i));
		for (int j = 0; j < i; j++)
			cr_assert_str_neq(sksm_ability_name(i), sksm_ability_name(j));
	}
}

Test(probe, obstacles_name_what_is_missing)
{
	static const enum sksm_ability needed[] = {
		SKSM_ABLE_PROC, SKSM_ABLE_PAGEMAP_SCAN, SKSM_ABLE_USERFAULTFD,
		SKSM_ABLE_WP_ASYNC, SKSM_ABLE_ARM, SKSM_ABLE_READ, SKSM_ABLE_EXCLUSIVE,
	};
	struct sksm_probe probe = { 0 };

	cr_assert_null(sksm_probe_obstacle(&probe, SKSM_TRACKER_WP));
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		probe.error[needed[i]] = EPERM;
		cr_assert_not_null(sksm_probe_obstacle(&probe, SKSM_TRACKER_WP), "%d", needed[i]);
		probe.error[needed[i]] = 0;
	}
	/* Without these there is a way. */
	probe.error[SKSM_ABLE_PROCMAP_QUERY] = ENOTTY;
	probe.error[SKSM_ABLE_KSM] = EINVAL;
	probe.error[SKSM_ABLE_MADV_MERGE] = EINVAL;
	cr_assert_null(sksm_probe_obstacle(&probe, SKSM_TRACKER_WP));
}

static enum sksm_engine_kind choose(enum sksm_engine_kind asked, bool have_merge, bool have_ksm)
{
	struct sksm_options options = { .mode = SKSM_MODE_MERGE, .engine = asked };
	struct sksm_probe probe = { 0 };
	enum sksm_engine_kind merging;

	probe.error[SKSM_ABLE_MADV_MERGE] = have_merge ? 0 : EINVAL;
	probe.error[SKSM_ABLE_KSM] = have_ksm ? 0 : EINVAL;
	merging = sksm_probe_engine(&probe, &options);
	options.mode = SKSM_MODE_ESTIMATE;
	cr_assert_eq(sksm_probe_engine(&probe, &options), SKSM_ENGINE_NONE);
	return merging;
}

Test(probe, engines)
{
	cr_assert_eq(choose(SKSM_ENGINE_AUTO, true, true), SKSM_ENGINE_SKSM);
	cr_assert_eq(choose(SKSM_ENGINE_AUTO, false, true), SKSM_ENGINE_KSM);
	cr_assert_eq(choose(SKSM_ENGINE_AUTO, false, false), SKSM_ENGINE_NONE);
	cr_assert_eq(choose(SKSM_ENGINE_SKSM, true, true), SKSM_ENGINE_SKSM);
	cr_assert_eq(choose(SKSM_ENGINE_SKSM, false, true), SKSM_ENGINE_NONE);
	cr_assert_eq(choose(SKSM_ENGINE_KSM, true, true), SKSM_ENGINE_KSM);
	cr_assert_eq(choose(SKSM_ENGINE_KSM, true, false), SKSM_ENGINE_NONE);
	cr_assert_eq(choose(SKSM_ENGINE_NONE, true, true), SKSM_ENGINE_NONE);
}

/* Whichever call fails: an answer, with the errno, and nothing left behind. */
static bool probe_with_failure(enum inject_op op, unsigned int nth, int error)
{
	unsigned int fds = unit_count_fds();
	struct sksm_probe probe;
	bool said = op == INJECT_CLOSE || op == INJECT_MUNMAP || op == INJECT_MADVISE;

	memset(&probe, 0x5a, sizeof(probe));
	inject_arm(op, nth, error, false);
	sksm_probe_run(&inject_sys, NULL, &probe);
	if (!inject.failed)
		return false;
	for (int i = 0; i < SKSM_ABILITIES; i++) {
		cr_assert(probe.error[i] >= 0 && probe.error[i] < 4096);
		said |= probe.error[i] == error;
	}
	cr_assert(said, "%s %u: errno %d is behind some \"no\"", inject_names[op], nth, error);
	cr_assert_eq(unit_count_fds(), fds, "%s %u", inject_names[op], nth);
	return true;
}

Test(probe, failures)
{
	static const int errors[] = { EPERM, ENOMEM, EIO };
	unsigned int cases = 0;

	for (int op = 0; op < INJECT_OPS; op++)
		for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++)
			for (unsigned int nth = 1; probe_with_failure(op, nth, errors[e]); nth++)
				cases++;
	cr_assert_gt(cases, 40);
}
