/* SPDX-License-Identifier: MIT */
#define SKSM_HASH_ARENA (blocks->arena)
#include "block.h"

#include <string.h>

void sksm_blocks_init(struct sksm_blocks *blocks, struct sksm_arena *arena)
{
	memset(blocks, 0, sizeof(*blocks));
	blocks->arena = arena;
}

struct sksm_block *sksm_blocks_find(const struct sksm_blocks *blocks, uint64_t number)
{
	struct sksm_block *block;

	HASH_FIND(hh, blocks->table, &number, sizeof(number), block);
	return block;
}

struct sksm_block *sksm_blocks_get(struct sksm_blocks *blocks, uint64_t number)
{
	struct sksm_block *block = sksm_blocks_find(blocks, number);

	if (block)
		return block;
	block = sksm_arena_alloc(blocks->arena, sizeof(*block));
	if (!block)
		return NULL;
	block->number = number;
	block->count[SKSM_PAGE_NONE] = SKSM_BLOCK_PAGES;
	HASH_ADD(hh, blocks->table, number, sizeof(number), block);
	if (!block->hh.tbl) {
		/* HASH_NONFATAL_OOM: not added. */
		sksm_arena_free(blocks->arena, block, sizeof(*block));
		return NULL;
	}
	blocks->total[SKSM_PAGE_NONE] += SKSM_BLOCK_PAGES;
	return block;
}

void sksm_blocks_delete(struct sksm_blocks *blocks, struct sksm_block *block)
{
	for (int i = 0; i < SKSM_PAGE_STATES; i++)
		blocks->total[i] -= block->count[i];
	for (unsigned int i = 0; i < SKSM_BLOCK_WORDS; i++)
		blocks->armed -= (uint64_t)__builtin_popcountll(block->armed[i]);
	HASH_DELETE(hh, blocks->table, block);
	sksm_arena_free(blocks->arena, block->digests, sizeof(*block->digests));
	sksm_arena_free(blocks->arena, block, sizeof(*block));
}

static bool is_watched_only(uint8_t state)
{
	return state == SKSM_PAGE_LOOSE || state == SKSM_PAGE_ARMED;
}

void sksm_block_set(struct sksm_blocks *blocks, struct sksm_block *block, unsigned int page,
		    enum sksm_page_state state)
{
	uint8_t old = block->state[page];

	blocks->changes += old != state && !(is_watched_only(old) && is_watched_only(state));
	block->count[old]--;
	block->count[state]++;
	blocks->total[old]--;
	blocks->total[state]++;
	block->state[page] = (uint8_t)state;
	if (state == SKSM_PAGE_NONE)
		sksm_bit_clear(block->present, page);
	else
		sksm_bit_set(block->present, page);
	blocks->armed -= sksm_bit(block->armed, page);
	if (state >= SKSM_PAGE_ARMED && !block->huge) {
		sksm_bit_set(block->armed, page);
		blocks->armed++;
	} else {
		sksm_bit_clear(block->armed, page);
	}
}
