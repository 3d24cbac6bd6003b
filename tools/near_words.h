/* SPDX-License-Identifier: MIT */
/* How two pages differ, word by word, and what that looks like. */
#ifndef SKSM_NEAR_WORDS_H
#define SKSM_NEAR_WORDS_H

#include <stdbool.h>

#include "near.h"
#include "pages.h"

struct sksm_near_difference {
	unsigned int bytes;			/* that differ */
	unsigned int pointer_bytes;		/* of those, in words that are pointers in both */
	enum sksm_near_cause cause;		/* of most words; valid where bytes is not 0 */
	bool words[SKSM_NEAR_WORDS];		/* that differ */
};

/*
 * Copy a page with all pointers replaced by one value, so that pages that differ in nothing else
 * become equal. @hint is NULL at first, and tells where the last pointer went.
 */
void sksm_near_mask(unsigned char *ret, const unsigned char *page, const struct sksm_pages *process,
		    const struct sksm_pages_area **hint);

/* What the words of 8 bytes @a and @b at byte @offset of two pages look like. */
enum sksm_near_cause sksm_near_classify(uint64_t a, const struct sksm_pages *process_a,
					uint64_t b, const struct sksm_pages *process_b,
					unsigned int offset);

/* Compare two pages, each of a process whose mappings tell what a pointer is. */
void sksm_near_compare(const unsigned char *a, const struct sksm_pages *process_a,
		       const unsigned char *b, const struct sksm_pages *process_b,
		       struct sksm_near_difference *ret);

#endif
