/* SPDX-License-Identifier: MIT */
#include "near.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "near_words.h"
#include "pages.h"
#include "process.h"
#include "text.h"

#include "tracker/abi.h"

#define CHUNKS 16u
#define CHUNK_BYTES (SKSM_PAGE_BYTES / CHUNKS)
#define NOBODY UINT32_MAX
/* More different bytes than this, not counting pointers, are another content. */
#define NEAR_BYTES 512u

struct page {
	uint64_t digest;
	uint64_t address;
	uint32_t process;
	uint32_t chunks[CHUNKS];	/* digests without pointers; 0: all zeros */
};

struct candidate {
	uint32_t by_chunk[CHUNKS];	/* another page with the same chunk there */
};

struct finding {
	struct sksm_near *result;
	const struct sksm_near_query *query;
	struct sksm_pages *processes;
	char (*comms)[SKSM_COMM_MAX];
	struct page *pages;
	size_t used;
	size_t room;
	uint32_t process;
	const struct sksm_pages_area *hint;	/* of the process: where its last pointer went */
	uint64_t zero_digest;
	uint32_t *order;		/* page numbers, sorted by what is looked for */
	struct candidate *candidates;	/* by page number */
	unsigned int chunk;		/* that is being sorted by */
};

static const unsigned char zeros[SKSM_PAGE_BYTES];

static void label_page(const struct finding *finding, const struct page *page,
		       char ret[SKSM_NEAR_LABEL_MAX])
{
	const struct sksm_near_query *query = finding->query;
	const struct sksm_pages_area *area =
		sksm_pages_area_of(&finding->processes[page->process], page->address);
	const char *name = area ? area->name : "";
	const char *site = query->site_of ? query->site_of(query->arg, page->process,
							   page->address, name) : NULL;
	char label[SKSM_NEAR_LABEL_MAX];

	snprintf(label, sizeof(label), "%.15s %.239s", finding->comms[page->process],
		 site ? site : *name ? name : "[anonymous]");
	sksm_text_clean(ret, SKSM_NEAR_LABEL_MAX, label);
}

static int make_room(struct finding *finding)
{
	size_t room = finding->room ? finding->room * 2 : 4096;
	void *list;

	if (finding->used < finding->room)
		return 0;
	list = reallocarray(finding->pages, room, sizeof(*finding->pages));
	if (!list)
		return -ENOMEM;
	finding->pages = list;
	finding->room = room;
	return 0;
}

static void take_page(struct finding *finding, struct page *page, uint64_t address,
		      const unsigned char *bytes)
{
	unsigned char masked[SKSM_PAGE_BYTES];

	page->digest = XXH3_64bits(bytes, SKSM_PAGE_BYTES);
	page->address = address;
	page->process = finding->process;
	sksm_near_mask(masked, bytes, &finding->processes[finding->process], &finding->hint);
	for (unsigned int chunk = 0; chunk < CHUNKS; chunk++) {
		const unsigned char *start = masked + chunk * CHUNK_BYTES;

		page->chunks[chunk] = !memcmp(start, zeros, CHUNK_BYTES) ? 0 :
				      (uint32_t)XXH3_64bits(start, CHUNK_BYTES) | 1;
	}
}

static int take_pages(void *arg, const struct sksm_pages_area *area, uint64_t address,
		      const unsigned char *bytes, const uint64_t *entries, unsigned int count)
{
	struct finding *finding = arg;

	for (unsigned int i = 0; i < count; i++, bytes += SKSM_PAGE_BYTES) {
		finding->result->pages++;
		if (finding->used >= finding->query->max_pages) {
			finding->result->left_out++;
			continue;
		}
		if (make_room(finding))
			return -ENOMEM;
		take_page(finding, &finding->pages[finding->used++],
			  address + (uint64_t)i * SKSM_PAGE_BYTES, bytes);
	}
	return 0;
}

static int compare_digests(const void *a, const void *b, void *arg)
{
	const struct finding *finding = arg;
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	uint64_t x = finding->pages[left].digest, y = finding->pages[right].digest;

	return x != y ? (x < y ? -1 : 1) : left < right ? -1 : left > right;
}

