/* SPDX-License-Identifier: MIT */
/* Files of call sites, which lie beside the records and are opened as carefully. */
#ifndef SKSM_SITES_READ_H
#define SKSM_SITES_READ_H

#include "tracker/site_file.h"

struct sksm_entry;

/*
 * The file of @entry's process, checked; free() frees it with all it points to. NULL: there is
 * none, or it cannot be used, which is said on stderr.
 */
struct sksm_file_view *sksm_sites_read(const struct sksm_entry *entry);

/*
 * Remove the file that belongs to the record @name in the directory @records_fd, where there is
 * one.
 */
void sksm_sites_unlink(int records_fd, const char *name);

#endif
