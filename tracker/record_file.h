/* SPDX-License-Identifier: MIT */
/* The file of a record, made and mapped. */
#ifndef SKSM_RECORD_FILE_H
#define SKSM_RECORD_FILE_H

#include "record.h"

struct sksm_sys;

/*
 * Make the record of this process, @comm, @command and @run_id as for sksm_record_init, in the
 * domain of @options, and map it at @at, a page of ours that it replaces. NULL and *ret_record; or
 * why not, a static string: then there is private memory. Not *ret_mapped: private memory, too, on a
 * file system where a store to a mapping may find no room; to be stored. Async-signal-safe; a record
 * is too large for a stack that we do not know.
 */
const char *sksm_record_create(const struct sksm_sys *sys, const struct sksm_options *options,
			       const char *comm, const char *command, uint64_t run_id, void *at,
			       struct sksm_record **ret_record, bool *ret_mapped);

/* Is the record in the file @fd mapped by its process: is its file system one where that is safe? */
bool sksm_record_is_mappable(int fd);

/* Write to its file, which is there, a @record that is not mapped. Async-signal-safe. */
void sksm_record_store(const struct sksm_sys *sys, const struct sksm_options *options,
		       const struct sksm_record *record);

#endif
