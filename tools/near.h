/* SPDX-License-Identifier: MIT */
/*
 * What is in the pages of some processes: how often contents occur, and near misses, pages that
 * would have a twin but for some pointers or a few other bytes, with the likely reason. Contents
 * are compared and never kept or shown.
 */
#ifndef SKSM_NEAR_H
#define SKSM_NEAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SKSM_NEAR_WORDS 512	/* of 8 bytes in a page */
#define SKSM_NEAR_TOP 10
#define SKSM_NEAR_LABEL_MAX 256
/* From so many copies on a content counts as one that is there many times. */
#define SKSM_NEAR_MANY 16

/* Why two words differ. */
enum sksm_near_cause {
	SKSM_NEAR_POINTER,	/* each points into its own process: objects that moved */
	SKSM_NEAR_TIME,		/* seconds to nanoseconds since 1970 */
	SKSM_NEAR_HEADER,	/* sizes as malloc writes them before a block */
	SKSM_NEAR_COUNTER,	/* small numbers close to one another: reference counts */
	SKSM_NEAR_OTHER,
	SKSM_NEAR_CAUSES
};

/* "pointer", "time"...: stable, used in JSON. */
const char *sksm_near_cause_name(enum sksm_near_cause cause);
/* For people. */
const char *sksm_near_cause_text(enum sksm_near_cause cause);

/* Pages of one call site, or kind of mapping ("python3 [heap]"). */
struct sksm_near_place {
	char label[SKSM_NEAR_LABEL_MAX];
	uint64_t pages;
	uint64_t by_cause[SKSM_NEAR_CAUSES];
	uint64_t words[SKSM_NEAR_WORDS];
};

struct sksm_near_content {
	uint64_t copies;
	char label[SKSM_NEAR_LABEL_MAX];	/* where one of them is */
};

struct sksm_near {
	uint64_t pages;			/* that were looked at */
	uint64_t left_out;		/* for want of memory */
	uint64_t zero_pages;
	uint64_t many_pages, many_contents;	/* contents with SKSM_NEAR_MANY copies or more */
	uint64_t few_pages, few_contents;	/* with 2 or more */
	struct sksm_near_content top[SKSM_NEAR_TOP];	/* most copies first; 0 copies: no more */
	uint64_t near_pages;		/* that could be saved if they were equal */
	uint64_t by_cause[SKSM_NEAR_CAUSES];	/* each page under the cause of most of its words */
	uint64_t words[SKSM_NEAR_WORDS];	/* pages that differ there */
	struct sksm_near_place *places;	/* most pages first */
	size_t place_count;
};

struct sksm_near_query {
	const pid_t *pids;
	size_t count;
	size_t max_pages;	/* less than UINT32_MAX */
	/*
	 * Who made the page at @address of the process number @process; NULL: nobody knows, it is
	 * called by the @name of its mapping (may be empty).
	 */
	const char *(*site_of)(void *arg, size_t process, uint64_t address, const char *name);
	void *arg;
};

/*
 * Look at the pages of some processes. Takes some 200 bytes a page, and about 5 us a page.
 * Processes that cannot be read get their -errno in @errors, others 0. 0 or -ENOMEM.
 */
int sksm_near_find(struct sksm_near *ret, const struct sksm_near_query *query, int *errors);
void sksm_near_fini(struct sksm_near *near);

#endif
