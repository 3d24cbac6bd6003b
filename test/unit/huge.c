/* SPDX-License-Identifier: MIT */
/* Transparent huge pages: kept whole unless half of their pages have a twin. */
#include "rig.h"

#include <sys/wait.h>

#include "tracker/scan.h"

#define HUGE (2 * MIB)
#define COUNT 4
#define BYTES (COUNT * HUGE)

static struct rig rig;

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(huge, .fini = teardown);

static bool is_huge(const char *p)
{
	struct sksm_page_region run = { 0 };
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t walked;
	int n = sksm_scan_look(&sksm_sys_kernel, fd, (uintptr_t)p, (uintptr_t)p + PAGE, 0, false,
			       &run, 1, &walked);

	close(fd);
	if (n == -ENOTTY)
		unit_skip("without PAGEMAP_SCAN nothing tells which page is huge");
	cr_assert_eq(n, 1);
	return run.categories & SKSM_PAGE_IS_HUGE;
}

/* Memory in huge pages; of each, the pages from @unique on occur once. */
static char *make_huge(unsigned int unique)
{
	char *p = unit_map(BYTES);

	cr_assert_eq(madvise(p, BYTES, MADV_HUGEPAGE), 0);
	for (unsigned int i = 0; i < BYTES / PAGE; i++)
		unit_fill_page(p + i * PAGE, i % SKSM_BLOCK_PAGES < unique ?
			       i % SKSM_BLOCK_PAGES + 1 : i + 1000);
	for (unsigned int i = 0; i < COUNT; i++)
		if (!is_huge(p + i * HUGE))
			unit_skip("the kernel gave no huge pages");
	return p;
}

static bool is_known(const char *p)
{
	const struct sksm_block *block = rig_block(&rig, p);

	return block && block->huge == SKSM_HUGE_KNOWN;
}

/* Until all huge pages are known or given up. */
static void pass_until_judged(const char *p)
{
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	unsigned int judged;

	do {
		rig_pass(&rig, 1);
		judged = 0;
		for (unsigned int i = 0; i < COUNT; i++)
			judged += rig_block(&rig, p + i * HUGE) &&
				  (is_known(p + i * HUGE) ||
				   rig_block(&rig, p + i * HUGE)->huge == SKSM_HUGE_NO);
	} while (judged < COUNT && unit_now_ms() < end_ms);
	cr_assert_eq(judged, COUNT, "%s", rig_states(&rig, p, BYTES / PAGE));
}

Test(huge, unique_huge_pages_stay_whole_and_cost_no_faults)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *p;

	rig_start(&rig, variables);
	p = make_huge(0);
	pass_until_judged(p);
	rig_pass(&rig, 20);
	for (unsigned int i = 0; i < COUNT; i++) {
		cr_assert(is_known(p + i * HUGE));
		cr_assert(is_huge(p + i * HUGE));
	}
	cr_assert_eq(rig.tracker->counters.armed, 0);
	cr_assert_eq(rig.tracker->counters.huge_kept, BYTES);
	cr_assert_eq(rig_count(&rig, p, BYTES / PAGE, RIG_BIT(UNIQUE)), BYTES / PAGE);
	memset(p, 1, BYTES);
	rig_pass(&rig, 5);
	cr_assert_eq(rig.tracker->counters.writes_seen, 0);
	cr_assert(is_huge(p));
}

Test(huge, a_few_twins_are_no_reason_to_give_one_up)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *p;

	rig_start(&rig, variables);
	p = make_huge(200);
	pass_until_judged(p);
	rig_pass(&rig, 50);
	for (unsigned int i = 0; i < COUNT; i++) {
		cr_assert(is_huge(p + i * HUGE));
		cr_assert_not(unit_is_mergeable(p + i * HUGE));
	}
	cr_assert_eq(rig.tracker->counters.offered, 0);
}

/* When the first of the huge pages is looked at again. */
static uint64_t next_look_ns(const char *p)
{
	uint64_t first_ns = UINT64_MAX;

	for (unsigned int i = 0; i < COUNT; i++)
		if (rig_block(&rig, p + i * HUGE)->next_arm_ns < first_ns)
			first_ns = rig_block(&rig, p + i * HUGE)->next_arm_ns;
	return first_ns;
}

/* They are offered to nobody, so nothing has to be known of their mappings before the next look. */
Test(huge, twins_in_one_that_is_kept_are_no_reason_for_an_audit)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;
	unsigned int quiet = 0;
	char *p;

	rig_start(&rig, variables);
	p = make_huge(200);
	pass_until_judged(p);
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(TWIN), COUNT * 200), "%s",
		  rig_states(&rig, p, BYTES / PAGE));
	while (quiet < 5 && unit_now_ms() < end_ms) {
		uint64_t look_ns = next_look_ns(p), done_ns = rig.tracker->audit.done_ns;

		rig_pass(&rig, 1);
		if (rig.tracker->now_ns >= look_ns)
			continue;
		cr_assert_eq(rig.tracker->audit.done_ns, done_ns);
		quiet++;
	}
	cr_assert_eq(quiet, 5);
}

