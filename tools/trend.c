/* SPDX-License-Identifier: MIT */
#include "trend.h"

#include <math.h>
#include <stdio.h>

#include "tracker/abi.h"

/* What changes by less than this and a 32nd of the most there ever was stays as it is. */
#define STEP_BYTES 262144.0
#define STEP_SHARE 32
/* Long enough to say that something stays, whatever came before. Passes are at most 16 s apart. */
#define CALM_SECONDS 40
/* At the beginning nothing is saved for a while, which is no sign. */
#define CALM_PASSES 8
/* Merges that live shorter than this on average come and go. */
#define LIFE_SECONDS 60
/* Where memory of more than this part of all was not yet looked at, nothing stays as it is. */
#define UNSEEN_SHARE 8
/* A rate falls where it is less than this part of what it was. */
#define FALLS 0.9

/* The samples, and what is known last. Seconds since the record was made; bytes. */
struct curve {
	unsigned int count;
	double seconds[SKSM_HISTORY_MAX + 1];
	double bytes[SKSM_HISTORY_MAX + 1];
	double merged[SKSM_HISTORY_MAX + 1];
	double duplicate[SKSM_HISTORY_MAX + 1];
	double breaks[SKSM_HISTORY_MAX + 1];
	double step;
	double resident;	/* now */
	bool merges;
};

/* The last stretch that goes one way, and how often the way changed in the last half. */
struct course {
	unsigned int from;	/* point where it begins */
	int way;		/* 1: up, -1: down, 0: nowhere */
	unsigned int turns;
};

static double last_of(const struct curve *curve, const double *values)
{
	return values[curve->count - 1];
}

static void add_point(struct curve *curve, const struct sksm_record *record,
		      const struct sksm_sample *sample)
{
	unsigned int at = curve->count++;

	curve->seconds[at] = (double)(sample->at_ns - record->start_ns) / 1e9;
	curve->bytes[at] = (double)(curve->merges ? sample->saved : sample->duplicate);
	curve->merged[at] = (double)sample->merged;
	curve->duplicate[at] = (double)sample->duplicate;
	curve->breaks[at] = (double)sample->cow_breaks * SKSM_PAGE_BYTES;
	curve->step = fmax(curve->step, STEP_BYTES + curve->bytes[at] / STEP_SHARE);
}

static void draw_curve(struct curve *curve, const struct sksm_record *record)
{
	const struct sksm_history *history = &record->history;
	const struct sksm_sample now = {
		.at_ns = record->updated_ns, .saved = record->counters.saved,
		.duplicate = record->counters.duplicate, .merged = record->counters.merged,
		.cow_breaks = record->counters.cow_breaks,
	};

	curve->count = 0;
	curve->step = STEP_BYTES;
	curve->resident = (double)record->counters.resident;
	curve->merges = record->mode == SKSM_MODE_MERGE && record->engine != SKSM_ENGINE_NONE;
	for (uint32_t i = 0; i < history->count; i++)
		add_point(curve, record, &history->list[i]);
	if (history->count && now.at_ns > history->list[history->count - 1].at_ns)
		add_point(curve, record, &now);
}

/* The first point of the time from @seconds on. */
static unsigned int point_at(const struct curve *curve, double seconds)
{
	unsigned int at = 0;

	while (at + 1 < curve->count && curve->seconds[at] < seconds)
		at++;
	return at;
}

/* The value at @seconds, on the line between two points. */
static double value_at(const struct curve *curve, const double *values, double seconds)
{
	unsigned int at = point_at(curve, seconds);
	double span, part;

	if (!at || curve->seconds[at] <= seconds)
		return values[at];
	span = curve->seconds[at] - curve->seconds[at - 1];
	part = span > 0 ? (seconds - curve->seconds[at - 1]) / span : 1;
	return values[at - 1] + part * (values[at] - values[at - 1]);
}

