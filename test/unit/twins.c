/* SPDX-License-Identifier: MIT */
/* When pages are looked up again, which costs as much as it did to publish them. */
#include "rig.h"

#include <time.h>

#define PAGES 2048
#define BYTES (PAGES * PAGE)

static struct rig rig;
static char *data;
/*
 * Where it is not 0, each look at our thread's CPU time finds it so much later, and the other clocks
 * stand still.
 */
static uint64_t step_ns;

uint64_t __real_sksm_clock_ns(int clock);
uint64_t __wrap_sksm_clock_ns(int clock);

uint64_t __wrap_sksm_clock_ns(int clock)
{
	static uint64_t cpu_ns, stopped_ns;

	if (!step_ns)
		stopped_ns = __real_sksm_clock_ns(CLOCK_BOOTTIME);
	if (!step_ns)
		return __real_sksm_clock_ns(clock);
	return clock == CLOCK_THREAD_CPUTIME_ID ? cpu_ns += step_ns : stopped_ns;
}

/* Pages that occur once, known to be so, and looked up. */
static void start(void)
{
	rig_start(&rig, rig_wp);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	rig_pass(&rig, 3);
	cr_assert_not(rig.tracker->lookups_due);
}

static void teardown(void)
{
	rig_stop(&rig);
}

TestSuite(twins, .fini = teardown);

/* Members come and go in each pass, and each lookup of all takes 1 ms. How long to the next? */
static uint64_t pause_ms(unsigned int percent, int64_t credit_ns)
{
	struct sksm_tracker *tracker = rig.tracker;
	uint8_t round = tracker->lookup_round;

	rig.options.cpu_percent = percent;
	tracker->budget.percent = percent;
	tracker->budget.credit_ns = credit_ns;
	tracker->next_lookups_ns = 0;
	step_ns = 1000000;
	/* The second one has to wait. */
	for (int pass = 0; pass < 2; pass++) {
		tracker->index.alive_hash ^= 1;
		sksm_tracker_pass(tracker);
		cr_assert_eq(tracker->lookup_round, (uint8_t)(round + 1));
	}
	step_ns = 0;
	return (tracker->next_lookups_ns - tracker->now_ns) / 1000000;
}

Test(twins, lookups_leave_half_of_the_budget)
{
	start();
	cr_assert_eq(pause_ms(3, 600000000), 10, "there is plenty saved");
	cr_assert_eq(pause_ms(3, 0), 66, "1 ms is 1.5 % of that");
	cr_assert_eq(pause_ms(1, 0), 200);
	cr_assert_eq(pause_ms(100, 0), 10, "a tenth of the time at most");
}

static unsigned int count_entries(const char *path)
{
	static uint64_t table[1u << 16];
	unsigned int count = 0;
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, table, sizeof(table));

	close(fd);
	for (ssize_t i = 0; i < n / 8; i++)
		count += table[i] != 0;
	return count;
}

/* Of two that publish the same at the same time one is lost: looked up again, and only that. */
Test(twins, what_was_published_is_looked_up_once_more)
{
	char path[64], empty[1u << 16] = "";
	unsigned int entries;
	uint8_t round;
	int fd;

	start();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", rig.tracker->index.fd);
	entries = count_entries(path);
	round = rig.tracker->lookup_round;
	unit_fill_page(data + 5 * PAGE, PAGES + 1);
	/* The first pass finds it written. */
	cr_assert(rig_pass_until(&rig, data + 5 * PAGE, 1, RIG_BIT(UNIQUE), 1));
	cr_assert_eq(count_entries(path), entries);
	fd = open(path, O_WRONLY);
	for (off_t at = 4096; pwrite(fd, empty, sizeof(empty), at) > 0 && at < 1 << 20;)
		at += (off_t)sizeof(empty);
	close(fd);
	cr_assert_lt(count_entries(path), 8, "the header");
	entries = count_entries(path);
	sksm_tracker_pass(rig.tracker);
	cr_assert_gt(count_entries(path), entries);
	cr_assert_leq(count_entries(path), entries + SKSM_BLOCK_PAGES, "those of its block");
	rig_pass(&rig, 3);
	cr_assert_eq(rig.tracker->lookup_round, round);
}

/* As if somebody had found a twin of a page of ours, @ms after the last pass. */
static bool event_stirs(uint64_t ms)
{
	rig.tracker->index.seen_event_ns++;
	rig.tracker->now_ns = sksm_clock_ns(CLOCK_BOOTTIME) - ms * 1000000;
	return sksm_tracker_stirs(rig.tracker);
}

/* A pass for each twin that somebody finds would be a pass for each page. */
Test(twins, an_event_waits_for_some_intervals)
{
	const unsigned int interval_ms = 10000;

	start();
	rig.options.interval_ms = interval_ms;
	cr_assert_not(event_stirs(0));
	cr_assert_not(event_stirs(4 * interval_ms - 2000));
	cr_assert(event_stirs(4 * interval_ms));
}
