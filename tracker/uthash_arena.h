/* SPDX-License-Identifier: MIT */
/*
 * uthash on our own memory. Functions that add to or delete from a table have a variable or
 * member expression named by SKSM_HASH_ARENA in scope.
 */
#ifndef SKSM_UTHASH_ARENA_H
#define SKSM_UTHASH_ARENA_H

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) sksm_arena_alloc(SKSM_HASH_ARENA, size)
#define uthash_free(pointer, size) sksm_arena_free(SKSM_HASH_ARENA, pointer, size)
#include <uthash.h>

#endif