static bool stays(const struct curve *curve)
{
	double last = last_of(curve, curve->bytes), end = last_of(curve, curve->seconds);
	unsigned int from = curve->count - 1;
	double calm;

	while (from && fabs(curve->bytes[from - 1] - last) <= curve->step)
		from--;
	calm = end - curve->seconds[from];
	return calm >= CALM_SECONDS ||
	       (curve->count - from >= 4 && calm * 4 >= end - curve->seconds[0]);
}

/* Follow the curve; what is less than a step is no change of direction. */
static struct course follow(const struct curve *curve)
{
	double middle = (curve->seconds[0] + last_of(curve, curve->seconds)) / 2;
	struct course course = { 0 };
	unsigned int low = 0, high = 0;

	for (unsigned int i = 1; i < curve->count; i++) {
		double rise = curve->bytes[i] - curve->bytes[low];
		double fall = curve->bytes[high] - curve->bytes[i];
		int way = course.way <= 0 && rise > curve->step ? 1 :
			  course.way >= 0 && fall > curve->step ? -1 : 0;

		if (way) {
			course.turns += course.way && curve->seconds[i] >= middle;
			course.from = way > 0 ? low : high;
			course.way = way;
			low = high = i;
		}
		low = curve->bytes[i] <= curve->bytes[low] ? i : low;
		high = curve->bytes[i] >= curve->bytes[high] ? i : high;
	}
	return course;
}

/* As much is undone and merged again within LIFE_SECONDS as there is. */
static bool churns(const struct curve *curve)
{
	double end = last_of(curve, curve->seconds);
	unsigned int from = point_at(curve, end - (end - curve->seconds[0]) / 3);
	double span, broken;

	from = from == curve->count - 1 && from ? from - 1 : from;
	span = end - curve->seconds[from];
	broken = last_of(curve, curve->breaks) - curve->breaks[from];
	return broken > curve->step && broken * LIFE_SECONDS > last_of(curve, curve->merged) * span;
}

/* Memory that was not yet looked at; 0 where it is little. */
static double count_unseen(const struct curve *curve, const struct sksm_counters *counters)
{
	uint64_t seen = counters->invariant + counters->hot + counters->huge_kept;
	double unseen = curve->resident - (double)seen;

	return unseen > fmax(curve->step, curve->resident / UNSEEN_SHARE) ? unseen : 0;
}

/* What there is to do was done. */
static bool is_done(const struct curve *curve, const struct sksm_counters *counters)
{
	return counters->passes >= CALM_PASSES && (double)counters->pending <= curve->step &&
	       count_unseen(curve, counters) <= 0;
}

/* All of the change is since the last sample, which is long ago: what is left to do tells. */
static bool is_sudden(const struct curve *curve, const struct course *course)
{
	unsigned int last = curve->count - 1;

	return course->from + 1 >= last &&
	       curve->seconds[last] - curve->seconds[last - 1] > CALM_SECONDS;
}

/*
 * How long what grows like @values goes on, where it grows less and less: an exponential through
 * the ends of the last two thirds of the time since @from; not longer than it takes to all of the
 * memory at its pace. Negative: it does not, or stands still.
 */
static double seconds_of_decay(const struct curve *curve, const double *values, double from)
{
	double end = last_of(curve, curve->seconds), part = (end - from) / 3;
	double last = last_of(curve, values), before = value_at(curve, values, end - part);
	double now = last - before, then = before - value_at(curve, values, end - 2 * part);
	double ratio = then > 0 ? now / then : 1, rest;

	if (!(now > 0) || ratio > FALLS)
		return -1;
	rest = now * ratio / (1 - ratio);
	if (rest <= curve->step)
		return 0;
	return fmin(part * log(curve->step / rest) / log(ratio),
		    part * fmax(curve->resident - last, 0) / now);
}

/* Until all that has a twin is merged, at the pace of the last third of the time since @from. */
static double seconds_of_rest(const struct curve *curve, double from)
{
	double end = last_of(curve, curve->seconds), part = (end - from) / 3;
	double merged = last_of(curve, curve->merged);
	double pace = (merged - value_at(curve, curve->merged, end - part)) / part;
	double rest = last_of(curve, curve->duplicate) - merged;

	if (rest <= curve->step)
		return 0;
	return pace > 0 ? rest / pace : -1;
}

