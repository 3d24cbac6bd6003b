/* SPDX-License-Identifier: MIT */
#include "rig.h"

struct table {
	struct sksm_arena arena;
	struct sksm_blocks blocks;
};

static void make_table(struct table *table)
{
	inject_reset();
	unit_make_arena(&table->arena, &inject_sys, 64 * MIB);
	sksm_blocks_init(&table->blocks, &table->arena);
}

Test(block, find_get_delete)
{
	struct sksm_block *block;
	struct table table;

	make_table(&table);
	cr_assert_null(sksm_blocks_find(&table.blocks, 5));
	block = sksm_blocks_get(&table.blocks, 5);
	cr_assert_not_null(block);
	cr_assert_eq(sksm_block_start(block), 5 * SKSM_BLOCK_BYTES);
	cr_assert_eq(sksm_page_address(block, 511), 6 * SKSM_BLOCK_BYTES - PAGE);
	cr_assert_eq(sksm_blocks_get(&table.blocks, 5), block);
	cr_assert_eq(sksm_blocks_find(&table.blocks, 5), block);
	cr_assert_eq(block->count[SKSM_PAGE_NONE], SKSM_BLOCK_PAGES);
	cr_assert_eq(table.blocks.total[SKSM_PAGE_NONE], SKSM_BLOCK_PAGES);
	sksm_blocks_delete(&table.blocks, block);
	cr_assert_null(sksm_blocks_find(&table.blocks, 5));
	cr_assert_eq(table.blocks.total[SKSM_PAGE_NONE], 0);
	sksm_arena_fini(&table.arena);
}

/* Samples of hot memory are armed and written all the time. */
Test(block, to_be_watched_is_no_change)
{
	static const struct {
		enum sksm_page_state state;
		uint64_t changes;	/* until then */
	} steps[] = {
		{ SKSM_PAGE_LOOSE, 1 }, { SKSM_PAGE_ARMED, 1 }, { SKSM_PAGE_LOOSE, 1 },
		{ SKSM_PAGE_ARMED, 1 }, { SKSM_PAGE_UNIQUE, 2 }, { SKSM_PAGE_UNIQUE, 2 },
		{ SKSM_PAGE_TWIN, 3 }, { SKSM_PAGE_LOOSE, 4 }, { SKSM_PAGE_NONE, 5 },
	};
	struct sksm_block *block;
	struct table table;

	make_table(&table);
	block = sksm_blocks_get(&table.blocks, 5);
	for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		sksm_block_set(&table.blocks, block, 7, steps[i].state);
		cr_assert_eq(table.blocks.changes, steps[i].changes, "step %u", i);
	}
	sksm_blocks_delete(&table.blocks, block);
	sksm_arena_fini(&table.arena);
}

Test(block, bits)
{
	uint64_t bits[SKSM_BLOCK_WORDS] = { 0 };

	for (unsigned int i = 0; i < SKSM_BLOCK_PAGES; i++) {
		cr_assert_not(sksm_bit(bits, i));
		sksm_bit_set(bits, i);
		cr_assert(sksm_bit(bits, i));
		cr_assert_eq(bits[i / 64], 1ull << i % 64);
		sksm_bit_clear(bits, i);
	}
}

Test(block, states_have_digests_from_unique_to_zero)
{
	for (uint8_t state = 0; state < SKSM_PAGE_STATES; state++)
		cr_assert_eq(sksm_page_digested(state),
			     (RIG_DIGESTED >> state & 1) != 0, "state %u", state);
}

Test(block, a_huge_page_left_whole_is_never_armed)
{
	struct sksm_block *block;
	struct table table;

	make_table(&table);
	block = sksm_blocks_get(&table.blocks, 1);
	block->huge = SKSM_HUGE_NEW;
	sksm_block_set(&table.blocks, block, 3, SKSM_PAGE_UNIQUE);
	cr_assert_eq(table.blocks.armed, 0);
	cr_assert(rig_blocks_consistent(&table.blocks));
	block->huge = SKSM_HUGE_NO;
	sksm_block_set(&table.blocks, block, 3, SKSM_PAGE_UNIQUE);
	cr_assert_eq(table.blocks.armed, 1);
	cr_assert(rig_blocks_consistent(&table.blocks));
	sksm_arena_fini(&table.arena);
}

Test(block, random_sets)
{
	struct table table;
	uint64_t seed = 4;

	make_table(&table);
	for (int round = 0; round < 200000; round++) {
		struct sksm_block *block;

		/* Numbers near the top of the address space too. */
		block = sksm_blocks_get(&table.blocks, unit_random(&seed) % 8 +
					(round % 2 ? (1ull << 43) - 8 : 0));
		cr_assert_not_null(block);
		if (unit_random(&seed) % 1000 == 0) {
			block->digests = sksm_arena_alloc(&table.arena, sizeof(*block->digests));
			sksm_blocks_delete(&table.blocks, block);
		} else {
			sksm_block_set(&table.blocks, block,
				       unit_random(&seed) % SKSM_BLOCK_PAGES,
				       unit_random(&seed) % SKSM_PAGE_STATES);
		}
		if (round % 1000 == 0)
			cr_assert(rig_blocks_consistent(&table.blocks), "round %d", round);
	}
	while (table.blocks.table)
		sksm_blocks_delete(&table.blocks, table.blocks.table);
	for (int state = 0; state < SKSM_PAGE_STATES; state++)
		cr_assert_eq(table.blocks.total[state], 0);
	cr_assert_eq(table.blocks.armed, 0);
	sksm_arena_fini(&table.arena);
}

/* The table must hold, and go on, whichever allocation of it fails. */
Test(block, out_of_memory)
{
	for (unsigned int nth = 1; nth < 12; nth++) {
		struct table table;
		uint64_t number;

		make_table(&table);
		inject_arm(INJECT_MPROTECT, nth, ENOMEM, true);
		for (number = 0; number < 2000; number++)
			if (!sksm_blocks_get(&table.blocks, number))
				break;
		cr_assert_lt(number, 2000, "memory ends");
		for (uint64_t i = 0; i < number; i++)
			cr_assert_not_null(sksm_blocks_find(&table.blocks, i));
		cr_assert_null(sksm_blocks_find(&table.blocks, number));
		cr_assert(rig_blocks_consistent(&table.blocks));
		inject_reset();
		cr_assert_not_null(sksm_blocks_get(&table.blocks, number));
		cr_assert(rig_blocks_consistent(&table.blocks));
		sksm_arena_fini(&table.arena);
	}
}
