/* SPDX-License-Identifier: MIT */
#include "cfi.h"

#include <errno.h>

#include "cfi_program.h"

/* What linkers make of .eh_frame_hdr: pcrel sdata4, udata4, a table of datarel sdata4. */
#define HDR_VERSION 1
#define HDR_COUNT_ENC 0x03
#define HDR_TABLE_ENC 0x3b

/* The contents of the entry at @p: behind its length, to its end. */
static struct sksm_cfi_reader open_entry(const uint8_t *p, const uint8_t *start, const uint8_t *end)
{
	struct sksm_cfi_reader r = { p, end, p < start || p >= end };
	uint64_t length;

	if (r.bad) {
		r.p = r.end;
		return r;
	}
	length = sksm_cfi_read_bytes(&r, 4);
	if (length == 0xffffffff)
		length = sksm_cfi_read_bytes(&r, 8);
	if (!length || length > (uint64_t)(end - r.p))
		r.bad = true;
	else
		r.end = r.p + length;
	return r;
}

static void read_augmentation(struct sksm_cfi_reader *r, const char *letters,
			      struct sksm_cfi_common *ret)
{
	const uint8_t *end;
	uint64_t length;

	ret->has_augmentation = *letters == 'z';
	if (!ret->has_augmentation) {
		r->bad = r->bad || *letters;
		return;
	}
	length = sksm_cfi_read_uleb(r);
	end = r->p + (length < (uint64_t)(r->end - r->p) ? length : (uint64_t)(r->end - r->p));
	for (letters++; *letters && !r->bad; letters++) {
		uint8_t encoding;

		switch (*letters) {
		case 'R':
			ret->encoding = (uint8_t)sksm_cfi_read_bytes(r, 1);
			break;
		case 'P':
			encoding = (uint8_t)sksm_cfi_read_bytes(r, 1);
			sksm_cfi_read_encoded(r, encoding & ~SKSM_CFI_PE_INDIRECT);
			break;
		case 'L':
			sksm_cfi_read_bytes(r, 1);
			break;
		case 'S':
			ret->is_signal = true;
			break;
		case 'B':
			break;
		default:
			r->bad = true;
		}
	}
	r->p = end;
}

static int read_common(const uint8_t *p, const uint8_t *start, const uint8_t *end,
		       struct sksm_cfi_common *ret)
{
	struct sksm_cfi_reader r = open_entry(p, start, end);
	const char *letters;
	uint8_t version;

	memset(ret, 0, sizeof(*ret));
	if (sksm_cfi_read_bytes(&r, 4) != 0)
		return -EINVAL;
	version = (uint8_t)sksm_cfi_read_bytes(&r, 1);
	letters = (const char *)r.p;
	if (r.bad || (version != 1 && version != 3) || !memchr(r.p, 0, (size_t)(r.end - r.p)))
		return -EINVAL;
	sksm_cfi_skip_bytes(&r, strlen(letters) + 1);
	ret->code_align = sksm_cfi_read_uleb(&r);
	ret->data_align = sksm_cfi_read_sleb(&r);
	if ((version == 1 ? sksm_cfi_read_bytes(&r, 1) : sksm_cfi_read_uleb(&r)) != SKSM_CFI_REG_RA)
		return -EINVAL;
	read_augmentation(&r, letters, ret);
	ret->program = r;
	return r.bad ? -EINVAL : 0;
}

/* The frame description entry for @pc by the sorted table of the header. */
static const uint8_t *find_entry(const uint8_t *header, const uint8_t *end, uint64_t pc)
{
	struct sksm_cfi_reader r = { header, end, false };
	const uint8_t *table;
	uint32_t low = 0, high;
	int32_t pair[2];

	if (sksm_cfi_read_bytes(&r, 1) != HDR_VERSION)
		return NULL;
	sksm_cfi_read_bytes(&r, 1);
	if (sksm_cfi_read_bytes(&r, 1) != HDR_COUNT_ENC ||
	    sksm_cfi_read_bytes(&r, 1) != HDR_TABLE_ENC)
		return NULL;
	/* The pointer to .eh_frame, of four bytes as all encodings that linkers choose. */
	sksm_cfi_read_bytes(&r, 4);
	high = (uint32_t)sksm_cfi_read_bytes(&r, 4);
	table = r.p;
	if (r.bad || !high || high > (size_t)(end - table) / sizeof(pair))
		return NULL;
	/* The last one that starts at or before @pc. */
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		memcpy(pair, table + (size_t)middle * sizeof(pair), sizeof(pair));
		if ((uintptr_t)header + (uint64_t)(int64_t)pair[0] <= pc)
			low = middle;
		else
			high = middle;
	}
	memcpy(pair, table + (size_t)low * sizeof(pair), sizeof(pair));
	return (const uint8_t *)((uintptr_t)header + (uint64_t)(int64_t)pair[1]);
}

int sksm_cfi_find(const void *header, const void *start, const void *end, uint64_t pc,
		  struct sksm_cfi_rule *ret)
{
	const uint8_t *entry, *cie;
	struct sksm_cfi_common common;
	struct sksm_cfi_reader r;
	uint64_t location, size;
	int error;

	entry = find_entry(header, end, pc);
	if (!entry)
		return -ENOENT;
	r = open_entry(entry, start, end);
	cie = r.p;
	cie -= sksm_cfi_read_bytes(&r, 4);
	error = r.bad ? -EINVAL : read_common(cie, start, end, &common);
	if (error)
		return error;
	location = sksm_cfi_read_encoded(&r, common.encoding);
	size = sksm_cfi_read_encoded(&r, common.encoding & 0x0f);
	if (r.bad || pc < location || pc - location >= size)
		return -ENOENT;
	if (common.has_augmentation)
		sksm_cfi_skip_bytes(&r, sksm_cfi_read_uleb(&r));
	return sksm_cfi_run(&common, r, location, pc, ret);
}
