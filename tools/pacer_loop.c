/* SPDX-License-Identifier: MIT */
#include "pacer_loop.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "demand.h"
#include "pacer_home.h"
#include "progress.h"
#include "pulse.h"

#include "tracker/sys.h"

#define NS_PER_MS 1000000ull
#define LOOK_MS 250		/* between looks at the records while a pulse is due */
/* While none is: processes say so once a second at most. After a rest, rarely: 0.2 ms each. */
#define IDLE_MIN_MS 1000u
#define IDLE_MAX_MS 4000u
#define IDLE_PART 8		/* of the time that none was due */
#define PLACES_MS 2000		/* between searches for directories */
/* Between searches for processes of containers; or as rarely as one takes so much of the time. */
#define NESTED_MS 5000
#define NESTED_COST 1000
#define STATS_MS 10000
#define REPAIR_MS 1000		/* between attempts to put back what a pulse has changed */
/* A look may take one part in so many of the time; and during a pulse and after it. */
#define LOOK_COST_MAX 100
#define LOOK_COST_PULSE 20
#define LOOK_MAX_MS 60000u	/* however much a look takes */

/*
 * Pages that wait, and are not many, do so for a while (sksm_progress_wait_ns): twice as long each
 * time that a series was not worth it.
 */
#define LINGER_MIN_MS 3000u
#define LINGER_MAX_MS 160000u
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 8000

/* Somebody who changes a setting during a pulse is at work there: keep out of his way. */
#define FOREIGN_HOLD_MS 60000

struct pacer {
	int home_fd;
	const char *own_dir;
	struct sksm_places places;
	uint64_t places_ns;		/* when they were searched */
	struct sksm_nested nested;
	uint64_t nested_ns;		/* when to search for them again */
	struct sksm_demand demand;
	uint64_t look_ns;		/* when it was taken */
	uint64_t look_cost_ns;
	uint64_t due_ns;		/* when a pulse was last due */
	struct sksm_pulse pulse;
	struct sksm_pacer_stats before;	/* of the pacers before us */
	uint64_t stats_ns;
	uint64_t served_ns;		/* sksm_demand_look */
	bool once;			/* until the records say that nothing waits */
	uint64_t hold_ns;		/* no pulse before this time */
	uint64_t rested_ns;		/* when the last series ended */
	unsigned int backoff_ms;
	unsigned int linger_ms;
	uint64_t waste_ns;		/* ksmd's CPU time of the last, where it was not worth it */
	int error;			/* that kept the last pulse from starting */
	/* The series of pulses under way: they are interrupted when the budget is used up. */
	bool series;
	struct sksm_progress progress;
	struct sksm_growth growth;	/* before it began */
	uint64_t ksmd_before_ns;	/* ksmd's CPU time when it began */
};

static void signals_to_take(sigset_t *ret)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
				       SIGALRM, SIGXCPU, SIGTSTP };
	size_t i;

	sigemptyset(ret);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(ret, signals[i]);
}

