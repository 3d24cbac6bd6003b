/* SPDX-License-Identifier: MIT */
#include "pulse.h"

#include <err.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pacer_home.h"
#include "pacer_state.h"
#include "watch.h"

#include "tracker/sys.h"

/*
 * A batch of 4000 merges takes ksmd about 25 ms, and writing "run" waits for the end of a batch:
 * larger ones would make the budget coarse. Sleep 1 becomes one tick, as long as it takes to look
 * at 4000 pages that do not merge yet.
 */
#define BATCH_PAGES "4000"
#define SLEEP_MS "1"

#define BURST_NS 1000000000ll	/* what an idle bucket holds: one second of ksmd */
#define START_NS 200000000ll	/* begin with no less: a pulse costs a dozen system calls */
/*
 * Between readings of all settings, which show what the watch does not see: writes through another
 * mount of sysfs, a container's. At the end of a pulse they are read in any case.
 */
#define VALUES_NS 250000000ull

int sksm_pulse_init(struct sksm_pulse *pulse, int home_fd, unsigned int cpu_percent)
{
	struct sksm_ksmd_settings settings;
	int error = sksm_ksmd_read(&settings);

	if (error)
		return error;
	memset(pulse, 0, sizeof(*pulse));
	pulse->ksmd = sksm_ksmd_pid();
	pulse->home_fd = home_fd;
	pulse->cpu_percent = cpu_percent;
	pulse->watch_fd = sksm_watch_open();
	sksm_pressure_open(&pulse->pressure, &sksm_sys_kernel);
	pulse->tokens_ns = BURST_NS;
	pulse->filled_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	return 0;
}

void sksm_pulse_fini(struct sksm_pulse *pulse)
{
	if (pulse->on)
		sksm_pulse_stop(pulse);
	if (pulse->watch_fd >= 0)
		close(pulse->watch_fd);
	sksm_pressure_close(&pulse->pressure);
}

/*
 * What ksmd has used. Where it is not in our /proc, in a pid namespace of ours, it is charged with
 * all the time that it may run.
 */
static uint64_t ksmd_used_ns(const struct sksm_pulse *pulse)
{
	return pulse->ksmd ? sksm_ksmd_cpu_ns(pulse->ksmd) : sksm_clock_ns(CLOCK_BOOTTIME);
}

/* Fill the bucket for the time that passed, and take out what ksmd used of it. */
static void settle(struct sksm_pulse *pulse)
{
	uint64_t now_ns = sksm_clock_ns(CLOCK_BOOTTIME);

	sksm_pressure_update(&pulse->pressure, now_ns);
	pulse->tokens_ns += (int64_t)((now_ns - pulse->filled_ns) / 100 *
				      sksm_pressure_share(&pulse->pressure, pulse->cpu_percent));
	pulse->filled_ns = now_ns;
	if (pulse->on) {
		uint64_t cpu_ns = ksmd_used_ns(pulse);

		if (cpu_ns > pulse->ksmd_seen_ns) {
			pulse->tokens_ns -= (int64_t)(cpu_ns - pulse->ksmd_seen_ns);
			pulse->ksmd_cpu_ns += cpu_ns - pulse->ksmd_seen_ns;
			pulse->ksmd_seen_ns = cpu_ns;
		}
	}
	if (pulse->tokens_ns > BURST_NS)
		pulse->tokens_ns = BURST_NS;
}

static bool at_rest(const char *run)
{
	/* 2 is an order to keep nothing merged; only the administrator may take it back. */
	return !strcmp(run, "0");
}

bool sksm_pulse_ready(struct sksm_pulse *pulse)
{
	char run[SKSM_KSMD_VALUE_MAX];

	settle(pulse);
	return pulse->tokens_ns >= START_NS && !sksm_ksmd_get(SKSM_KSMD_RUN, run) && at_rest(run);
}

static void choose(struct sksm_ksmd_settings *settings, enum sksm_ksmd_setting setting,
		   const char *value)
{
	if (*settings->value[setting])
		strcpy(settings->value[setting], value);
}

/* "run" is written last: whoever sees that ksmd runs may write to the others at once. */
static int start_ksmd(struct sksm_pulse *pulse)
{
	struct sksm_ksmd_settings others = pulse->ours;
	int error;

	strcpy(others.value[SKSM_KSMD_RUN], pulse->original.value[SKSM_KSMD_RUN]);
	error = sksm_ksmd_apply(&pulse->original, &others);
	sksm_watch_forget(pulse->watch_fd);
	pulse->own_run = true;
	return error ? error : sksm_ksmd_apply(&others, &pulse->ours);
}

