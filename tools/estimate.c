/* SPDX-License-Identifier: MIT */
/* The looks of an estimate. */
#include "estimate_pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

#include "tracker/abi.h"
#include "tracker/sys.h"

#define PROGRESS_NS 200000000ull

static size_t index_of(const struct sksm_estimate_state *state,
		       const struct sksm_estimate_target *target)
{
	return (size_t)(target - state->targets);
}

/* A look under way. */
struct look {
	struct sksm_estimate_state *state;
	struct sksm_estimate_target *target;
	unsigned int number;	/* 1, 2 */
	size_t cursor;		/* the second: where in the list it is */
	size_t huge;		/* the first range that may hold what comes next */
	uint64_t done_pages;
	uint64_t total_pages;
	uint64_t told_ns;
	bool progress;
};

static void tell_progress(struct look *look, unsigned int pages)
{
	uint64_t now_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	char done[SKSM_TEXT_SIZE_MAX], total[SKSM_TEXT_SIZE_MAX];

	look->done_pages += pages;
	if (!look->progress || now_ns - look->told_ns < PROGRESS_NS)
		return;
	look->told_ns = now_ns;
	fprintf(stderr, "\rlook %u of 3: %s of %s \033[K", look->number,
		sksm_text_size(look->done_pages * SKSM_PAGE_BYTES, done),
		sksm_text_size(look->total_pages * SKSM_PAGE_BYTES, total));
}

static int add_page(struct sksm_estimate_state *state, uint64_t where, uint64_t digest)
{
	if (state->count == state->room) {
		size_t room = state->room ? state->room * 2 : 65536;
		void *list = reallocarray(state->list, room, sizeof(*state->list));

		if (!list)
			return -ENOMEM;
		state->list = list;
		state->room = room;
	}
	state->list[state->count++] = (struct sksm_estimate_page){ where, digest };
	return 0;
}

/* The first look left this of the page; was it the same? */
static void compare_page(struct look *look, uint64_t where, uint64_t digest)
{
	struct sksm_estimate_state *state = look->state;
	struct sksm_estimate_page *page;

	while (look->cursor < state->count && state->list[look->cursor].where < where)
		look->cursor++;
	if (look->cursor == state->count || state->list[look->cursor].where != where)
		return;
	page = &state->list[look->cursor];
	if (((page->digest ^ digest) & ~SKSM_ESTIMATE_FLAGS) == 0)
		page->digest = digest | SKSM_ESTIMATE_CALM;
}

static bool is_huge(struct look *look, uint64_t address)
{
	const struct sksm_estimate_target *target = look->target;

	while (look->huge < target->huge_count && target->huge[look->huge].end <= address)
		look->huge++;
	return look->huge < target->huge_count && target->huge[look->huge].start <= address;
}

static int take_pages(void *arg, const struct sksm_pages_area *area, uint64_t address,
		      const unsigned char *bytes, const uint64_t *entries, unsigned int count)
{
	struct look *look = arg;
	struct sksm_estimate_state *state = look->state;
	size_t process = index_of(state, look->target);
	unsigned int i;
	int error = 0;

	for (i = 0; i < count && !error; i++, address += SKSM_PAGE_BYTES) {
		uint64_t where = (uint64_t)process << SKSM_ESTIMATE_ADDRESS_BITS |
				 address >> SKSM_PAGE_SHIFT;
		uint64_t digest = sksm_digest_page(&state->digester, bytes + i * SKSM_PAGE_BYTES);

		if (!(entries[i] & SKSM_PM_EXCLUSIVE))
			digest |= SKSM_ESTIMATE_SHARED;
		if (is_huge(look, address))
			digest |= SKSM_ESTIMATE_HUGE;
		if (look->number == 1)
			error = add_page(state, where, digest);
		else
			compare_page(look, where, digest);
	}
	tell_progress(look, count);
	return error;
}

static uint64_t count_wanted(const struct sksm_estimate_state *state)
{
	uint64_t pages = 0;
	size_t i, j;

	for (i = 0; i < state->estimate->count; i++)
		for (j = 0; state->targets[i].open && j < state->targets[i].pages.count; j++)
			if (state->targets[i].pages.areas[j].mergeable)
				pages += state->targets[i].pages.areas[j].rss / SKSM_PAGE_BYTES;
	return pages;
}