/* Until all that has a twin by then is merged. */
static double seconds_of_growth(const struct curve *curve, double from)
{
	double decay = seconds_of_decay(curve, curve->bytes, from), rest, found, before;
	double end = last_of(curve, curve->seconds);

	if (!curve->merges)
		return decay;
	rest = seconds_of_rest(curve, from);
	/* While more and more is found that has a twin, the end is not known. */
	before = value_at(curve, curve->duplicate, end - (end - from) / 3);
	found = last_of(curve, curve->duplicate) - before <= curve->step ? 0 :
		seconds_of_decay(curve, curve->duplicate, from);
	return rest < 0 || found < 0 ? decay : fmax(rest, found);
}

static double guess_left(const struct curve *curve, const struct course *course,
			 const struct sksm_counters *counters)
{
	double from = curve->seconds[course->from], end = last_of(curve, curve->seconds);
	double unseen = count_unseen(curve, counters);
	double digested = (double)counters->digested, growth;

	if (!(end > from))
		return -1;
	growth = seconds_of_growth(curve, from);
	/* At the pace of its whole life. */
	return unseen > 0 && digested > 0 ? fmax(growth, unseen / digested * end) : growth;
}

struct sksm_trend sksm_trend_judge(const struct sksm_record *record)
{
	struct sksm_trend trend = { .kind = SKSM_TREND_UNKNOWN, .left_seconds = -1 };
	struct course course;
	struct curve curve;
	bool still;

	draw_curve(&curve, record);
	if (curve.count < 4)
		return trend;
	course = follow(&curve);
	still = stays(&curve);
	if (churns(&curve) || (course.turns >= 2 && !still)) {
		trend.kind = SKSM_TREND_OSCILLATING;
	} else if ((still || is_sudden(&curve, &course)) && is_done(&curve, &record->counters)) {
		trend.kind = SKSM_TREND_CONVERGED;
	} else if (still) {
		return trend;
	} else if (course.way > 0) {
		trend.kind = SKSM_TREND_GROWING;
		trend.left_seconds = guess_left(&curve, &course, &record->counters);
		/* It has just come to its end. */
		if (fabs(trend.left_seconds) <= 0 && is_done(&curve, &record->counters))
			trend = (struct sksm_trend){ SKSM_TREND_CONVERGED, -1 };
	} else if (course.way < 0) {
		trend.kind = SKSM_TREND_SHRINKING;
	}
	return trend;
}

const char *sksm_trend_name(enum sksm_trend_kind kind)
{
	static const char *const names[] = {
		[SKSM_TREND_UNKNOWN] = NULL,
		[SKSM_TREND_GROWING] = "growing",
		[SKSM_TREND_SHRINKING] = "shrinking",
		[SKSM_TREND_CONVERGED] = "converged",
		[SKSM_TREND_OSCILLATING] = "oscillating",
	};

	return names[kind];
}

const char *sksm_trend_text(const struct sksm_trend *trend, bool bare,
			    char ret[SKSM_TREND_TEXT_MAX])
{
	double left = trend->left_seconds;
	const char *name = sksm_trend_name(trend->kind);

	if (!name)
		return "-";
	if (trend->kind != SKSM_TREND_GROWING || bare || left < 0 || left >= 100 * 3600)
		return name;
	left = left < 1 ? 1 : left;
	if (left < 100)
		snprintf(ret, SKSM_TREND_TEXT_MAX, "%s %.0fs", name, ceil(left));
	else if (left < 100 * 60)
		snprintf(ret, SKSM_TREND_TEXT_MAX, "%s %.0fm", name, ceil(left / 60));
	else
		snprintf(ret, SKSM_TREND_TEXT_MAX, "%s %.0fh", name, ceil(left / 3600));
	return ret;
}
