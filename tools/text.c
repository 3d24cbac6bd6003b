/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t sksm_text_read(int dir_fd, const char *path, char *ret, size_t size)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	ssize_t length;
	int saved;

	if (fd < 0)
		return -errno;
	length = read(fd, ret, size - 1);
	saved = errno;
	close(fd);
	if (length < 0)
		return -saved;
	if (length && ret[length - 1] == '\n')
		length--;
	ret[length] = '\0';
	return length;
}

int sksm_text_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

static int write_durably(int fd, const char *text)
{
	size_t length = strlen(text);
	ssize_t written = write(fd, text, length);

	if (written < 0)
		return -errno;
	if ((size_t)written != length)
		return -ENOSPC;
	return fsync(fd) ? -errno : 0;
}

int sksm_text_replace(int dir_fd, const char *name, const char *text, mode_t mode)
{
	char temporary[64];
	int fd, error;

	snprintf(temporary, sizeof(temporary), ".%.40s.%d", name, (int)getpid());
	unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = write_durably(fd, text);
	/* Whatever the umask is. */
	if (!error && fchmod(fd, mode))
		error = -errno;
	close(fd);
	if (!error && renameat(dir_fd, temporary, dir_fd, name))
		error = -errno;
	if (error)
		unlinkat(dir_fd, temporary, 0);
	return error;
}

bool sksm_text_number(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned int digit = (unsigned int)*text - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return true;
}

const char *sksm_text_size(uint64_t bytes, char ret[SKSM_TEXT_SIZE_MAX])
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	unsigned int unit = 0;

	while (value >= 1024 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	/* 1023.7K would be printed as 1024K. */
	if (value >= 1023.5 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	if (value < 9.95 && value != (double)(uint64_t)value)
		snprintf(ret, SKSM_TEXT_SIZE_MAX, "%.1f%c", value, units[unit]);
	else
		snprintf(ret, SKSM_TEXT_SIZE_MAX, "%.0f%c", value, units[unit]);
	return ret;
}

/* The length of the printable UTF-8 character at @text, or 0 where there is none. */
static size_t character_length(const unsigned char *text)
{
	size_t length, i;
	uint32_t code;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	code = text[0] & (0xff >> (length + 1));
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	/* Controls of the upper half, overlong forms, surrogates, past the end of Unicode. */
	if (code < 0xa0 || (length == 3 && code < 0x800) || (code >= 0xd800 && code < 0xe000) ||
	    (length == 4 && code < 0x10000) || code > 0x10ffff)
		return 0;
	return length;
}

void sksm_text_clean(char *ret, size_t size, const char *from)
{
	size_t used = 0;

	while (*from && used + 1 < size) {
		size_t length = character_length((const unsigned char *)from);

		if (!length) {
			ret[used++] = '?';
			from++;
			continue;
		}
		if (used + length >= size)
			break;
		memcpy(ret + used, from, length);
		used += length;
		from += length;
	}
	ret[used] = '\0';
}

int sksm_text_close_stdout(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		warn("standard output");
		return status ? status : EXIT_FAILURE;
	}
	return status;
}