/* A process that has gone is left out from then on. */
static int look_at_all(struct sksm_estimate_state *state, unsigned int number, bool progress)
{
	struct look look = { .state = state, .number = number, .progress = progress };
	size_t i, living = 0;

	for (i = 0; i < state->estimate->count; i++) {
		struct sksm_estimate_process *process = &state->estimate->processes[i];
		int error = process->gone ? -ESRCH :
			    sksm_estimate_open(&state->targets[i], process->pid,
					       state->options);

		if (error == -ENOMEM)
			return error;
		process->gone = error != 0;
	}
	look.total_pages = count_wanted(state);
	for (i = 0; i < state->estimate->count; i++) {
		struct sksm_estimate_process *process = &state->estimate->processes[i];
		int error;

		look.target = &state->targets[i];
		look.huge = 0;
		error = process->gone ? 0 : sksm_pages_walk(&look.target->pages, take_pages, &look);
		if (error == -ENOMEM)
			return error;
		process->gone |= error != 0;
		living += !process->gone;
		if (number == 1)
			sksm_estimate_close(look.target);
	}
	return living ? 0 : -ESRCH;
}

/* Of what would be merged: what is written by now? */
static void look_at_twins(struct sksm_estimate_state *state, bool progress)
{
	struct look look = { .state = state, .number = 3, .progress = progress };
	unsigned char bytes[SKSM_PAGE_BYTES];
	size_t i;

	for (i = 0; i < state->count; i++)
		look.total_pages += (state->list[i].digest & SKSM_ESTIMATE_TWIN) != 0;
	for (i = 0; i < state->count; i++) {
		struct sksm_estimate_page *page = &state->list[i];
		const struct sksm_estimate_target *target =
			&state->targets[sksm_estimate_process_of(page)];
		uint64_t address = page->where << SKSM_PAGE_SHIFT &
				   ((1ull << (SKSM_ESTIMATE_ADDRESS_BITS + SKSM_PAGE_SHIFT)) - 1);

		if ((page->digest & (SKSM_ESTIMATE_TWIN | SKSM_ESTIMATE_KEPT)) !=
		    SKSM_ESTIMATE_TWIN)
			continue;
		if (!sksm_pages_read(&target->pages, address, bytes) ||
		    sksm_digest_page(&state->digester, bytes) !=
		    (page->digest & ~SKSM_ESTIMATE_FLAGS))
			page->digest |= SKSM_ESTIMATE_BROKEN;
		tell_progress(&look, 1);
	}
}

static void sleep_ms(unsigned int ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static int look_three_times(struct sksm_estimate_state *state,
			    const struct sksm_estimate_query *query)
{
	struct sksm_estimate *estimate = state->estimate;
	uint64_t cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID), start_ns;
	int error;

	error = look_at_all(state, 1, query->progress);
	if (error)
		return error;
	estimate->look_cpu_ns = sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	sleep_ms(query->interval_ms);
	start_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	error = look_at_all(state, 2, query->progress);
	if (error)
		return error;
	sksm_estimate_find_twins(state);
	sleep_ms(query->interval_ms);
	/* From one look at a page to the next, nearly: both go through them in the same order. */
	estimate->interval_seconds = (double)(sksm_clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
	look_at_twins(state, query->progress);
	return 0;
}

int sksm_estimate_take(struct sksm_estimate *ret, const struct sksm_estimate_query *query,
		       const struct sksm_host *host)
{
	struct sksm_estimate estimate = { .count = query->count };
	struct sksm_estimate_state state = { .estimate = &estimate, .options = &host->options };
	struct sksm_process process;
	uint8_t key[SKSM_KEY_BYTES];
	int error = -ENOMEM;
	size_t i;

	estimate.processes = calloc(query->count, sizeof(*estimate.processes));
	state.targets = calloc(query->count, sizeof(*state.targets));
	for (i = 0; i < query->count && estimate.processes; i++) {
		estimate.processes[i].pid = query->pids[i];
		if (!sksm_process_read(query->pids[i], &process))
			sksm_text_clean(estimate.processes[i].comm,
					sizeof(estimate.processes[i].comm), process.comm);
	}
	if (getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key) && estimate.processes &&
	    state.targets) {
		sksm_digester_init(&state.digester, key);
		error = look_three_times(&state, query);
	}
	if (!error)
		error = sksm_estimate_sum_up(&state, host);
	if (query->progress)
		fputs("\r\033[K", stderr);
	for (i = 0; i < query->count && state.targets; i++)
		sksm_estimate_close(&state.targets[i]);
	free(state.targets);
	free(state.list);
	if (error)
		sksm_estimate_fini(&estimate);
	else
		*ret = estimate;
	return error;
}

void sksm_estimate_fini(struct sksm_estimate *estimate)
{
	free(estimate->processes);
	memset(estimate, 0, sizeof(*estimate));
}
