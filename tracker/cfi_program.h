/* SPDX-License-Identifier: MIT */
/* Between the two halves of the reader of call frame information: tables, and their programs. */
#ifndef SKSM_CFI_PROGRAM_H
#define SKSM_CFI_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cfi.h"

/* DWARF's numbers of the registers, and its ways of writing addresses. */
#define SKSM_CFI_REG_BP 6
#define SKSM_CFI_REG_SP 7
#define SKSM_CFI_REG_RA 16
#define SKSM_CFI_PE_PCREL 0x10
#define SKSM_CFI_PE_INDIRECT 0x80

/* A place in a table; reading past its end makes it bad, and zeros. */
struct sksm_cfi_reader {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

static inline uint64_t sksm_cfi_read_bytes(struct sksm_cfi_reader *r, unsigned int bytes)
{
	uint64_t value = 0;

	if ((size_t)(r->end - r->p) < bytes) {
		r->bad = true;
		r->p = r->end;
		return 0;
	}
	memcpy(&value, r->p, bytes);
	r->p += bytes;
	return value;
}

static inline void sksm_cfi_skip_bytes(struct sksm_cfi_reader *r, uint64_t bytes)
{
	if ((uint64_t)(r->end - r->p) < bytes) {
		r->bad = true;
		r->p = r->end;
		return;
	}
	r->p += bytes;
}

/* The bits of an LEB128 number; *ret_sign: those above them, if it is a signed one and negative. */
static inline uint64_t sksm_cfi_read_leb(struct sksm_cfi_reader *r, uint64_t *ret_sign)
{
	unsigned int shift = 0;
	uint64_t value = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)sksm_cfi_read_bytes(r, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	*ret_sign = shift < 64 && byte & 0x40 ? ~0ull << shift : 0;
	return value;
}

static inline uint64_t sksm_cfi_read_uleb(struct sksm_cfi_reader *r)
{
	uint64_t sign;

	return sksm_cfi_read_leb(r, &sign);
}

static inline int64_t sksm_cfi_read_sleb(struct sksm_cfi_reader *r)
{
	uint64_t sign, value = sksm_cfi_read_leb(r, &sign);

	return (int64_t)(value | sign);
}

static inline uint64_t sksm_cfi_read_encoded(struct sksm_cfi_reader *r, uint8_t encoding)
{
	uint64_t at = (uintptr_t)r->p, value;

	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c:
		value = sksm_cfi_read_bytes(r, 8);
		break;
	case 0x02:
		value = sksm_cfi_read_bytes(r, 2);
		break;
	case 0x03:
		value = sksm_cfi_read_bytes(r, 4);
		break;
	case 0x0a:
		value = (uint64_t)(int16_t)sksm_cfi_read_bytes(r, 2);
		break;
	case 0x0b:
		value = (uint64_t)(int32_t)sksm_cfi_read_bytes(r, 4);
		break;
	default:
		r->bad = true;
		return 0;
	}
	if ((encoding & 0x70) == SKSM_CFI_PE_PCREL)
		value += at;
	else if (encoding & 0x70)
		r->bad = true;
	return value;
}

/* What a common information entry says to all its frames. */
struct sksm_cfi_common {
	struct sksm_cfi_reader program;
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding;
	bool has_augmentation;
	bool is_signal;
};

/*
 * Run the instructions of @common, then those of a frame that starts at @location, up to @pc. 0, or
 * -EINVAL where they are not understood.
 */
int sksm_cfi_run(const struct sksm_cfi_common *common, struct sksm_cfi_reader program,
		 uint64_t location, uint64_t pc, struct sksm_cfi_rule *ret);

#endif