static int compare_chunks(const void *a, const void *b, void *arg)
{
	const struct finding *finding = arg;
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	uint32_t x = finding->pages[left].chunks[finding->chunk];
	uint32_t y = finding->pages[right].chunks[finding->chunk];

	return x != y ? (x < y ? -1 : 1) : left < right ? -1 : left > right;
}

static void note_content(struct finding *finding, const struct page *page, uint64_t copies)
{
	struct sksm_near_content *top = finding->result->top;
	size_t at = SKSM_NEAR_TOP;

	while (at > 0 && top[at - 1].copies < copies)
		at--;
	if (at == SKSM_NEAR_TOP)
		return;
	memmove(&top[at + 1], &top[at], (SKSM_NEAR_TOP - 1 - at) * sizeof(*top));
	top[at].copies = copies;
	label_page(finding, page, top[at].label);
}

/* Count contents; what is left in order is one page of each, the zero page excepted. */
static size_t count_contents(struct finding *finding)
{
	struct sksm_near *result = finding->result;
	uint32_t *order = finding->order;
	size_t kept = 0, from, to;

	for (from = 0; from < finding->used; from = to) {
		const struct page *page = &finding->pages[order[from]];

		for (to = from + 1; to < finding->used &&
		     finding->pages[order[to]].digest == page->digest; to++)
			;
		if (page->digest == finding->zero_digest) {
			result->zero_pages += to - from;
			continue;
		}
		if (to - from >= SKSM_NEAR_MANY) {
			result->many_contents++;
			result->many_pages += to - from;
		} else if (to - from >= 2) {
			result->few_contents++;
			result->few_pages += to - from;
		}
		if (to - from >= 2)
			note_content(finding, page, to - from);
		order[kept++] = order[from];
	}
	return kept;
}

static void find_candidates(struct finding *finding, size_t count)
{
	for (finding->chunk = 0; finding->chunk < CHUNKS; finding->chunk++) {
		unsigned int chunk = finding->chunk;

		qsort_r(finding->order, count, sizeof(*finding->order), compare_chunks, finding);
		for (size_t i = 0; i < count; i++) {
			const struct page *page = &finding->pages[finding->order[i]];
			uint32_t *candidate =
				&finding->candidates[finding->order[i]].by_chunk[chunk];

			*candidate = i && page->chunks[chunk] &&
				     finding->pages[finding->order[i - 1]].chunks[chunk] ==
				     page->chunks[chunk] ? finding->order[i - 1] : NOBODY;
		}
	}
}

/* The page that shares most chunks with @number, all of them numbered lower. NOBODY: none. */
static uint32_t best_candidate(const struct finding *finding, uint32_t number)
{
	const uint32_t *by_chunk = finding->candidates[number].by_chunk;
	unsigned int most = 0;
	uint32_t best = NOBODY;

	for (unsigned int i = 0; i < CHUNKS; i++) {
		unsigned int votes = 0;

		for (unsigned int j = 0; j < CHUNKS && by_chunk[i] != NOBODY; j++)
			votes += by_chunk[j] == by_chunk[i];
		if (votes > most) {
			most = votes;
			best = by_chunk[i];
		}
	}
	return best;
}

static struct sksm_near_place *place_of(struct sksm_near *result, const char *label)
{
	struct sksm_near_place *list;

	for (size_t i = 0; i < result->place_count; i++)
		if (!strcmp(result->places[i].label, label))
			return &result->places[i];
	list = reallocarray(result->places, result->place_count + 1, sizeof(*list));
	if (!list)
		return NULL;
	result->places = list;
	list += result->place_count++;
	memset(list, 0, sizeof(*list));
	snprintf(list->label, sizeof(list->label), "%s", label);
	return list;
}

static int note_near(struct finding *finding, const struct page *page,
		     const struct sksm_near_difference *difference)
{
	struct sksm_near *result = finding->result;
	char label[SKSM_NEAR_LABEL_MAX];
	struct sksm_near_place *place;

	label_page(finding, page, label);
	place = place_of(result, label);
	if (!place)
		return -ENOMEM;
	result->near_pages++;
	result->by_cause[difference->cause]++;
	place->pages++;
	place->by_cause[difference->cause]++;
	for (unsigned int word = 0; word < SKSM_NEAR_WORDS; word++) {
		result->words[word] += difference->words[word];
		place->words[word] += difference->words[word];
	}
	return 0;
}

