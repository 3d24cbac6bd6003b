/* SPDX-License-Identifier: MIT */
#include "mapping.h"

#include <string.h>

#include "abi.h"
#include "arena.h"

/* glibc's arenas for threads: aligned to their largest size (HEAP_MAX_SIZE). */
#define ARENA_BYTES (64ull << 20)
#define GUARD_MAX_BYTES (1ull << 20)

/* Make room for one more in a list of the arena. False without memory. */
static bool grow(struct sksm_arena *arena, void *list_at, unsigned int count,
		 unsigned int *capacity, size_t size)
{
	unsigned int more = *capacity ? *capacity * 2 : 32;
	void *old, *list;

	if (count < *capacity)
		return true;
	memcpy(&old, list_at, sizeof(old));
	list = sksm_arena_alloc(arena, more * size);
	if (!list)
		return false;
	if (count)
		memcpy(list, old, count * size);
	sksm_arena_free(arena, old, *capacity * size);
	memcpy(list_at, &list, sizeof(list));
	*capacity = more;
	return true;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- names ---- */

static const char *name_of(const struct sksm_mappings *mappings, uint32_t name)
{
	return name ? mappings->names + name : "";
}

/* Where @text is among the names; 0: nowhere, for want of room. */
static uint32_t add_name(struct sksm_mappings *mappings, const char *text, size_t length)
{
	uint32_t at;

	if (!length)
		return 0;
	/* Mappings of one name follow one another. */
	for (unsigned int i = mappings->label_count, tries = 0; i-- > 0 && tries < 4; tries++) {
		const char *name = name_of(mappings, mappings->labels[i].name);

		if (strlen(name) == length && memcmp(name, text, length) == 0)
			return mappings->labels[i].name;
	}
	while (mappings->names_used + length + 1 > mappings->names_capacity) {
		unsigned int before = mappings->names_capacity;

		if (before >= SKSM_NAMES_MAX ||
		    !grow(mappings->arena, &mappings->names, before, &mappings->names_capacity, 1))
			return 0;
	}
	at = mappings->names_used;
	memcpy(mappings->names + at, text, length);
	mappings->names[at + length] = '\0';
	mappings->names_used += (unsigned int)length + 1;
	return at;
}

/* ---- labels ---- */

static bool is_library(const char *path)
{
	const char *base = strrchr(path, '/');
	const char *suffix = strstr(base ? base : path, ".so");

	return suffix && (!suffix[3] || suffix[3] == '.');
}

/* Anonymous memory without a name of its own: by what lies around it. */
static enum sksm_owner guess_owner(const struct sksm_mappings *mappings,
				   const struct sksm_vma *vma)
{
	const struct sksm_vma *before = &mappings->before;
	bool touches = before->end == vma->start && before->end != before->start;

	if (touches && before->kind == SKSM_VMA_FILE && before->writable && !before->shared)
		return SKSM_OWNER_LIBRARY;
	if (touches && before->kind == SKSM_VMA_ANON && !before->readable &&
	    before->end - before->start <= GUARD_MAX_BYTES && vma->start % ARENA_BYTES)
		return SKSM_OWNER_STACK;
	if (vma->start % ARENA_BYTES == 0 && vma->end - vma->start == ARENA_BYTES)
		return SKSM_OWNER_ARENA;
	return SKSM_OWNER_UNKNOWN;
}

static enum sksm_owner owner_of(const struct sksm_mappings *mappings, const struct sksm_vma *vma)
{
	if (vma->kind == SKSM_VMA_MEMFD)
		return SKSM_OWNER_MEMFD;
	if (vma->kind == SKSM_VMA_FILE)
		return is_library(vma->name) ? SKSM_OWNER_LIBRARY : SKSM_OWNER_FILE;
	if (strcmp(vma->name, "[heap]") == 0)
		return SKSM_OWNER_HEAP;
	/* glibc names its own where the tunable glibc.mem.decorate_maps is set (2.39). */
	if (starts_with(vma->name, "[anon: glibc: malloc arena"))
		return SKSM_OWNER_ARENA;
	if (starts_with(vma->name, "[anon: glibc: pthread stack"))
		return SKSM_OWNER_STACK;
	return vma->name[0] ? SKSM_OWNER_UNKNOWN : guess_owner(mappings, vma);
}

static void add_label(struct sksm_mappings *mappings, const struct sksm_vma *vma,
		      enum sksm_owner owner)
{
	struct sksm_label *last = mappings->label_count ?
				  &mappings->labels[mappings->label_count - 1] : NULL;
	const char *text = vma->name;
	uint32_t name;

	if (owner == SKSM_OWNER_LIBRARY && !*text)
		name = mappings->before_name;
	else
		name = add_name(mappings, text, strlen(text));
	/* Our own marks cut mappings: what is alike and touches is one. */
	if (last && last->end == vma->start && last->owner == owner &&
	    strcmp(name_of(mappings, last->name), name_of(mappings, name)) == 0 &&
	    vma->start % ARENA_BYTES) {
		last->end = vma->end;
		return;
	}
	if (grow(mappings->arena, &mappings->labels, mappings->label_count,
		 &mappings->label_capacity, sizeof(*mappings->labels)))
		mappings->labels[mappings->label_count++] =
			(struct sksm_label){ vma->start, vma->end, name, (uint8_t)owner };
}

/* The unreadable rest of an arena, to its end, shows what lies before it. */
static void notice_arena(struct sksm_mappings *mappings, const struct sksm_vma *vma)
{
	struct sksm_label *last = mappings->label_count ?
				  &mappings->labels[mappings->label_count - 1] : NULL;

	if (last && last->end == vma->start && last->owner == SKSM_OWNER_UNKNOWN && !last->name &&
	    vma->kind == SKSM_VMA_ANON && !vma->readable && last->start % ARENA_BYTES == 0 &&
	    vma->end == last->start + ARENA_BYTES)
		last->owner = SKSM_OWNER_ARENA;
}

void sksm_mappings_see(void *arg, const struct sksm_vma *vma, bool eligible)
{
	struct sksm_mappings *mappings = arg;

	if (!mappings->sites)
		return;
	sksm_ranges_append(&mappings->mapped, mappings->arena, vma->start, vma->end);
	if (eligible)
		add_label(mappings, vma, owner_of(mappings, vma));
	else
		notice_arena(mappings, vma);
	/* The name is for the .bss behind the data of a library. */
	mappings->before_name = 0;
	if (vma->kind == SKSM_VMA_FILE && vma->writable)
		mappings->before_name = add_name(mappings, vma->name, strlen(vma->name));
	mappings->before = *vma;
	mappings->before.name = "";
}

/* ---- mappings ---- */

void sksm_mappings_begin(struct sksm_mappings *mappings)
{
	if (!mappings->sites)
		return;
	sksm_site_collect(mappings->sites, mappings->arena);
	mappings->fresh = false;
	mappings->label_count = 0;
	/* The names of the last list are gone with this, which is not fresh any more. */
	mappings->names_used = 1;
	mappings->mapped.count = 0;
	memset(&mappings->before, 0, sizeof(mappings->before));
	mappings->before.name = "";
}

/* A list that is being made; @old is that of the last pass. */
struct making {
	struct sksm_mappings *mappings;
	const struct sksm_mapping *old;
	unsigned int old_count;
	unsigned int old_at;
};

/* What was counted in the same mapping before goes on. */
static void carry_over(struct making *making, struct sksm_mapping *mapping)
{
	const struct sksm_mapping *old = making->old;

	while (making->old_at < making->old_count && old[making->old_at].start < mapping->start)
		making->old_at++;
	old += making->old_at;
	if (making->old_at == making->old_count || old->start != mapping->start ||
	    old->owner != mapping->owner || old->stack != mapping->stack)
		return;
	mapping->gain = old->gain;
	for (unsigned int i = SKSM_TALLY_WRITES; i < SKSM_TALLIES; i++)
		mapping->tally[i] = old->tally[i];
}

static void append(struct making *making, uint64_t start, uint64_t end, uint64_t stack,
		   const struct sksm_label *label)
{
	struct sksm_mappings *mappings = making->mappings;
	struct sksm_mapping *last = mappings->count ? &mappings->list[mappings->count - 1] : NULL;
	struct sksm_mapping mapping = { .start = start, .end = end, .stack = stack };

	mapping.owner = stack ? SKSM_OWNER_SITE : label ? label->owner : SKSM_OWNER_UNKNOWN;
	/* Of what a site made, the library below it is only a neighbour. */
	mapping.name = label && !(stack && label->owner == SKSM_OWNER_LIBRARY) ? label->name : 0;
	if (last && last->end == start && last->owner == mapping.owner && last->stack == stack &&
	    last->name == mapping.name) {
		last->end = end;
		return;
	}
	/* Beyond what is kept, all is one. */
	if (mappings->count == SKSM_MAPPINGS_MAX ||
	    !grow(mappings->arena, &mappings->list, mappings->count, &mappings->capacity,
		  sizeof(*mappings->list))) {
		if (last) {
			last->owner = SKSM_OWNER_UNKNOWN;
			last->name = 0;
			last->stack = 0;
			last->end = end;
		}
		return;
	}
	carry_over(making, &mapping);
	mappings->list[mappings->count++] = mapping;
}

/* Cut [start, end), which is all of @label (NULL: not in the map), where call sites begin. */
static void add_sites(struct making *making, uint64_t start, uint64_t end,
		      const struct sksm_label *label, unsigned int *at)
{
	unsigned int count;
	const struct sksm_site_range *range = sksm_site_ranges(making->mappings->sites, &count);

	while (start < end) {
		uint64_t until = end, stack = 0;

		while (*at < count && range[*at].end <= start)
			(*at)++;
		if (*at < count && range[*at].start <= start) {
			stack = range[*at].stack;
			until = range[*at].end < end ? range[*at].end : end;
		} else if (*at < count && range[*at].start < end) {
			until = range[*at].start;
		}
		append(making, start, until, stack, label);
		start = until;
	}
}

void sksm_mappings_end(struct sksm_mappings *mappings, const struct sksm_ranges *watched)
{
	struct making making = { .mappings = mappings, .old = mappings->list,
				 .old_count = mappings->count };
	unsigned int old_capacity = mappings->capacity, label = 0, site = 0;

	if (!mappings->sites)
		return;
	sksm_site_prune(mappings->sites, &mappings->mapped);
	mappings->fresh = true;
	mappings->list = NULL;
	mappings->count = mappings->capacity = 0;
	for (unsigned int i = 0; i < watched->count; i++) {
		uint64_t at = watched->list[i].start, end = watched->list[i].end;

		while (at < end) {
			const struct sksm_label *here = NULL;
			uint64_t until = end;

			while (label < mappings->label_count && mappings->labels[label].end <= at)
				label++;
			if (label < mappings->label_count && mappings->labels[label].start < end) {
				here = &mappings->labels[label];
				until = here->start <= at ? here->end : here->start;
				here = here->start <= at ? here : NULL;
			}
			until = until < end ? until : end;
			add_sites(&making, at, until, here, &site);
			at = until;
		}
	}
	sksm_arena_free(mappings->arena, (void *)making.old, old_capacity * sizeof(*making.old));
}

void sksm_mappings_free(struct sksm_mappings *mappings)
{
	struct sksm_arena *arena = mappings->arena;

	sksm_arena_free(arena, mappings->labels,
			mappings->label_capacity * sizeof(*mappings->labels));
	sksm_arena_free(arena, mappings->list, mappings->capacity * sizeof(*mappings->list));
	sksm_arena_free(arena, mappings->names, mappings->names_capacity);
	sksm_ranges_free(&mappings->mapped, arena);
	memset(mappings, 0, sizeof(*mappings));
}

unsigned int sksm_mappings_behind(const struct sksm_mappings *mappings, uint64_t address)
{
	unsigned int low = 0, high = mappings->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (mappings->list[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct sksm_mapping *sksm_mappings_find(const struct sksm_mappings *mappings, uint64_t address)
{
	unsigned int i = sksm_mappings_behind(mappings, address);

	return i < mappings->count && mappings->list[i].start <= address ? &mappings->list[i] :
	       NULL;
}

void sksm_mappings_note_write(struct sksm_mappings *mappings, uint64_t address, bool broke,
			      uint64_t lived_ms)
{
	struct sksm_mapping *mapping;
	enum sksm_owner owner = SKSM_OWNER_UNKNOWN;

	if (!mappings->sites)
		return;
	lived_ms = broke ? lived_ms : 0;
	mapping = sksm_mappings_find(mappings, address);
	if (mapping) {
		owner = mapping->owner;
		mapping->tally[SKSM_TALLY_WRITES]++;
		mapping->tally[SKSM_TALLY_BREAKS] += broke;
		mapping->tally[SKSM_TALLY_LIVED_MS] += lived_ms;
	}
	if (owner == SKSM_OWNER_SITE) {
		struct sksm_site_stack *stack = sksm_site_get(mappings->sites, mapping->stack);

		stack->writes++;
		stack->breaks += broke;
		stack->lived_ms += lived_ms;
	} else {
		mappings->sites->writes[owner]++;
		mappings->sites->breaks[owner] += broke;
		mappings->sites->lived_ms[owner] += lived_ms;
	}
}

void sksm_mappings_gain(void *arg, uint64_t start, uint64_t end, uint64_t bytes)
{
	struct sksm_mappings *mappings = arg;
	unsigned int i = sksm_mappings_behind(mappings, start);

	/* A mapping of the kernel's that lies over several of ours: by length. */
	for (; i < mappings->count && mappings->list[i].start < end; i++) {
		struct sksm_mapping *mapping = &mappings->list[i];
		uint64_t from = mapping->start > start ? mapping->start : start;
		uint64_t to = mapping->end < end ? mapping->end : end;

		mapping->gain += (uint64_t)((unsigned __int128)bytes * (to - from) / (end - start));
	}
}

void sksm_mappings_clear_gains(struct sksm_mappings *mappings)
{
	for (unsigned int i = 0; i < mappings->count; i++)
		mappings->list[i].gain = 0;
}
