/* SPDX-License-Identifier: MIT */
/*
 * advice [--mib N] [--seconds N]: what madvise(MADV_MERGE) and the engine "sksm" cost, next to
 * ksmd, on memory that is calm and of which each page has one twin. For the guest of
 * test/kernel/run --measure, where ksmd is nobody else's and nothing has to be put back.
 *
 * CPU time is that of the kernel's schedstat, of ksmd and of our thread. With QEMU's -icount it
 * counts instructions, one a nanosecond.
 */
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "advice_calls.h"
#include "tools/ksmd.h"
#include "tracker/domain.h"
#include "tracker/tracker.h"

#define RESERVED_BYTES (256ul << 20)
#define PATIENCE_NS 600000000000ull
/* Until passes are as rare as they get. */
#define SETTLE_NS 60000000000ull

static pid_t ksmd;
static size_t bytes = 1024ul << 20;
static unsigned int idle_seconds = 120;
static char dir[] = "/tmp/advice-XXXXXX";

static void result(const char *what, double value, const char *unit)
{
	printf("result: %-52s %12.*f %s\n", what, value < 100 ? 3 : 0, value, unit);
	fflush(stdout);
}

static void set_ksmd(const char *pages, const char *sleep, const char *run)
{
	if (sksm_ksmd_set(SKSM_KSMD_PAGES_TO_SCAN, pages) ||
	    sksm_ksmd_set(SKSM_KSMD_SLEEP_MILLISECS, sleep) || sksm_ksmd_set(SKSM_KSMD_RUN, run))
		errx(1, "ksmd cannot be set");
}

/* Two equal halves, nothing else twice. */
static char *make_twins(void)
{
	char *memory = map_pages(bytes);

	fill_unique(memory, bytes / 2);
	memcpy(memory + bytes / 2, memory, bytes / 2);
	return memory;
}

static double per_cpu_second(uint64_t pages, uint64_t cpu_ns)
{
	return (double)pages * 1e9 / (double)cpu_ns;
}

static double percent_of_core(uint64_t cpu_ns, uint64_t ns)
{
	return (double)cpu_ns * 100 / (double)ns;
}

/* Stock KSM as tuned for speed: 4000 pages, 20 ms. It scans for as long as it is on. */
static void measure_ksmd(void)
{
	uint64_t pages = bytes / PAGE, cpu_ns = sksm_ksmd_cpu_ns(ksmd), begin_ns;
	char *memory = make_twins();

	if (madvise(memory, bytes, MADV_MERGEABLE))
		err(1, "MADV_MERGEABLE");
	begin_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	set_ksmd("4000", "20", "1");
	while (count_shared(memory, bytes) < pages) {
		if (sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns > PATIENCE_NS)
			errx(1, "ksmd does not merge");
		usleep(100000);
	}
	cpu_ns = sksm_ksmd_cpu_ns(ksmd) - cpu_ns;
	result("ksmd 4000/20: merged pages", (double)pages, "");
	result("ksmd 4000/20: until all are merged",
	       (double)(sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9, "s");
	result("ksmd 4000/20: merged pages per CPU second", per_cpu_second(pages, cpu_ns), "");
	cpu_ns = sksm_ksmd_cpu_ns(ksmd);
	begin_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	sleep(idle_seconds);
	result("ksmd 4000/20: afterwards", percent_of_core(sksm_ksmd_cpu_ns(ksmd) - cpu_ns,
	       sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns), "% of a core");
	set_ksmd("100", "20", "0");
	munmap(memory, bytes);
}

static struct sksm_tracker *start_tracker(struct sksm_options *options)
{
	char dir_variable[64];
	char *const envp[] = { dir_variable, "SKSM_ENGINE=sksm", "SKSM_CPU_PERCENT=100", NULL };
	void *reservation = sksm_arena_reserve(&sksm_sys_kernel, RESERVED_BYTES);
	const char *reason = "the domain cannot be opened";
	struct sksm_tracker *tracker = NULL;
	int domain_fd;

	snprintf(dir_variable, sizeof(dir_variable), "SKSM_DIR=%s", dir);
	sksm_options_parse(options, envp, NULL, NULL);
	domain_fd = sksm_domain_open(&sksm_sys_kernel, options);
	if (reservation && domain_fd >= 0)
		tracker = sksm_tracker_init(watched_calls(), options, domain_fd, reservation,
					    RESERVED_BYTES, 0, &reason);
	if (!tracker)
		errx(1, "no tracker: %s", reason);
	return tracker;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
}

static void pass_for(struct sksm_tracker *tracker, uint64_t ns)
{
	uint64_t begin_ns = sksm_clock_ns(CLOCK_MONOTONIC);

	while (sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns < ns)
		sleep_ns(sksm_tracker_pass(tracker));
}

static void report_calls(uint64_t tracker_ns)
{
	char text[64];

	result("sksm: MADV_MERGE calls", calls.count, "");
	result("sksm: pages a call", (double)calls.pages / calls.count, "");
	snprintf(text, sizeof(text), "sksm: the longest call (%zu pages), CPU time",
		 calls.longest_pages);
	result(text, (double)calls.longest_ns / 1000, "us");
	result("sksm: part of the CPU time in these calls",
	       (double)calls.cpu_ns * 100 / (double)tracker_ns, "%");
}

/* Passes until every page is merged; the CPU time of those alone: counting is not the tracker's. */
static uint64_t run_until_merged(struct sksm_tracker *tracker, const char *memory)
{
	uint64_t begin_ns = sksm_clock_ns(CLOCK_MONOTONIC), own_ns = 0;

	for (;;) {
		uint64_t cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), pause_ns;
		size_t shared;

		pause_ns = sksm_tracker_pass(tracker);
		own_ns += sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
		shared = count_shared(memory, bytes);
		if (shared == bytes / PAGE)
			return own_ns;
		if (sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns > PATIENCE_NS)
			errx(1, "no more than %zu pages are merged", shared);
		sleep_ns(pause_ns);
	}
}

