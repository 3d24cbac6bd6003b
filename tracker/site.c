/* SPDX-License-Identifier: MIT */
/* The side of the hooks: stacks, and the log of what happened to mappings. */
#include "site.h"

#include <link.h>
#include <string.h>

#include "abi.h"

#define PROBES 8
#define NOINLINE __attribute__((noinline))

static uint64_t mix(uint64_t value)
{
	value *= 0x9e3779b97f4a7c15ull;
	return value ^ value >> 32;
}

/* ---- stacks ---- */

static void copy_path(char *ret, const char *path)
{
	size_t length = path ? strlen(path) : 0;

	if (length >= SKSM_SITE_PATH_MAX)
		length = 0;
	memcpy(ret, path, length);
	ret[length] = '\0';
}

/* The number of the module at @object, SKSM_SITE_MODULES: there is no room. */
static NOINLINE unsigned int find_module(struct sksm_sites *sites,
					  const struct dl_find_object *object, uint32_t pid)
{
	uint64_t base = (uintptr_t)object->dlfo_map_start;
	uint8_t build_id[SKSM_BUILD_ID_MAX] = { 0 };
	unsigned int bytes = sksm_module_build_id(base, build_id), i;

	for (i = 0; i < SKSM_SITE_MODULES; i++) {
		struct sksm_site_module *module = &sites->modules[i];
		uint64_t state = __atomic_load_n(&module->state, __ATOMIC_ACQUIRE);

		if (state == SKSM_SITE_READY && module->base == base &&
		    module->build_id_bytes == bytes &&
		    memcmp(module->build_id, build_id, bytes) == 0)
			break;
		/* Two threads may enter the same one: it is there twice. */
		if (state || !__atomic_compare_exchange_n(&module->state, &state, pid * 2ull + 1,
							  false, __ATOMIC_RELAXED,
							  __ATOMIC_RELAXED))
			continue;
		module->base = base;
		module->build_id_bytes = bytes;
		memcpy(module->build_id, build_id, sizeof(build_id));
		copy_path(module->path, object->dlfo_link_map->l_name);
		__atomic_store_n(&module->state, SKSM_SITE_READY, __ATOMIC_RELEASE);
		break;
	}
	return i;
}

static uint64_t encode_frame(struct sksm_sites *sites, const struct sksm_unwinder *unwinder,
			     uint64_t pc, uint32_t pid)
{
	unsigned int module = SKSM_SITE_MODULES;
	struct dl_find_object object;

	if (!unwinder->find_object((void *)pc, &object)) {
		module = find_module(sites, &object, pid);
		pc -= object.dlfo_link_map->l_addr;
	}
	return (uint64_t)module << 48 | (pc & ((1ull << 48) - 1));
}

/* What a hook has at hand: small, since it may run on a small stack. */
struct call {
	struct sksm_sites *sites;
	const struct sksm_unwinder *unwinder;
	struct sksm_frame frame;
	unsigned int count;	/* frames of its stack */
	uint32_t pid;
	uint64_t hash;
};

/* A new record in the words; the stack is walked once more, into it. 0: no room. */
static NOINLINE uint64_t add_stack(const struct call *call)
{
	uint64_t size = SKSM_SITE_HEAD_WORDS + call->count, id, hash;
	struct sksm_sites *sites = call->sites;
	struct sksm_site_stack *stack;

	if (__atomic_load_n(&sites->words_used, __ATOMIC_RELAXED) + size + 1 > SKSM_SITE_WORDS)
		return 0;
	/* The first word stays free: no stack has the id 0. */
	id = __atomic_fetch_add(&sites->words_used, size, __ATOMIC_RELAXED) + 1;
	if (id + size > SKSM_SITE_WORDS)
		return 0;
	stack = sksm_site_get(sites, id);
	stack->hash = call->hash;
	stack->count = sksm_unwind(call->unwinder, call->frame, stack->frame, call->count, &hash);
	for (uint64_t i = 0; i < stack->count; i++)
		stack->frame[i] = encode_frame(sites, call->unwinder, stack->frame[i], call->pid);
	return id;
}

