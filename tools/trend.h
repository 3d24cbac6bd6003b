/* SPDX-License-Identifier: MIT */
/*
 * Where a process is on its way, by the history in its record: whether what merging saves there
 * still grows, and for how long, or stays, or comes and goes.
 */
#ifndef SKSM_TREND_H
#define SKSM_TREND_H

#include <stdbool.h>

#include "tracker/record.h"

enum sksm_trend_kind {
	SKSM_TREND_UNKNOWN,	/* too young, or much of its memory was not yet looked at */
	SKSM_TREND_GROWING,
	SKSM_TREND_SHRINKING,
	SKSM_TREND_CONVERGED,
	SKSM_TREND_OSCILLATING,	/* it rises and falls, or merges are undone as soon as made */
};

struct sksm_trend {
	enum sksm_trend_kind kind;
	double left_seconds;	/* of what grows, about; negative: nobody can tell */
};

/*
 * Judge a process as of the last update of @record, which is as it was read. Of what is only
 * estimated the trend is that of what has a twin.
 */
struct sksm_trend sksm_trend_judge(const struct sksm_record *record);

/* "growing"...: stable, used in JSON. NULL for SKSM_TREND_UNKNOWN. */
const char *sksm_trend_name(enum sksm_trend_kind kind);

/* For people: "growing 2m" (@bare: without the time), "converged", "-". */
#define SKSM_TREND_TEXT_MAX 24
const char *sksm_trend_text(const struct sksm_trend *trend, bool bare,
			    char ret[SKSM_TREND_TEXT_MAX]);

#endif