int sksm_pulse_start(struct sksm_pulse *pulse)
{
	int error = sksm_ksmd_read(&pulse->original);

	pulse->failed = SKSM_KSMD_ROOT;
	if (error)
		return error;
	if (!at_rest(pulse->original.value[SKSM_KSMD_RUN]))
		return -EBUSY;
	pulse->ours = pulse->original;
	choose(&pulse->ours, SKSM_KSMD_ADVISOR_MODE, "none");
	choose(&pulse->ours, SKSM_KSMD_PAGES_TO_SCAN, BATCH_PAGES);
	choose(&pulse->ours, SKSM_KSMD_SLEEP_MILLISECS, SLEEP_MS);
	choose(&pulse->ours, SKSM_KSMD_USE_ZERO_PAGES, "1");
	/*
	 * Smart scan skips pages that did not merge in their first scans. Of two twins the one that
	 * was offered first would be skipped when the other comes; and what is offered has a twin.
	 */
	choose(&pulse->ours, SKSM_KSMD_SMART_SCAN, "0");
	choose(&pulse->ours, SKSM_KSMD_RUN, "1");
	error = sksm_pacer_state_save(pulse->home_fd, &pulse->original, &pulse->ours);
	if (error) {
		pulse->failed = SKSM_PACER_HOME "/" SKSM_PACER_STATE;
		return error;
	}
	pulse->ksmd_seen_ns = ksmd_used_ns(pulse);
	error = start_ksmd(pulse);
	pulse->on = true;
	if (error)
		sksm_pulse_stop(pulse);
	else
		pulse->pulses++;
	return error;
}

/*
 * A setting that somebody else wrote is his: make it look as if we had not touched it, so that it
 * stays when the pulse is stopped, which follows at once.
 */
static bool give_up_foreign(struct sksm_pulse *pulse, bool by_value)
{
	bool written[SKSM_KSMD_SETTINGS], any = false;
	int i;

	sksm_watch_written(pulse->watch_fd, written);
	written[SKSM_KSMD_RUN] = written[SKSM_KSMD_RUN] && !pulse->own_run;
	pulse->own_run = false;
	for (i = 0; i < SKSM_KSMD_SETTINGS; i++) {
		char now[SKSM_KSMD_VALUE_MAX];

		if (by_value && !written[i] && !sksm_ksmd_get(i, now) &&
		    strcmp(now, pulse->ours.value[i]))
			written[i] = true;
		if (!written[i])
			continue;
		strcpy(pulse->original.value[i], pulse->ours.value[i]);
		any = true;
	}
	return any;
}

enum sksm_pulse_state sksm_pulse_check(struct sksm_pulse *pulse)
{
	bool by_value;

	settle(pulse);
	by_value = pulse->watch_fd < 0 || pulse->filled_ns - pulse->values_ns >= VALUES_NS;
	if (by_value)
		pulse->values_ns = pulse->filled_ns;
	if (give_up_foreign(pulse, by_value))
		return SKSM_PULSE_FOREIGN;
	return pulse->tokens_ns <= 0 ? SKSM_PULSE_DEBT : SKSM_PULSE_FINE;
}

/* Said once for each reason: it is tried again and again. */
static void say_stopped(struct sksm_pulse *pulse, int error)
{
	if (error && error != pulse->stop_error)
		warnx(SKSM_KSMD_ROOT ": %s; what to put back is in the state file",
		      strerror(-error));
	else if (!error && pulse->stop_error)
		warnx("put back the settings in " SKSM_KSMD_ROOT " after all");
	pulse->stop_error = error;
}

/* Where that fails, what was put back counts as somebody else's the next time, and is left. */
int sksm_pulse_stop(struct sksm_pulse *pulse)
{
	struct sksm_ksmd_settings stopped = pulse->ours;
	int error;

	give_up_foreign(pulse, true);
	strcpy(stopped.value[SKSM_KSMD_RUN], pulse->original.value[SKSM_KSMD_RUN]);
	if (!sksm_ksmd_put_back(&stopped, &pulse->ours))
		pulse->ours = stopped;
	/* That waited for the end of a batch, time enough for somebody to write the others. */
	give_up_foreign(pulse, true);
	error = sksm_ksmd_put_back(&pulse->original, &pulse->ours);
	settle(pulse);
	if (!error)
		error = sksm_pacer_state_remove(pulse->home_fd);
	pulse->on = error != 0;
	say_stopped(pulse, error);
	return error;
}
