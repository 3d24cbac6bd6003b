/* SPDX-License-Identifier: MIT */
/*
 * A merging domain on disk: processes that share it look for twins among one another.
 *
 *	SKSM_DIR/		0700, owned by the user
 *	SKSM_DIR/DOMAIN/	0700
 *		key		32 random bytes, 0600: the key of every digest
 *		index-N		the twin index of generation N, 0600 (index.h)
 *		members		one slot per process that takes part, 0600
 *		records/	0700, one file per process (record.h)
 *
 * Everything in it is a hint: deleting it while processes run costs efficiency only.
 */
#ifndef SKSM_DOMAIN_H
#define SKSM_DOMAIN_H

#include <stddef.h>
#include <stdint.h>

#include "options.h"

struct sksm_sys;

#define SKSM_KEY_BYTES 32

/*
 * Open SKSM_DIR/DOMAIN as a directory file descriptor, making both with mode 0700 where they are
 * missing. Every step is refused with -EPERM where it is a symbolic link, not a directory, not
 * owned by the effective user, or writable by others. Returns the descriptor or -errno.
 * Async-signal-safe; no libc state is touched.
 */
int sksm_domain_open(const struct sksm_sys *sys, const struct sksm_options *options);

/* Open (making it, 0700) the directory "records" below @domain_fd. Descriptor or -errno. */
int sksm_domain_open_records(const struct sksm_sys *sys, int domain_fd);

/*
 * Why one of the two above gave @error: what is wrong, what was expected, and which directory. May
 * look at the file system once more; no libc state is touched.
 */
void sksm_domain_explain(const struct sksm_options *options, int error, char *ret, size_t size);

/*
 * Open a file below @dir_fd, a directory of one of the above; @flags as for open(2), mode 0600
 * where O_CREAT is among them. Refused with -EPERM where it is anything but a plain file of the
 * effective user's that nobody else has access to; a FIFO or a device is not waited for, nothing
 * is followed. Descriptor or -errno.
 */
int sksm_domain_open_file(const struct sksm_sys *sys, int dir_fd, const char *name, int flags);

/*
 * Read the domain's key, or make it where there is none yet (the first of several racing makers
 * wins). 0 or -errno; -EPERM for a key file that is not a plain file of ours with mode 0600.
 */
int sksm_domain_key(const struct sksm_sys *sys, int domain_fd, uint8_t ret_key[SKSM_KEY_BYTES]);

#endif
