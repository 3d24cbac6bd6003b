/* SPDX-License-Identifier: MIT */
#include "column.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define AT(member) offsetof(struct sksm_entry, member)
#define COUNTER(member) AT(record.counters.member)

const struct sksm_column sksm_columns[] = {
	{ "PID", "pid", SKSM_COLUMN_NUMBER32, true, AT(record.pid), "process, as it sees itself" },
	{ "COMM", "comm", SKSM_COLUMN_TEXT, true, AT(comm), "name of the program" },
	{ "COMMAND", "command", SKSM_COLUMN_TEXT, false, AT(command), "with its arguments" },
	{ "STATE", "state", SKSM_COLUMN_WORD, true, AT(state), "running, exited, killed or exec" },
	{ "ENGINE", "engine", SKSM_COLUMN_WORD, true, AT(engine), "what merges: ksm, sksm, none" },
	{ "TRACKER", "tracker", SKSM_COLUMN_WORD, false, AT(tracker),
	  "how writes are seen: wp, digest" },
	{ "DORMANT", "dormant", SKSM_COLUMN_REASON, false, AT(dormant), "why nothing is tracked" },
	{ "SECONDS", "seconds", SKSM_COLUMN_SECONDS, false, AT(seconds), "since it started" },
	{ "TREND", "trend", SKSM_COLUMN_TREND, true, AT(trend),
	  "growing (how long), shrinking, converged, oscillating" },
	{ "PASSES", "passes", SKSM_COLUMN_COUNT, false, COUNTER(passes), "passes over its memory" },
	{ "TRACKED", "tracked", SKSM_COLUMN_BYTES, true, COUNTER(tracked),
	  "address space tracked" },
	{ "RESIDENT", "resident", SKSM_COLUMN_BYTES, true, COUNTER(resident),
	  "of the tracked, present in memory" },
	{ "ARMED", "armed", SKSM_COLUMN_BYTES, false, COUNTER(armed), "write-protected" },
	{ "INVARIANT", "invariant", SKSM_COLUMN_BYTES, true, COUNTER(invariant),
	  "not written for the age" },
	{ "HOT", "hot", SKSM_COLUMN_BYTES, false, COUNTER(hot), "written often, left alone" },
	{ "DIGESTED", "digested", SKSM_COLUMN_BYTES, false, COUNTER(digested),
	  "whose content was looked at" },
	{ "DUPLICATE", "duplicate", SKSM_COLUMN_BYTES, true, COUNTER(duplicate),
	  "has a twin in the domain" },
	{ "OFFERED", "offered", SKSM_COLUMN_BYTES, true, COUNTER(offered), "given to the engine" },
	{ "MERGED", "merged", SKSM_COLUMN_BYTES, true, COUNTER(merged),
	  "mapped to a merged frame (now, or when it ended)" },
	{ "ZERO", "zero", SKSM_COLUMN_BYTES, false, COUNTER(zero), "of the merged, pages of zeroes" },
	{ "SAVED", "saved", SKSM_COLUMN_BYTES, true, COUNTER(saved), "frames freed" },
	{ "DEBT", "debt", SKSM_COLUMN_BYTES, false, COUNTER(debt),
	  "what it would take if all of it were written" },
	{ "WRITES", "writes_seen", SKSM_COLUMN_COUNT, false, COUNTER(writes_seen),
	  "faults that our protection caused" },
	{ "BREAKS", "cow_breaks", SKSM_COLUMN_COUNT, false, COUNTER(cow_breaks),
	  "merges undone by a write" },
	{ "CPU", "cpu_ns", SKSM_COLUMN_NS, true, COUNTER(cpu_ns), "CPU time of our thread" },
	{ "SENSITIVE", "sensitive_skipped", SKSM_COLUMN_BYTES, false, COUNTER(sensitive_skipped),
	  "never offered: marked as sensitive" },
	{ "SHARED", "shared_unmergeable", SKSM_COLUMN_BYTES, false, COUNTER(shared_unmergeable),
	  "shared mappings, which no kernel merges" },
	{ "PENDING", "pending", SKSM_COLUMN_BYTES, false, COUNTER(pending),
	  "offered, waiting for ksmd" },
	{ "OWN", "own", SKSM_COLUMN_BYTES, false, COUNTER(own), "memory of our own in it" },
	{ "HUGEKEPT", "huge_kept", SKSM_COLUMN_BYTES, false, COUNTER(huge_kept),
	  "left alone because it is in huge pages" },
	{ "HUGELOST", "huge_lost", SKSM_COLUMN_BYTES, false, COUNTER(huge_lost),
	  "huge pages given up for their twins" },
	{ "UID", "uid", SKSM_COLUMN_NUMBER32, false, AT(owner), "owner of its record" },
	{ "MODE", "mode", SKSM_COLUMN_WORD, false, AT(mode), "merge or estimate" },
	{ "DOMAIN", "domain", SKSM_COLUMN_TEXT, false, AT(domain), "merging domain" },
	{ "DIR", "dir", SKSM_COLUMN_TEXT, false, AT(dir), "where its domain lives" },
};

