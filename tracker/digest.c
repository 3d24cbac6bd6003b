/* SPDX-License-Identifier: MIT */
#include "digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "abi.h"

static const unsigned char zero_page[SKSM_PAGE_BYTES];

void sksm_digester_init(struct sksm_digester *digester, const uint8_t key[SKSM_KEY_BYTES])
{
	XXH3_generateSecret(digester->secret, sizeof(digester->secret), key, SKSM_KEY_BYTES);
	digester->zero = sksm_digest_page(digester, zero_page);
}

uint64_t sksm_digest_page(const struct sksm_digester *digester, const void *page)
{
	uint64_t digest = XXH3_64bits_withSecret(page, SKSM_PAGE_BYTES, digester->secret,
						 sizeof(digester->secret));

	digest &= ~0xffffull;
	return digest ? digest : 1ull << 16;
}
