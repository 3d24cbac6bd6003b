/* SPDX-License-Identifier: MIT */
/* The pages of an estimate: what the looks found of each, and what follows from it. */
#ifndef SKSM_ESTIMATE_PAGES_H
#define SKSM_ESTIMATE_PAGES_H

#include "estimate.h"
#include "pages.h"

#include "tracker/digest.h"

#define SKSM_ESTIMATE_ADDRESS_BITS 48	/* of a page number: enough for 5 levels */

/* In the low bits of a page's digest, which are free. */
#define SKSM_ESTIMATE_SHARED 1u		/* its frame is shared: merged already */
#define SKSM_ESTIMATE_CALM 2u		/* had the same content at the second look */
#define SKSM_ESTIMATE_TWIN 4u		/* calm, and so is one like it */
#define SKSM_ESTIMATE_HUGE 8u		/* part of a huge page */
#define SKSM_ESTIMATE_KEPT 16u		/* of one that would be left whole */
#define SKSM_ESTIMATE_BROKEN 32u	/* written before the third look */
#define SKSM_ESTIMATE_FLAGS 0xffffull

struct sksm_estimate_page {
	uint64_t where;		/* number of the process above, of the page below */
	uint64_t digest;	/* and flags */
};

struct sksm_estimate_range {
	uint64_t start;
	uint64_t end;
};

/* One process while it is looked at. */
struct sksm_estimate_target {
	struct sksm_pages pages;
	bool open;
	struct sksm_estimate_range *huge;	/* huge pages, as of the last look */
	size_t huge_count;
};

struct sksm_estimate_state {
	struct sksm_estimate *estimate;
	struct sksm_estimate_target *targets;
	const struct sksm_options *options;
	struct sksm_digester digester;
	struct sksm_estimate_page *list;	/* ascending by where, unless said otherwise */
	size_t count;
	size_t room;
};

static inline size_t sksm_estimate_process_of(const struct sksm_estimate_page *page)
{
	return (size_t)(page->where >> SKSM_ESTIMATE_ADDRESS_BITS);
}

/*
 * Open @pid's pages: those mappings stay mergeable that the library would watch with @options. 0 or
 * -errno; to be closed in any case.
 */
int sksm_estimate_open(struct sksm_estimate_target *target, pid_t pid,
		       const struct sksm_options *options);
void sksm_estimate_close(struct sksm_estimate_target *target);

/* After the second look: what has a twin, and which huge pages would be left whole. */
void sksm_estimate_find_twins(struct sksm_estimate_state *state);

/* After the third: sums, costs and verdict. The order of the pages is lost. 0 or -ENOMEM. */
int sksm_estimate_sum_up(struct sksm_estimate_state *state, const struct sksm_host *host);

#endif