void sksm_pacer_loop_block_signals(void)
{
	sigset_t set;

	signals_to_take(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int wait_signal(unsigned int ms)
{
	const struct timespec timeout = { ms / 1000, (long)(ms % 1000) * 1000000 };
	sigset_t set;
	int number;

	signals_to_take(&set);
	number = sigtimedwait(&set, NULL, &timeout);
	return number > 0 ? number : 0;
}

bool sksm_pacer_loop_sleep(unsigned int ms)
{
	int number = wait_signal(ms);

	if (number != SIGTSTP)
		return number != 0;
	raise(SIGSTOP);
	return false;
}

static uint64_t now(void)
{
	return sksm_clock_ns(CLOCK_BOOTTIME);
}

static void search_nested(struct pacer *pacer)
{
	uint64_t begin_ns = sksm_clock_ns(CLOCK_PROCESS_CPUTIME_ID), wait_ns;

	sksm_nested_fini(&pacer->nested);
	sksm_nested_read(&pacer->nested);
	wait_ns = (sksm_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns) * NESTED_COST;
	if (wait_ns < NESTED_MS * NS_PER_MS)
		wait_ns = NESTED_MS * NS_PER_MS;
	pacer->nested_ns = now() + wait_ns;
}

static void look(struct pacer *pacer)
{
	uint64_t cpu_ns;

	if (now() >= pacer->nested_ns)
		search_nested(pacer);
	cpu_ns = sksm_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (!pacer->places_ns || now() - pacer->places_ns > PLACES_MS * NS_PER_MS) {
		struct sksm_places places;

		if (!sksm_places_find(&places, pacer->own_dir, false)) {
			sksm_places_fini(&pacer->places);
			pacer->places = places;
		}
		pacer->places_ns = now();
	}
	sksm_demand_look(&pacer->places, &pacer->nested, pacer->served_ns, &pacer->demand);
	pacer->look_ns = now();
	pacer->look_cost_ns = sksm_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

static void write_stats(struct pacer *pacer)
{
	struct sksm_pacer_stats stats = pacer->before;

	stats.pacer_cpu_ns += sksm_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	stats.ksmd_cpu_ns += pacer->pulse.ksmd_cpu_ns;
	stats.pulses += pacer->pulse.pulses;
	sksm_pacer_home_write_stats(pacer->home_fd, &stats);
	pacer->stats_ns = now();
}

/*
 * Everything that was pending is merged, or has had its scans (@served). Those who keep asking
 * although their memory does not merge wait longer each time.
 */
static void finish_series(struct pacer *pacer, bool served)
{
	uint64_t cost_ns = pacer->pulse.ksmd_cpu_ns - pacer->ksmd_before_ns;
	bool worth = sksm_progress_worth(&pacer->progress, &pacer->demand, cost_ns);

	pacer->series = false;
	pacer->rested_ns = now();
	if (served)
		pacer->served_ns = pacer->rested_ns;
	pacer->waste_ns = worth ? 0 : cost_ns;
	if (worth)
		pacer->linger_ms = LINGER_MIN_MS;
	else if (pacer->linger_ms < LINGER_MAX_MS)
		pacer->linger_ms *= 2;
	if (pacer->progress.fruitful || pacer->progress.finished) {
		pacer->backoff_ms = 0;
	} else if (served) {
		pacer->backoff_ms = pacer->backoff_ms ? pacer->backoff_ms * 2 : BACKOFF_MIN_MS;
		if (pacer->backoff_ms > BACKOFF_MAX_MS)
			pacer->backoff_ms = BACKOFF_MAX_MS;
		pacer->hold_ns = pacer->served_ns + pacer->backoff_ms * NS_PER_MS;
	}
}

/* Until the next look, in @ms unless the last one took more than one part in @part of that. */
static unsigned int pause_ms(const struct pacer *pacer, unsigned int ms, unsigned int part)
{
	uint64_t cost_ms = pacer->look_cost_ns * part / NS_PER_MS;

	if (cost_ms > LOOK_MAX_MS)
		return LOOK_MAX_MS;
	return cost_ms > ms ? (unsigned int)cost_ms : ms;
}

static bool check_pulse(struct pacer *pacer)
{
	unsigned int ms;

	switch (sksm_pulse_check(&pacer->pulse)) {
	case SKSM_PULSE_FOREIGN:
		warnx("somebody else changes the settings in " SKSM_KSMD_ROOT
		      "; his stay, and there is no pulse for a minute");
		pacer->series = false;
		pacer->hold_ns = now() + FOREIGN_HOLD_MS * NS_PER_MS;
		return false;
	case SKSM_PULSE_DEBT:
		return false;
	default:
		break;
	}
	if (sksm_progress_fruitless(&pacer->progress, &pacer->demand) ||
	    (!pacer->once && sksm_progress_finished(&pacer->progress, &pacer->demand))) {
		finish_series(pacer, true);
		return false;
	}
	/* That nothing waits any more is known without, but for --once, whose end the records tell. */
	ms = pacer->once ? LOOK_MS : IDLE_MIN_MS;
	if (now() - pacer->look_ns < pause_ms(pacer, ms, LOOK_COST_PULSE) * NS_PER_MS)
		return true;
	look(pacer);
	if (!pacer->demand.pending_bytes)
		finish_series(pacer, false);
	return pacer->series;
}

static bool start_pulse(struct pacer *pacer)
{
	int error = sksm_pulse_start(&pacer->pulse);

	/* It is tried for as long as a process waits; said once. */
	if (error && error != -EBUSY && error != pacer->error)
		warnx("cannot run ksmd: %s: %s", pacer->pulse.failed, strerror(-error));
	pacer->error = error == -EBUSY ? 0 : error;
	if (error) {
		pacer->hold_ns = now() + BACKOFF_MAX_MS * NS_PER_MS;
		return false;
	}
	if (!pacer->series) {
		pacer->series = true;
		pacer->ksmd_before_ns = pacer->pulse.ksmd_cpu_ns;
		pacer->growth = (struct sksm_growth){ 0 };
		sksm_progress_begin(&pacer->progress, &pacer->demand);
	}
	return true;
}

/* One pulse, from the start to putting back. True where a signal says to end. */
static bool run_pulse(struct pacer *pacer)
{
	unsigned int ms = SKSM_STEP_MS;
	int number;

	if (!start_pulse(pacer))
		return false;
	for (;;) {
		uint64_t before_ns = pacer->pulse.ksmd_cpu_ns;

		number = wait_signal(ms);
		if (number || !check_pulse(pacer))
			break;
		ms = sksm_progress_step_ms(ms, pacer->pulse.ksmd_cpu_ns - before_ns);
	}
	sksm_pulse_stop(&pacer->pulse);
	write_stats(pacer);
	if (number == SIGTSTP)
		raise(SIGSTOP);
	return number && number != SIGTSTP;
}

static bool is_worth_a_pulse(const struct pacer *pacer)
{
	uint64_t wait_ns;

	if (!pacer->demand.pending_bytes || pacer->series)
		return pacer->demand.pending_bytes;
	wait_ns = sksm_progress_wait_ns(&pacer->demand, pacer->linger_ms * NS_PER_MS);
	if (wait_ns && wait_ns < pacer->waste_ns * SKSM_WASTE_PART)
		wait_ns = pacer->waste_ns * SKSM_WASTE_PART;
	return now() - pacer->rested_ns >= wait_ns;
}

static bool is_complete(struct pacer *pacer)
{
	return pacer->once || pacer->series ||
	       !sksm_progress_grows(&pacer->growth, &pacer->demand, now());
}

static unsigned int next_look_ms(struct pacer *pacer, bool due)
{
	uint64_t ms;

	if (due || !pacer->due_ns)
		pacer->due_ns = now();
	ms = (now() - pacer->due_ns) / NS_PER_MS / IDLE_PART;
	ms = due ? LOOK_MS : ms < IDLE_MIN_MS ? IDLE_MIN_MS : ms > IDLE_MAX_MS ? IDLE_MAX_MS : ms;
	return pause_ms(pacer, (unsigned int)ms, LOOK_COST_MAX);
}

/* Again until the last pulse has an end; false where a signal or --once ends that. */
static bool end_pulse(struct pacer *pacer, bool once)
{
	while (pacer->pulse.on && sksm_pulse_stop(&pacer->pulse))
		if (once || sksm_pacer_loop_sleep(REPAIR_MS))
			return false;
	return true;
}

/* Why --once has nothing to do here, in words; NULL where it has. */
static const char *once_obstacle(void)
{
	char run[SKSM_KSMD_VALUE_MAX];

	if (sksm_ksmd_get(SKSM_KSMD_RUN, run) || !strcmp(run, "0"))
		return NULL;
	return !strcmp(run, "1") ? "ksmd runs already, by the administrator: left alone" :
	       "the administrator has switched merging off (run is 2): left alone";
}

static int loop(struct pacer *pacer)
{
	const bool once = pacer->once;

	for (;;) {
		unsigned int sleep_ms;
		bool due;

		look(pacer);
		/* What was left when the budget was used up may have gone since. */
		if (pacer->series && !pacer->demand.pending_bytes)
			finish_series(pacer, false);
		if (once && (!pacer->demand.pending_bytes || once_obstacle())) {
			if (pacer->demand.pending_bytes)
				warnx("%s", once_obstacle());
			return EXIT_SUCCESS;
		}
		due = once ? pacer->demand.pending_bytes != 0 : is_worth_a_pulse(pacer);
		sleep_ms = next_look_ms(pacer, due);
		if (due && is_complete(pacer) && now() >= pacer->hold_ns &&
		    sksm_pulse_ready(&pacer->pulse)) {
			if (run_pulse(pacer))
				return EXIT_SUCCESS;
			if (!end_pulse(pacer, once) || (once && pacer->error))
				return once ? EXIT_FAILURE : EXIT_SUCCESS;
			/* All the scans that could help, and nothing came of them. */
			if (once && pacer->backoff_ms)
				return EXIT_SUCCESS;
			/* Unless the pulse ended for lack of budget, look again at once. */
			sleep_ms = pause_ms(pacer, pacer->series ? LOOK_MS : SKSM_STEP_MS,
					    LOOK_COST_PULSE);
		}
		if (now() - pacer->stats_ns > STATS_MS * NS_PER_MS)
			write_stats(pacer);
		if (sksm_pacer_loop_sleep(sleep_ms))
			return EXIT_SUCCESS;
	}
}

int sksm_pacer_loop(int home_fd, const char *own_dir, unsigned int cpu_percent, bool once)
{
	struct pacer pacer = {
		.home_fd = home_fd,
		.own_dir = own_dir,
		.linger_ms = LINGER_MIN_MS,
		.once = once,
	};
	int status, error;

	error = sksm_pulse_init(&pacer.pulse, home_fd, cpu_percent);
	if (error) {
		warnx("%s", error == -ENOENT ? "this kernel has no samepage merging (CONFIG_KSM)" :
		      strerror(-error));
		return EXIT_FAILURE;
	}
	sksm_pacer_home_read_stats(&pacer.before);
	status = loop(&pacer);
	sksm_pulse_fini(&pacer.pulse);
	if (pacer.pulse.on)
		status = EXIT_FAILURE;
	write_stats(&pacer);
	sksm_places_fini(&pacer.places);
	sksm_nested_fini(&pacer.nested);
	return status;
}
