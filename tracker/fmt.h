/* SPDX-License-Identifier: MIT */
/*
 * Building short strings without libc: snprintf reads the locale through thread-local storage,
 * which our thread does not have. Text that does not fit is cut; the result is always terminated.
 */
#ifndef SKSM_FMT_H
#define SKSM_FMT_H

#include <stddef.h>
#include <stdint.h>

struct sksm_fmt {
	char *buf;
	size_t size;
	size_t length;
};

static inline struct sksm_fmt sksm_fmt_start(char *buf, size_t size)
{
	buf[0] = '\0';
	return (struct sksm_fmt){ .buf = buf, .size = size };
}

static inline void sksm_fmt_char(struct sksm_fmt *fmt, char c)
{
	if (fmt->length + 1 < fmt->size) {
		fmt->buf[fmt->length++] = c;
		fmt->buf[fmt->length] = '\0';
	}
}

static inline void sksm_fmt_str(struct sksm_fmt *fmt, const char *text)
{
	while (*text)
		sksm_fmt_char(fmt, *text++);
}

static inline void sksm_fmt_uint(struct sksm_fmt *fmt, uint64_t value, unsigned int base)
{
	char digits[24];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		sksm_fmt_char(fmt, digits[--n]);
}

#endif