static int judge_page(struct finding *finding, uint32_t number)
{
	unsigned char bytes[SKSM_PAGE_BYTES], others[SKSM_PAGE_BYTES];
	const struct page *page = &finding->pages[number], *other;
	uint32_t best = best_candidate(finding, number);
	struct sksm_near_difference difference;

	if (best == NOBODY)
		return 0;
	other = &finding->pages[best];
	if (!sksm_pages_read(&finding->processes[page->process], page->address, bytes) ||
	    !sksm_pages_read(&finding->processes[other->process], other->address, others))
		return 0;
	sksm_near_compare(bytes, &finding->processes[page->process], others,
			  &finding->processes[other->process], &difference);
	if (!difference.bytes || difference.bytes - difference.pointer_bytes > NEAR_BYTES)
		return 0;
	return note_near(finding, page, &difference);
}

static int compare_places(const void *a, const void *b)
{
	uint64_t left = ((const struct sksm_near_place *)a)->pages;
	uint64_t right = ((const struct sksm_near_place *)b)->pages;

	return left > right ? -1 : left < right;
}

static int judge_all(struct finding *finding)
{
	size_t count, i;
	int error = 0;

	finding->order = calloc(finding->used, sizeof(*finding->order));
	finding->candidates = calloc(finding->used, sizeof(*finding->candidates));
	if (!finding->order || !finding->candidates)
		return -ENOMEM;
	for (i = 0; i < finding->used; i++)
		finding->order[i] = (uint32_t)i;
	qsort_r(finding->order, finding->used, sizeof(*finding->order), compare_digests, finding);
	count = count_contents(finding);
	find_candidates(finding, count);
	for (i = 0; i < count && !error; i++)
		error = judge_page(finding, finding->order[i]);
	if (finding->result->place_count)
		qsort(finding->result->places, finding->result->place_count,
		      sizeof(*finding->result->places), compare_places);
	return error;
}

/* Processes that cannot be read stay without areas. */
static int read_process(struct finding *finding, pid_t pid)
{
	struct sksm_pages *pages = &finding->processes[finding->process];
	struct sksm_process process;
	int error = sksm_process_read(pid, &process);

	if (!error)
		error = sksm_pages_open(pages, pid);
	if (error)
		return error;
	memcpy(finding->comms[finding->process], process.comm, SKSM_COMM_MAX);
	return sksm_pages_walk(pages, take_pages, finding);
}

static int find(struct finding *finding, int *errors)
{
	size_t count = finding->query->count;

	if (!finding->processes || !finding->comms)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		finding->processes[i].pagemap = -1;
	for (size_t i = 0; i < count; i++) {
		finding->process = (uint32_t)i;
		finding->hint = NULL;
		errors[i] = read_process(finding, finding->query->pids[i]);
		if (errors[i] == -ENOMEM)
			return -ENOMEM;
	}
	return finding->used ? judge_all(finding) : 0;
}

int sksm_near_find(struct sksm_near *ret, const struct sksm_near_query *query, int *errors)
{
	size_t count = query->count;
	struct sksm_near result = { 0 };
	struct finding finding = {
		.result = &result,
		.query = query,
		.zero_digest = XXH3_64bits(zeros, SKSM_PAGE_BYTES),
		.processes = calloc(count, sizeof(*finding.processes)),
		.comms = calloc(count, sizeof(*finding.comms)),
	};
	int error = find(&finding, errors);

	for (size_t i = 0; finding.processes && i < count; i++)
		if (finding.processes[i].pagemap >= 0)
			sksm_pages_close(&finding.processes[i]);
	free(finding.processes);
	free(finding.comms);
	free(finding.pages);
	free(finding.order);
	free(finding.candidates);
	if (error)
		sksm_near_fini(&result);
	else
		*ret = result;
	return error;
}

void sksm_near_fini(struct sksm_near *near)
{
	free(near->places);
	near->places = NULL;
	near->place_count = 0;
}
