/* SPDX-License-Identifier: MIT */
/*
 * What a report shows of a process. One table drives the header, the keys of the JSON, sorting and
 * the help text.
 */
#ifndef SKSM_COLUMN_H
#define SKSM_COLUMN_H

#include <stdbool.h>
#include <stddef.h>

#include "census.h"

enum sksm_column_kind {
	SKSM_COLUMN_NUMBER32,	/* uint32_t: a pid, a uid */
	SKSM_COLUMN_WORD,	/* const char * */
	SKSM_COLUMN_TEXT,	/* char[] */
	SKSM_COLUMN_REASON,	/* char[]; empty is null in JSON */
	SKSM_COLUMN_TREND,	/* struct sksm_trend */
	SKSM_COLUMN_SECONDS,	/* double */
	SKSM_COLUMN_COUNT,	/* uint64_t, summed up in the total; and so are the next two */
	SKSM_COLUMN_BYTES,
	SKSM_COLUMN_NS,
};

struct sksm_column {
	const char *name;	/* header, and what it is chosen by */
	const char *key;	/* in the JSON */
	enum sksm_column_kind kind;
	bool usual;		/* in the table unless others are asked for */
	size_t offset;		/* in struct sksm_entry */
	const char *help;
};

extern const struct sksm_column sksm_columns[];
extern const size_t sksm_column_count;

#define SKSM_COLUMN_CELL_MAX 640

/* The column called @name, in any case (the header or the JSON key). NULL where there is none. */
const struct sksm_column *sksm_column_find(const char *name);

/* True for columns that the total sums up. */
bool sksm_column_is_summed(const struct sksm_column *column);

/* The value of such a column in a set of counters. */
uint64_t sksm_column_sum(const struct sksm_column *column, const struct sksm_counters *counters);

/* The text of one cell, for people or (@raw) in bytes and nanoseconds. */
const char *sksm_column_cell(const struct sksm_column *column, const struct sksm_entry *entry,
			     bool raw, char ret[SKSM_COLUMN_CELL_MAX]);

/* <0, 0, >0 as @a's value is less than, equal to or greater than @b's. */
int sksm_column_compare(const struct sksm_column *column, const struct sksm_entry *a,
			const struct sksm_entry *b);

#endif
