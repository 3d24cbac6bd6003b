/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <string.h>

/* Of the first samples: a quarter of the default interval of passes, so that each has one. */
#define FIRST_INTERVAL_NS 250000000ull

_Static_assert(sizeof(struct sksm_sample) == 64 && SKSM_HISTORY_MAX % 2 == 0, "format");

bool sksm_history_due(const struct sksm_history *history, uint64_t now_ns)
{
	uint64_t last_ns = history->count ? history->list[history->count - 1].at_ns : 0;

	return !history->count || (now_ns > last_ns && now_ns - last_ns >= history->interval_ns);
}

/* Of two neighbours the later one stays, so that the last is what it was. */
static void thin(struct sksm_history *history)
{
	for (uint32_t i = 0; i < SKSM_HISTORY_MAX / 2; i++)
		history->list[i] = history->list[2 * i + 1];
	history->count = SKSM_HISTORY_MAX / 2;
	history->interval_ns *= 2;
}

void sksm_history_add(struct sksm_history *history, const struct sksm_sample *sample)
{
	if (!sksm_history_due(history, sample->at_ns))
		return;
	if (!history->interval_ns)
		history->interval_ns = FIRST_INTERVAL_NS;
	if (history->count >= SKSM_HISTORY_MAX) {
		thin(history);
		if (!sksm_history_due(history, sample->at_ns))
			return;
	}
	history->list[history->count++] = *sample;
}

bool sksm_history_valid(const struct sksm_history *history, uint64_t start_ns)
{
	if (history->count > SKSM_HISTORY_MAX)
		return false;
	for (uint32_t i = 0; i < history->count; i++) {
		const struct sksm_sample *sample = &history->list[i];

		if (sample->at_ns < (i ? sample[-1].at_ns : start_ns) || sample->saved >> 57 ||
		    sample->duplicate >> 57 || sample->offered >> 57 || sample->merged >> 57)
			return false;
	}
	return true;
}
