/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/digest.h"

static void make_digester(struct sksm_digester *digester, uint8_t first)
{
	uint8_t key[SKSM_KEY_BYTES] = { first };

	sksm_digester_init(digester, key);
}

Test(digest, equal_content_equal_digest)
{
	struct sksm_digester one, same;
	unsigned char a[PAGE + 1], b[PAGE];

	make_digester(&one, 1);
	make_digester(&same, 1);
	for (uint64_t content = 0; content < 200; content++) {
		unit_fill_page(b, content);
		/* Any alignment. */
		memcpy(a + 1, b, PAGE);
		cr_assert_eq(sksm_digest_page(&one, a + 1), sksm_digest_page(&same, b));
	}
}

Test(digest, every_byte_counts)
{
	struct sksm_digester digester;
	unsigned char page[PAGE];
	uint64_t whole;

	make_digester(&digester, 1);
	unit_fill_page(page, 9);
	whole = sksm_digest_page(&digester, page);
	for (size_t i = 0; i < PAGE; i++) {
		page[i] ^= 1u << (i % 8);
		cr_assert_neq(sksm_digest_page(&digester, page), whole, "byte %zu", i);
		page[i] ^= 1u << (i % 8);
	}
	cr_assert_eq(sksm_digest_page(&digester, page), whole);
}

Test(digest, another_key_another_digest)
{
	struct sksm_digester one, two;
	unsigned char page[PAGE];
	unsigned int bits = 0;

	make_digester(&one, 1);
	make_digester(&two, 2);
	cr_assert_neq(one.zero, two.zero);
	for (uint64_t content = 0; content < 1000; content++) {
		uint64_t difference;

		unit_fill_page(page, content);
		difference = sksm_digest_page(&one, page) ^ sksm_digest_page(&two, page);
		cr_assert_neq(difference, 0);
		bits += (unsigned int)__builtin_popcountll(difference);
	}
	/* Half of 48 bits differ, as with unrelated numbers: 24000, 5 standard deviations 550. */
	cr_assert(bits > 23000 && bits < 25000, "%u bits", bits);
}

Test(digest, the_zero_page_is_known)
{
	static const unsigned char zero[PAGE];
	struct sksm_digester digester;

	make_digester(&digester, 3);
	cr_assert_eq(digester.zero, sksm_digest_page(&digester, zero));
	cr_assert_neq(digester.zero, 0);
}

Test(digest, never_0_and_no_collisions)
{
	enum { COUNT = 20000, SLOTS = 1 << 16 };
	static uint64_t seen[SLOTS];
	struct sksm_digester digester;
	unsigned char page[PAGE];

	make_digester(&digester, 4);
	for (uint64_t content = 1; content <= COUNT; content++) {
		uint64_t digest, slot;

		unit_fill_page(page, content);
		digest = sksm_digest_page(&digester, page);
		cr_assert_neq(digest, 0);
		for (slot = digest >> 16 & (SLOTS - 1); seen[slot]; slot = (slot + 1) % SLOTS)
			cr_assert_neq(seen[slot], digest);
		seen[slot] = digest;
	}
}
