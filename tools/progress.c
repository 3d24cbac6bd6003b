/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "ksmd.h"

#define PAGE_BYTES 4096u
/*
 * Without smart scan ksmd needs two scans before it merges a page and a third to settle; one was
 * under way. Where so many together merged less than one part in FRUIT_PART of what waits, or of
 * what would be worth a pulse, the rest is not worth more of them now.
 */
#define FRUITLESS_SCANS 4
#define FRUIT_PART 32
/* What one of these scans takes for a page that is merged, or cannot be. */
#define SCAN_PAGE_NS 1400u
/* A merge takes about 10 us. With the scans around it a page may take so much, or all together. */
#define PAGE_WORTH_NS 100000u
#define CHEAP_NS 50000000u
/*
 * One part in so many more is growth. Where there was none for most of a pass it is over: the last
 * process may come a bit later, ksmd's first scan does not merge anything yet.
 */
#define GROWTH_PART 8
#define GROWTH_CALM_NS 700000000u
#define GROWTH_MAX_NS 2500000000u
/* Less than one part in so many of a step is next to nothing. */
#define STEP_PART 4
#define STEP_MAX_MS 160u

/* Changes whenever ksmd has merged something. */
static uint64_t merged_now(void)
{
	return sksm_ksmd_counter("pages_sharing") + sksm_ksmd_counter("pages_shared") +
	       sksm_ksmd_counter("ksm_zero_pages");
}

/*
 * As the kernel counts it, but not what is left of processes that have gone: that shows only in
 * the records, which in turn may say anything.
 */
static uint64_t scanned_bytes(const struct sksm_demand *demand, uint64_t merged)
{
	uint64_t counted = (merged + sksm_ksmd_counter("pages_unshared") +
			    sksm_ksmd_counter("pages_volatile")) * PAGE_BYTES;

	return counted < demand->offered_bytes ? counted : demand->offered_bytes;
}

uint64_t sksm_progress_scanned(const struct sksm_demand *demand)
{
	return scanned_bytes(demand, merged_now());
}

uint64_t sksm_progress_wait_ns(const struct sksm_demand *demand, uint64_t linger_ns)
{
	uint64_t scanned = sksm_progress_scanned(demand) / PAGE_BYTES, wait_ns;
	uint64_t cost_ns = scanned * SCAN_PAGE_NS * FRUITLESS_SCANS;
	uint64_t worth_ns = demand->pending_bytes / PAGE_BYTES * PAGE_WORTH_NS;

	if (demand->hurried_bytes || demand->pending_bytes / PAGE_BYTES >= scanned / SKSM_CRUMB_PART)
		return 0;
	if (worth_ns >= cost_ns)
		return linger_ns;
	wait_ns = worth_ns ? cost_ns / worth_ns * linger_ns : UINT64_MAX;
	if (wait_ns > cost_ns * SKSM_WASTE_PART)
		wait_ns = cost_ns * SKSM_WASTE_PART;
	return wait_ns > linger_ns ? wait_ns : linger_ns;
}

bool sksm_progress_grows(struct sksm_growth *growth, const struct sksm_demand *demand,
			 uint64_t now_ns)
{
	if (!growth->bytes || !demand->pending_bytes)
		*growth = (struct sksm_growth){ .began_ns = now_ns };
	if (demand->pending_bytes > growth->bytes + growth->bytes / GROWTH_PART) {
		growth->bytes = demand->pending_bytes;
		growth->grown_ns = now_ns;
	}
	return demand->pending_bytes && !demand->hurried_bytes &&
	       now_ns - growth->grown_ns < GROWTH_CALM_NS &&
	       now_ns - growth->began_ns < GROWTH_MAX_NS;
}

void sksm_progress_begin(struct sksm_progress *progress, const struct sksm_demand *demand)
{
	*progress = (struct sksm_progress){
		.merged = merged_now(),
		.scan = sksm_ksmd_counter("full_scans"),
		.waited = demand->pending_bytes / PAGE_BYTES,
		.offered_bytes = demand->offered_bytes,
	};
	progress->began = progress->checked = progress->merged;
	progress->judged_scan = progress->scan;
}

/* Count in what was merged since the last time, where it is worth mention. */
static bool count_fruit(struct sksm_progress *progress, const struct sksm_demand *demand)
{
	uint64_t merged = merged_now(), scanned = scanned_bytes(demand, merged);
	uint64_t crumbs = scanned / SKSM_CRUMB_PART;
	uint64_t waits = demand->pending_bytes < scanned ? demand->pending_bytes : scanned;
	uint64_t least = (waits > crumbs ? waits : crumbs) / PAGE_BYTES / FRUIT_PART + 1;

	/* Processes end, and merges are undone. */
	if (merged < progress->merged)
		progress->merged = merged;
	if (merged < progress->merged + least)
		return false;
	progress->gained += merged - progress->merged;
	progress->merged = merged;
	progress->fruitful = true;
	return true;
}

bool sksm_progress_fruitless(struct sksm_progress *progress, const struct sksm_demand *demand)
{
	uint64_t scan = sksm_ksmd_counter("full_scans");

	if (scan == progress->judged_scan)
		return false;
	progress->judged_scan = scan;
	if (count_fruit(progress, demand))
		progress->scan = scan - 1;
	return scan - progress->scan >= FRUITLESS_SCANS;
}

bool sksm_progress_finished(struct sksm_progress *progress, const struct sksm_demand *demand)
{
	uint64_t merged = merged_now(), waited = progress->waited, gained;
	bool merges = merged > progress->checked;

	progress->checked = merged;
	if (demand->offered_bytes > progress->offered_bytes)
		waited += (demand->offered_bytes - progress->offered_bytes) / PAGE_BYTES;
	gained = merged > progress->began ? merged - progress->began : 0;
	if (merges || gained + waited / FRUIT_PART < waited)
		return false;
	progress->finished = gained;
	return true;
}

unsigned int sksm_progress_step_ms(unsigned int ms, uint64_t used_ns)
{
	if (used_ns * STEP_PART >= ms * 1000000ull)
		return SKSM_STEP_MS;
	return ms * 2 < STEP_MAX_MS ? ms * 2 : STEP_MAX_MS;
}

bool sksm_progress_worth(struct sksm_progress *progress, const struct sksm_demand *demand,
			 uint64_t ksmd_cpu_ns)
{
	count_fruit(progress, demand);
	return progress->fruitful &&
	       (ksmd_cpu_ns <= CHEAP_NS || ksmd_cpu_ns / PAGE_WORTH_NS <= progress->gained);
}