const size_t sksm_column_count = sizeof(sksm_columns) / sizeof(sksm_columns[0]);

_Static_assert(sizeof(uid_t) == sizeof(uint32_t), "UID is a NUMBER32");

const struct sksm_column *sksm_column_find(const char *name)
{
	size_t i;

	for (i = 0; i < sksm_column_count; i++)
		if (!strcasecmp(name, sksm_columns[i].name) ||
		    !strcasecmp(name, sksm_columns[i].key))
			return &sksm_columns[i];
	return NULL;
}

bool sksm_column_is_summed(const struct sksm_column *column)
{
	return column->kind >= SKSM_COLUMN_COUNT;
}

uint64_t sksm_column_sum(const struct sksm_column *column, const struct sksm_counters *counters)
{
	size_t offset = column->offset - AT(record.counters);

	return *(const uint64_t *)((const char *)counters + offset);
}

static const void *value_of(const struct sksm_column *column, const struct sksm_entry *entry)
{
	return (const char *)entry + column->offset;
}

const char *sksm_column_cell(const struct sksm_column *column, const struct sksm_entry *entry,
			     bool raw, char ret[SKSM_COLUMN_CELL_MAX])
{
	const void *value = value_of(column, entry);
	uint64_t number = sksm_column_is_summed(column) ? *(const uint64_t *)value : 0;

	switch (column->kind) {
	case SKSM_COLUMN_NUMBER32:
		snprintf(ret, SKSM_COLUMN_CELL_MAX, "%" PRIu32, *(const uint32_t *)value);
		return ret;
	case SKSM_COLUMN_WORD:
		return *(const char *const *)value;
	case SKSM_COLUMN_TREND:
		return sksm_trend_text(value, raw, ret);
	case SKSM_COLUMN_SECONDS:
		snprintf(ret, SKSM_COLUMN_CELL_MAX, "%.1f", *(const double *)value);
		return ret;
	case SKSM_COLUMN_BYTES:
		if (!raw)
			return sksm_text_size(number, ret);
		break;
	case SKSM_COLUMN_NS:
		if (raw)
			break;
		snprintf(ret, SKSM_COLUMN_CELL_MAX, "%.2fs", (double)number / 1e9);
		return ret;
	case SKSM_COLUMN_COUNT:
		break;
	default:
		return value;
	}
	snprintf(ret, SKSM_COLUMN_CELL_MAX, "%" PRIu64, number);
	return ret;
}

#define COMPARE(type, a, b) (*(const type *)(a) < *(const type *)(b) ? -1 : \
			     *(const type *)(a) > *(const type *)(b))

/* By kind; what grows, by the time that is left, unknown last. */
static int compare_trends(const struct sksm_trend *a, const struct sksm_trend *b)
{
	double left = a->left_seconds < 0 ? HUGE_VAL : a->left_seconds;
	double right = b->left_seconds < 0 ? HUGE_VAL : b->left_seconds;

	return a->kind != b->kind ? COMPARE(enum sksm_trend_kind, &a->kind, &b->kind) :
	       COMPARE(double, &left, &right);
}

int sksm_column_compare(const struct sksm_column *column, const struct sksm_entry *a,
			const struct sksm_entry *b)
{
	const void *left = value_of(column, a), *right = value_of(column, b);

	switch (column->kind) {
	case SKSM_COLUMN_NUMBER32:
		return COMPARE(uint32_t, left, right);
	case SKSM_COLUMN_SECONDS:
		return COMPARE(double, left, right);
	case SKSM_COLUMN_TREND:
		return compare_trends(left, right);
	case SKSM_COLUMN_WORD:
		return strcmp(*(const char *const *)left, *(const char *const *)right);
	case SKSM_COLUMN_TEXT:
	case SKSM_COLUMN_REASON:
		return strcmp(left, right);
	default:
		return COMPARE(uint64_t, left, right);
	}
}