/* The engine "sksm": a tracker in this program, its thread's passes made here. */
static void measure_engine(void)
{
	uint64_t own_ns, cpu_ns, begin_ns;
	char *memory = make_twins();
	struct sksm_options options;
	struct sksm_tracker *tracker = start_tracker(&options);

	/* Not the probe's. */
	memset(&calls, 0, sizeof(calls));
	own_ns = run_until_merged(tracker, memory);
	result("sksm: merged pages", (double)(bytes / PAGE), "");
	result("sksm: passes until all are merged", (double)tracker->counters.passes, "");
	result("sksm: merged pages per CPU second", per_cpu_second(bytes / PAGE, own_ns), "");
	report_calls(own_ns);
	pass_for(tracker, SETTLE_NS);
	cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	begin_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	pass_for(tracker, idle_seconds * 1000000000ull);
	cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	result("sksm: afterwards", percent_of_core(cpu_ns,
	       sksm_clock_ns(CLOCK_MONOTONIC) - begin_ns), "% of a core");
	sksm_tracker_fini(tracker);
	munmap(memory, bytes);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "mib", 1, NULL, 'm' }, { "seconds", 1, NULL, 's' },
					       { 0 } };
	struct utsname host = { 0 };
	bool have_advice;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'm': bytes = (size_t)atoi(optarg) << 20; break;
		case 's': idle_seconds = (unsigned int)atoi(optarg); break;
		default: return 2;
		}
	}
	if (!getenv("SKSM_TEST_KERNEL")) {
		printf("SKIP: only in the guest of test/kernel/run\n");
		return 77;
	}
	uname(&host);
	have_advice = !madvise(map_pages(PAGE), PAGE, MADV_MERGE);
	printf("result: Linux %s, %zu MiB, of which each page has one twin; MADV_MERGE: %s\n",
	       host.release, bytes >> 20, have_advice ? "yes" : "no");
	ksmd = sksm_ksmd_pid();
	if (!ksmd || sksm_ksmd_counter("run") || !mkdtemp(dir))
		errx(1, "ksmd is not there, or runs");
	measure_ksmd();
	if (have_advice) {
		measure_engine();
		measure_calls();
	}
	return 0;
}
