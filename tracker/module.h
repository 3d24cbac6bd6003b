/* SPDX-License-Identifier: MIT */
/*
 * What an ELF object in memory says of itself: its segments and its build-id. The headers are read
 * where the loader mapped them; sksm_readable says first whether they can be. Async-signal-safe, no
 * libc state.
 */
#ifndef SKSM_MODULE_H
#define SKSM_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKSM_BUILD_ID_MAX 32

/*
 * Can 8 bytes at @address be read? The kernel is asked, by a system call that changes nothing
 * (about 100 ns). Somebody may unmap them afterwards.
 */
bool sksm_readable(uint64_t address);

/*
 * The readable segment of the object mapped at @base that holds @address. False where there is no
 * ELF object, or no such segment.
 */
bool sksm_module_segment(uint64_t base, uint64_t address, uint64_t *ret_start,
			 uint64_t *ret_end);

/* The build-id of the object mapped at @base. Its length; 0: it has none, or a longer one. */
unsigned int sksm_module_build_id(uint64_t base, uint8_t ret[SKSM_BUILD_ID_MAX]);

#endif