Test(huge, given_up_where_half_of_it_has_twins)
{
	const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	char *p;

	rig_start(&rig, variables);
	p = make_huge(400);
	/* With ksmd running, what is offered may be merged at once. */
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(OFFERED) | RIG_BIT(MERGED) |
				 RIG_BIT(REFUSED), COUNT * 400),
		  "%s", rig_states(&rig, p, BYTES / PAGE));
	for (unsigned int i = 0; i < COUNT; i++)
		cr_assert_eq(rig_block(&rig, p + i * HUGE)->huge, SKSM_HUGE_NO);
	for (unsigned int i = 0; i < BYTES / PAGE; i++)
		cr_assert(unit_page_holds(p + i * PAGE, i % SKSM_BLOCK_PAGES < 400 ?
					  i % SKSM_BLOCK_PAGES + 1 : i + 1000));
}

Test(huge, never_given_up_for_an_estimate)
{
	char *p;

	rig_start(&rig, NULL);
	p = make_huge(512);
	pass_until_judged(p);
	rig_pass(&rig, 50);
	for (unsigned int i = 0; i < COUNT; i++)
		cr_assert(is_huge(p + i * HUGE));
	cr_assert_eq(rig.tracker->counters.duplicate, BYTES, "but it is counted");
}

Test(huge, a_changing_huge_page_is_not_known)
{
	char *p;

	rig_start(&rig, NULL);
	p = make_huge(0);
	pass_until_judged(p);
	/* The sample has a page of each 64, from the block's own number on. */
	for (unsigned int i = 0; i < HUGE / PAGE; i++)
		p[i * PAGE] ^= 1;
	cr_assert(rig_pass_until(&rig, p, 512, RIG_BIT(LOOSE), 512));
	cr_assert(rig_pass_until(&rig, p, 512, RIG_BIT(UNIQUE), 512));
	cr_assert(is_huge(p));
}

Test(huge, what_could_not_be_read_is_read_later)
{
	char *p;

	rig_start(&rig, NULL);
	p = make_huge(0);
	inject_arm(INJECT_COPY_MEMORY, 3, EFAULT, false);
	pass_until_judged(p);
	cr_assert_eq(inject.failed, rig.tracker->kind == SKSM_TRACKER_WP);
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(UNIQUE), BYTES / PAGE),
		  "%s", rig_states(&rig, p, BYTES / PAGE));
}

/* Digesting what a child has too would gain nothing; most children soon end or exec. */
Test(huge, shared_by_fork_for_a_while)
{
	int status, hold[2];
	pid_t pid;
	char *p;

	rig_start(&rig, NULL);
	p = make_huge(0);
	cr_assert_eq(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &status, 1) != 0);
	}
	cr_assert_gt(pid, 0);
	close(hold[0]);
	pass_until_judged(p);
	rig_pass(&rig, 20);
	cr_assert_eq(rig_count(&rig, p, BYTES / PAGE, RIG_BIT(SHARED)), BYTES / PAGE);
	cr_assert(is_huge(p));
	close(hold[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(UNIQUE), BYTES / PAGE),
		  "%s", rig_states(&rig, p, BYTES / PAGE));
	cr_assert(is_huge(p));
}

Test(huge, split_where_asked_for)
{
	const char *const variables[] = { "SKSM_HUGEPAGES=split", "SKSM_TRACKER=wp", NULL };
	char *p;

	rig_start(&rig, variables);
	p = make_huge(0);
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(UNIQUE), BYTES / PAGE));
	cr_assert_eq(rig.tracker->counters.armed, BYTES);
	p[5 * PAGE] ^= 1;
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_state(&rig, p + 5 * PAGE), SKSM_PAGE_LOOSE);
	cr_assert(rig_pass_until(&rig, p, BYTES / PAGE, RIG_BIT(UNIQUE), BYTES / PAGE));
}

Test(huge, broken_up_by_the_program)
{
	char *p;

	rig_start(&rig, rig_wp);
	p = make_huge(0);
	pass_until_judged(p);
	cr_assert_eq(madvise(p + 100 * PAGE, 10 * PAGE, MADV_DONTNEED), 0);
	cr_assert_not(is_huge(p));
	cr_assert(rig_pass_until(&rig, p, 512, RIG_BIT(UNIQUE), 502));
	cr_assert_eq(rig_count(&rig, p + 100 * PAGE, 10, RIG_BIT(NONE)), 10);
	cr_assert_eq(rig_block(&rig, p)->huge, SKSM_HUGE_NO);
	cr_assert(is_huge(p + HUGE));
}
