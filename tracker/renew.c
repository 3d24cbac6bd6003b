/* SPDX-License-Identifier: MIT */
/*
 * Marks for ksmd that are taken and set again.
 *
 * With smart scan a page that does not change is looked at in one scan of nine in the end, each by
 * its own count. Twins that were offered some scans apart may then never be in the unstable tree at
 * the same time, seen for 150 scans (docs/kernel.md). What ksmd forgot is counted anew: a page that
 * it comes by and finds without a mark (remove_trailing_rmap_items).
 */
#include "tracker.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "sys.h"

#define RENEWALS 2
/* A scan was under way when the mark was taken; the one after it comes by everywhere. */
#define FORGETFUL_SCANS 2

static bool is_one(struct sksm_tracker *tracker, const char *path)
{
	char text[8];

	return sksm_read_file(tracker->sys, AT_FDCWD, path, text, sizeof(text)) > 0 &&
	       text[0] == '1';
}

/* Somebody else's: the pacer switches smart scan off while it runs ksmd, and ksmd off afterwards. */
static bool does_smart_scans(struct sksm_tracker *tracker)
{
	return is_one(tracker, "/sys/kernel/mm/ksm/smart_scan") &&
	       is_one(tracker, "/sys/kernel/mm/ksm/run");
}

static bool is_renewable(const struct sksm_tracker *tracker, const struct sksm_block *block,
			 unsigned int page)
{
	return sksm_bit(block->offered, page) && !sksm_entry_shared(tracker->pagemap[page]);
}

/*
 * Until ksmd has forgotten the pages of @block. Those that are merged keep their marks: they would
 * be copied. False where none was taken.
 */
static bool unmark_block(struct sksm_tracker *tracker, struct sksm_block *block)
{
	bool taken = false;

	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++) {
		unsigned int from = page;

		while (page < SKSM_BLOCK_PAGES && is_renewable(tracker, block, page))
			page++;
		if (page == from)
			continue;
		if (tracker->sys->madvise((void *)sksm_page_address(block, from),
					  (page - from) * SKSM_PAGE_BYTES, MADV_UNMERGEABLE))
			break;
		for (unsigned int i = from; i < page; i++) {
			sksm_bit_clear(block->offered, i);
			if (block->state[i] == SKSM_PAGE_OFFERED)
				block->stamp[i] = tracker->full_scans;
		}
		taken = true;
	}
	if (taken) {
		block->unmarked = true;
		block->unmarked_scan = tracker->full_scans;
		block->renewals++;
	}
	return taken;
}

/*
 * Where nothing at all is marked ksmd drops the process, with its items for pages, and makes no
 * scans where that was the last one: looked at in one pass of eight without a scan.
 */
static bool is_forgotten(struct sksm_tracker *tracker, const struct sksm_block *block)
{
	return (uint8_t)(tracker->full_scans - block->unmarked_scan) >= FORGETFUL_SCANS ||
	       (tracker->quiet_scans % 8 == 7 &&
		!sksm_audit_ksm_stat(tracker->sys, "ksm_rmap_items "));
}

/* To be offered anew, all that ksmd has forgotten in this pass. */
static void offer_again(struct sksm_tracker *tracker, struct sksm_block *block)
{
	for (unsigned int page = 0; page < SKSM_BLOCK_PAGES; page++)
		if (block->state[page] == SKSM_PAGE_OFFERED && !sksm_bit(block->offered, page))
			sksm_block_set(&tracker->blocks, block, page, SKSM_PAGE_TWIN);
	block->unmarked = false;
}

bool sksm_renew_begin(struct sksm_tracker *tracker, struct sksm_block *block)
{
	return block->renewals < RENEWALS && does_smart_scans(tracker) &&
	       unmark_block(tracker, block);
}

void sksm_renew_end(struct sksm_tracker *tracker, struct sksm_block *block)
{
	if (is_forgotten(tracker, block))
		offer_again(tracker, block);
}
