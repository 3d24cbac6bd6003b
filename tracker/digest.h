/* SPDX-License-Identifier: MIT */
/*
 * Content digests: 64-bit XXH3 under a secret derived from the domain's key, so that a digest
 * tells nothing to whoever lacks the key. A digest is a hint on where equal pages may be; the
 * kernel compares contents itself before it merges anything.
 */
#ifndef SKSM_DIGEST_H
#define SKSM_DIGEST_H

#include <stdint.h>

#include "domain.h"

#define SKSM_SECRET_BYTES 192

struct sksm_digester {
	uint64_t zero;		/* the digest of a page of zeros */
	unsigned char secret[SKSM_SECRET_BYTES];
};

void sksm_digester_init(struct sksm_digester *digester, const uint8_t key[SKSM_KEY_BYTES]);

/*
 * The digest of 4096 bytes at @page (any alignment), in the upper 48 bits. Never 0. About 0.3 us.
 */
uint64_t sksm_digest_page(const struct sksm_digester *digester, const void *page);

#endif