/* Where several threads meet the same new stack, all but one leave a record that nobody uses. */
static uint64_t find_stack(const struct call *call)
{
	struct sksm_sites *sites = call->sites;
	uint64_t added = 0;

	for (unsigned int i = 0; i < PROBES; i++) {
		uint32_t *slot = &sites->slots[(mix(call->hash) + i) % SKSM_SITE_SLOTS];
		uint32_t id = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

		if (!id) {
			if (!added)
				added = add_stack(call);
			if (!added)
				return 0;
			if (__atomic_compare_exchange_n(slot, &id, (uint32_t)added, false,
							__ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
				return added;
		}
		if (sksm_site_get(sites, id)->hash == call->hash)
			return id;
	}
	return 0;
}

uint64_t sksm_site_stack(struct sksm_sites *sites, const struct sksm_unwinder *unwinder,
			 struct sksm_frame frame, unsigned int frames, uint32_t pid)
{
	struct call call = { .sites = sites, .unwinder = unwinder, .frame = frame, .pid = pid };
	uint64_t id;

	call.count = sksm_unwind(unwinder, frame, NULL, frames, &call.hash);
	if (!call.count)
		return 0;
	id = find_stack(&call);
	if (!id)
		__atomic_add_fetch(&sites->lost, 1, __ATOMIC_RELAXED);
	return id;
}

/* ---- the log ---- */

/* Is @event a whole one about what lies in [start, end)? Then a later one may take its place. */
static bool is_covered(const struct sksm_site_event *event, uint64_t start, uint64_t end)
{
	return event->start >= start && event->end <= end;
}

/*
 * An entry near @start that is free, was left half-written in our parent, or is about memory that
 * the new event is about as a whole; claimed for writing. NULL: there is none.
 */
static struct sksm_site_event *claim_event(struct sksm_sites *sites, uint32_t pid, uint64_t start,
					   uint64_t end)
{
	uint64_t claim = pid * 2ull + 1;

	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t at = (mix(start / SKSM_PAGE_BYTES) + i) % SKSM_SITE_EVENTS;
		struct sksm_site_event *event = &sites->events[at];
		uint64_t state = __atomic_load_n(&event->state, __ATOMIC_ACQUIRE);
		bool usable = !state || (state & 1 ? state != claim :
					 is_covered(event, start, end));

		if (usable && __atomic_compare_exchange_n(&event->state, &state, claim, false,
							  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return event;
	}
	__atomic_add_fetch(&sites->lost, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void write_event(struct sksm_sites *sites, uint32_t pid, uint64_t ticket,
			const struct sksm_site_event *from)
{
	struct sksm_site_event *event;

	if (from->start >= from->end)
		return;
	event = claim_event(sites, pid, from->start, from->end);
	if (!event)
		return;
	event->start = from->start;
	event->end = from->end;
	event->from = from->from;
	event->from_end = from->from_end;
	event->stack = from->stack;
	__atomic_store_n(&event->state, ticket, __ATOMIC_RELEASE);
	__atomic_add_fetch(&sites->noted, 1, __ATOMIC_RELEASE);
}

void sksm_site_note(struct sksm_sites *sites, uint32_t pid, uint64_t ticket, uint64_t start,
		    uint64_t end, uint64_t stack)
{
	struct sksm_site_event event = { .start = start, .end = end, .stack = stack };

	write_event(sites, pid, ticket, &event);
}

/* The stack of the mapping at @start, where the log has it still. */
static uint64_t find_noted(struct sksm_sites *sites, uint64_t start)
{
	uint64_t latest = 0, stack = 0;

	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t at = (mix(start / SKSM_PAGE_BYTES) + i) % SKSM_SITE_EVENTS;
		const struct sksm_site_event *event = &sites->events[at];
		uint64_t state = __atomic_load_n(&event->state, __ATOMIC_ACQUIRE);

		if (state & 1 || state <= latest || event->start != start || event->from)
			continue;
		latest = state;
		stack = event->stack;
	}
	return stack;
}

void sksm_site_note_move(struct sksm_sites *sites, uint32_t pid, uint64_t ticket, uint64_t from,
			 uint64_t from_end, uint64_t start, uint64_t end)
{
	struct sksm_site_event event = {
		.start = start, .end = end, .from = from, .from_end = from_end,
	};

	/* What the log has of the old place may be written over before our thread sees it. */
	event.stack = find_noted(sites, from);
	write_event(sites, pid, ticket, &event);
}
