/* SPDX-License-Identifier: MIT */
/*
 * Small texts: files of /proc and /sys, numbers, sizes for people. Thread-safe; allocates nothing.
 */
#ifndef SKSM_TEXT_H
#define SKSM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read the start of a small file to @ret (cut at @size - 1, terminated, a final newline taken
 * off). @dir_fd may be AT_FDCWD; symbolic links at the end of @path are not followed. The length
 * or -errno; @ret is untouched on failure.
 */
ssize_t sksm_text_read(int dir_fd, const char *path, char *ret, size_t size);

/* Write @text to an existing file by one write(2), as /sys wants it. 0 or -errno. */
int sksm_text_write(const char *path, const char *text);

/*
 * Replace a file by @text so that a reader, or the next boot after a crash, sees either the old
 * or the new one: a temporary name, fsync, rename. 0 or -errno.
 */
int sksm_text_replace(int dir_fd, const char *name, const char *text, mode_t mode);

/* All of @text as an unsigned decimal number: no sign, no blanks, nothing behind it. */
bool sksm_text_number(const char *text, uint64_t *ret);

/* "0B", "4K", "1.5M", "250M": binary units, at most five characters, for any size of @bytes. */
#define SKSM_TEXT_SIZE_MAX 16
const char *sksm_text_size(uint64_t bytes, char ret[SKSM_TEXT_SIZE_MAX]);

/*
 * Copy @from to @ret of @size bytes so that it is valid UTF-8 without control characters: names
 * and arguments come from other users' processes and go to terminals and into JSON.
 */
void sksm_text_clean(char *ret, size_t size, const char *from);

/* Report that standard output failed (a full disk): call last. The status to exit with. */
int sksm_text_close_stdout(int status);

#endif
