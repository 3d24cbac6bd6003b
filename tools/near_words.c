/* SPDX-License-Identifier: MIT */
#include "near_words.h"

#include <string.h>

/* Counts that differ by more are no counts. */
#define COUNTER_SPAN (1u << 20)
/* 2005 to 2060, in seconds; also in milli-, micro- and nanoseconds. */
#define TIME_FIRST 1104537600ull
#define TIME_LAST 2840140800ull
#define HEADER_MAX (64ull << 20)

static const struct {
	const char *name;
	const char *text;
} causes[SKSM_NEAR_CAUSES] = {
	[SKSM_NEAR_POINTER] = { "pointer",
		"pointers: objects lie at other addresses (address randomisation, or allocation in "
		"another order)" },
	[SKSM_NEAR_TIME] = { "time", "time stamps" },
	[SKSM_NEAR_HEADER] = { "header", "allocator headers: blocks of other sizes in front" },
	[SKSM_NEAR_COUNTER] = { "counter", "counters, such as reference counts" },
	[SKSM_NEAR_OTHER] = { "other", "other values" },
};

const char *sksm_near_cause_name(enum sksm_near_cause cause)
{
	return causes[cause].name;
}

const char *sksm_near_cause_text(enum sksm_near_cause cause)
{
	return causes[cause].text;
}

static bool is_time(uint64_t value)
{
	for (uint64_t unit = 1; unit <= 1000000000; unit *= 1000)
		if (value >= TIME_FIRST * unit && value <= TIME_LAST * unit)
			return true;
	return false;
}

/*
 * glibc: the size, a multiple of 16, and in its low bits flags, of which "previous in use" is set.
 */
static bool is_header(uint64_t value)
{
	return value < HEADER_MAX && (value & 9) == 1 && value > 16;
}

static bool are_counters(uint64_t a, uint64_t b)
{
	return a <= UINT32_MAX && b <= UINT32_MAX && (a > b ? a - b : b - a) <= COUNTER_SPAN;
}

enum sksm_near_cause sksm_near_classify(uint64_t a, const struct sksm_pages *process_a,
					uint64_t b, const struct sksm_pages *process_b,
					unsigned int offset)
{
	if (sksm_pages_area_of(process_a, a) && sksm_pages_area_of(process_b, b))
		return SKSM_NEAR_POINTER;
	if (is_time(a) && is_time(b))
		return SKSM_NEAR_TIME;
	/* Of two halves that hold something only the one that differs: fields of 4 bytes. */
	if (a >> 32 && a >> 32 == b >> 32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	} else if ((uint32_t)a == (uint32_t)b) {
		a >>= 32;
		b >>= 32;
		offset += 4;
	}
	if (is_time(a) && is_time(b))
		return SKSM_NEAR_TIME;
	if (offset % 16 == 8 && is_header(a) && is_header(b))
		return SKSM_NEAR_HEADER;
	return are_counters(a, b) ? SKSM_NEAR_COUNTER : SKSM_NEAR_OTHER;
}

/* Most words are not even in the range of the mappings. */
static bool is_pointer(uint64_t value, const struct sksm_pages *process,
		       const struct sksm_pages_area **hint)
{
	const struct sksm_pages_area *area = *hint;

	if (!process->count || value < process->areas[0].start ||
	    value >= process->areas[process->count - 1].end)
		return false;
	if (!area || value < area->start || value >= area->end)
		area = sksm_pages_area_of(process, value);
	if (area)
		*hint = area;
	return area;
}

void sksm_near_mask(unsigned char *ret, const unsigned char *page, const struct sksm_pages *process,
		    const struct sksm_pages_area **hint)
{
	static const uint64_t mask = 1;

	memcpy(ret, page, SKSM_NEAR_WORDS * 8);
	for (unsigned int word = 0; word < SKSM_NEAR_WORDS; word++) {
		uint64_t value;

		memcpy(&value, page + word * 8, sizeof(value));
		if (is_pointer(value, process, hint))
			memcpy(ret + word * 8, &mask, sizeof(mask));
	}
}

void sksm_near_compare(const unsigned char *a, const struct sksm_pages *process_a,
		       const unsigned char *b, const struct sksm_pages *process_b,
		       struct sksm_near_difference *ret)
{
	unsigned int by_cause[SKSM_NEAR_CAUSES] = { 0 };

	memset(ret, 0, sizeof(*ret));
	for (unsigned int word = 0; word < SKSM_NEAR_WORDS; word++) {
		unsigned int offset = word * 8, bytes = 0;
		enum sksm_near_cause cause;
		uint64_t x, y;

		memcpy(&x, a + offset, sizeof(x));
		memcpy(&y, b + offset, sizeof(y));
		if (x == y)
			continue;
		ret->words[word] = true;
		for (unsigned int i = offset; i < offset + 8; i++)
			bytes += a[i] != b[i];
		cause = sksm_near_classify(x, process_a, y, process_b, offset);
		by_cause[cause]++;
		ret->bytes += bytes;
		ret->pointer_bytes += cause == SKSM_NEAR_POINTER ? bytes : 0;
	}
	for (int cause = 1; cause < SKSM_NEAR_CAUSES; cause++)
		if (by_cause[cause] > by_cause[ret->cause])
			ret->cause = (enum sksm_near_cause)cause;
}
