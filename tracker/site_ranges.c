/* SPDX-License-Identifier: MIT */
/* The side of our thread: from the log of the hooks to ranges. */
#include "site.h"

#include <string.h>

#include "arena.h"

/* A list that is being made. */
struct list {
	struct sksm_sites *sites;
	struct sksm_site_range *range;
	unsigned int count;
};

static struct list begin_list(struct sksm_sites *sites)
{
	return (struct list){ sites, sites->ranges[!sites->current], 0 };
}

/* From here on, a forked child sees the new list. */
static void publish_list(struct list *list)
{
	struct sksm_sites *sites = list->sites;

	sites->range_count[!sites->current] = list->count;
	__atomic_store_n(&sites->current, !sites->current, __ATOMIC_RELEASE);
}

static void append(struct list *list, uint64_t start, uint64_t end, uint64_t stack)
{
	struct sksm_site_range *last = list->count ? &list->range[list->count - 1] : NULL;

	if (start >= end)
		return;
	if (last && last->end == start && last->stack == stack) {
		last->end = end;
		return;
	}
	if (list->count == SKSM_SITE_RANGES) {
		list->sites->lost++;
		return;
	}
	list->range[list->count++] = (struct sksm_site_range){ start, end, stack };
}

/* The first range that ends behind @address. */
static unsigned int find_behind(const struct list *list, uint64_t address)
{
	unsigned int low = 0, high = list->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (list->range[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Make room for @count ranges at @at, in place of @gone that are there. False: there is none. */
static bool replace(struct list *list, unsigned int at, unsigned int gone, unsigned int count)
{
	if (list->count - gone + count > SKSM_SITE_RANGES) {
		list->sites->lost++;
		return false;
	}
	memmove(&list->range[at + count], &list->range[at + gone],
		(list->count - at - gone) * sizeof(*list->range));
	list->count = list->count - gone + count;
	return true;
}

/* [start, end) is @stack's now, or (0) nobody's. */
static void set_range(struct list *list, uint64_t start, uint64_t end, uint64_t stack)
{
	unsigned int first = find_behind(list, start), last = first, count = 0;
	struct sksm_site_range pieces[3];

	while (last < list->count && list->range[last].start < end)
		last++;
	if (first < last && list->range[first].start < start) {
		pieces[count] = list->range[first];
		pieces[count++].end = start;
	}
	if (stack)
		pieces[count++] = (struct sksm_site_range){ start, end, stack };
	if (first < last && list->range[last - 1].end > end) {
		pieces[count] = list->range[last - 1];
		pieces[count++].start = end;
	}
	if (replace(list, first, last - first, count))
		memcpy(&list->range[first], pieces, count * sizeof(pieces[0]));
}

/* The part of a range that lies in [start, end). Empty: none does. */
static struct sksm_site_range clip(const struct sksm_site_range *range, uint64_t start,
				   uint64_t end)
{
	struct sksm_site_range part = *range;

	if (part.start < start)
		part.start = start;
	if (part.end > end)
		part.end = end;
	return part;
}

/* The stack that owns the end of what is moved. */
static uint64_t last_stack(const struct list *list, uint64_t end)
{
	unsigned int i = find_behind(list, end - 1);

	return i < list->count && list->range[i].start < end ? list->range[i].stack : 0;
}

/* mremap moves what was known of the old place; what it grew by is that of the last part. */
static void move_range(struct list *list, const struct sksm_site_event *event)
{
	const uint64_t bytes = event->from_end - event->from;
	uint64_t last = event->stack ? event->stack : last_stack(list, event->from_end);
	unsigned int i;

	if (event->from != event->start) {
		set_range(list, event->start, event->end, event->stack);
		/* The old place is cut off as it is read, so that each part is seen once. */
		while ((i = find_behind(list, event->from)) < list->count &&
		       list->range[i].start < event->from_end) {
			struct sksm_site_range part = clip(&list->range[i], event->from,
							   event->from_end);
			uint64_t by = event->start - event->from;
			struct sksm_site_range to = { part.start + by, part.end + by, part.stack };

			set_range(list, part.start, part.end, 0);
			to = clip(&to, event->start, event->end);
			if (to.start < to.end && !event->stack)
				set_range(list, to.start, to.end, to.stack);
		}
	}
	if (event->end - event->start > bytes)
		set_range(list, event->start + bytes, event->end, last);
}

static void apply(struct list *list, const struct sksm_site_event *event)
{
	if (event->from)
		move_range(list, event);
	else
		set_range(list, event->start, event->end, event->stack);
}

/* An event that was read, and where it stands. */
struct taken {
	struct sksm_site_event event;
	unsigned int slot;
};

/* Ascending by state, which says when. */
static void sort_events(struct taken *list, unsigned int count)
{
	/* Shell's sort: no recursion, no memory, and there are not many. */
	for (unsigned int gap = count / 2; gap; gap /= 2)
		for (unsigned int i = gap; i < count; i++) {
			struct taken taken = list[i];
			unsigned int j = i;

			for (; j >= gap && list[j - gap].event.state > taken.event.state; j -= gap)
				list[j] = list[j - gap];
			list[j] = taken;
		}
}

/*
 * The events with tickets from before the first look: whatever happened before one of them is in
 * the table by then. Of later ones we might meet the second and have passed where the first stands;
 * they are for the next time.
 */
static unsigned int read_events(struct sksm_sites *sites, struct taken *ret)
{
	const uint64_t now = __atomic_load_n(&sites->sequence, __ATOMIC_ACQUIRE);
	unsigned int count = 0;

	for (unsigned int i = 0; i < SKSM_SITE_EVENTS; i++) {
		struct sksm_site_event *event = &sites->events[i];
		uint64_t state = __atomic_load_n(&event->state, __ATOMIC_ACQUIRE);

		if (!state || state & 1 || state > now)
			continue;
		ret[count].event = *event;
		ret[count].event.state = state;
		ret[count].slot = i;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* A hook took it meanwhile for something newer. */
		if (__atomic_load_n(&event->state, __ATOMIC_RELAXED) == state)
			count++;
	}
	return count;
}

/*
 * Free what was applied, the oldest first: a child that is forked meanwhile applies the rest once
 * more, and comes to the same.
 */
static void free_events(struct sksm_sites *sites, const struct taken *list, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t state = list[i].event.state;

		__atomic_compare_exchange_n(&sites->events[list[i].slot].state, &state, 0, false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
}

bool sksm_site_collect(struct sksm_sites *sites, struct sksm_arena *arena)
{
	const size_t bytes = SKSM_SITE_EVENTS * sizeof(struct taken);
	uint64_t noted = __atomic_load_n(&sites->noted, __ATOMIC_ACQUIRE);
	struct list list = begin_list(sites);
	struct taken *events;
	unsigned int count;

	if (noted == sites->collected)
		return false;
	events = sksm_arena_alloc(arena, bytes);
	count = events ? read_events(sites, events) : 0;
	if (count) {
		sort_events(events, count);
		list.count = sites->range_count[sites->current];
		memcpy(list.range, sites->ranges[sites->current],
		       list.count * sizeof(*list.range));
		for (unsigned int i = 0; i < count; i++)
			apply(&list, &events[i].event);
		publish_list(&list);
		free_events(sites, events, count);
	}
	/* Last: a child that is forked before does it once more. */
	if (events)
		sites->collected = noted;
	sksm_arena_free(arena, events, bytes);
	return count != 0;
}

void sksm_site_prune(struct sksm_sites *sites, const struct sksm_ranges *mapped)
{
	const struct sksm_site_range *old = sites->ranges[sites->current];
	struct list list = begin_list(sites);
	struct sksm_range part;

	for (unsigned int i = 0; i < sites->range_count[sites->current]; i++)
		for (uint64_t at = old[i].start;
		     sksm_ranges_clip(mapped, at, old[i].end, &part); at = part.end)
			append(&list, part.start, part.end, old[i].stack);
	publish_list(&list);
}

void sksm_site_adopt(struct sksm_sites *sites, uint32_t pid)
{
	if (sites->owner == pid)
		return;
	sites->owner = pid;
	memset(sites->writes, 0, sizeof(sites->writes));
	memset(sites->breaks, 0, sizeof(sites->breaks));
	memset(sites->lived_ms, 0, sizeof(sites->lived_ms));
	for (unsigned int i = 0; i < SKSM_SITE_SLOTS; i++)
		if (sites->slots[i]) {
			struct sksm_site_stack *stack = sksm_site_get(sites, sites->slots[i]);

			stack->writes = 0;
			stack->breaks = 0;
			stack->lived_ms = 0;
		}
}
