/* SPDX-License-Identifier: MIT */
#include "demand.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "process.h"

#include "tracker/sys.h"

/* Passes are up to sixteen intervals apart. */
#define FRESH_NS 80000000000ull
#define RECORDS_MAX 4096u	/* of one user per look, so that a look stays short */

struct look {
	struct sksm_demand demand;
	uint64_t served_ns;
	uint64_t now_ns;
	const struct sksm_nested *nested;
};

/* Most files are of processes that ended: one cheap call tells, before the file is opened. */
static bool want_pid(pid_t pid, void *arg)
{
	const struct look *look = arg;

	return !kill(pid, 0) || errno != ESRCH || sksm_nested_has(look->nested, pid);
}

/* The numbers are the process' own: an absurd one must not wrap the sum. */
static void add_bytes(uint64_t *sum, uint64_t bytes)
{
	if (__builtin_add_overflow(*sum, bytes, sum))
		*sum = UINT64_MAX;
}

static void add_record(const struct sksm_place_record *found, void *arg)
{
	const struct sksm_record *record = found->record;
	struct look *look = arg;

	if (record->state != SKSM_STATE_RUNNING || *record->dormant)
		return;
	look->demand.living++;
	if (!record->counters.offered || record->updated_ns + FRESH_NS < look->now_ns ||
	    (!sksm_process_matches(record, found->owner) &&
	     !sksm_process_matches_nested(record, found->owner, look->nested)))
		return;
	add_bytes(&look->demand.offered_bytes, record->counters.offered);
	if (record->updated_ns <= look->served_ns)
		return;
	add_bytes(&look->demand.pending_bytes, record->counters.pending);
	add_bytes(&look->demand.hurried_bytes, record->counters.hurried);
}

void sksm_demand_look(const struct sksm_places *places, const struct sksm_nested *nested,
		      uint64_t served_ns, struct sksm_demand *ret)
{
	struct look look = {
		.served_ns = served_ns,
		.now_ns = sksm_clock_ns(CLOCK_BOOTTIME),
		.nested = nested,
	};
	const struct sksm_walk walk = {
		.quiet = true,
		.records_max = RECORDS_MAX,
		.want = want_pid,
		.found = add_record,
		.arg = &look,
	};

	sksm_places_walk(places, &walk);
	*ret = look.demand;
}
