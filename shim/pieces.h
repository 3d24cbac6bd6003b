/* SPDX-License-Identifier: MIT */
#ifndef SHIM_PIECES_H
#define SHIM_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * mremap(2) over several mappings that were one for the program: the new address, or -errno;
 * -EFAULT where they cannot have been one, or are cut again and again meanwhile. Where it fails,
 * everything is where it was. Our thread may be at work, but not with MREMAP_DONTUNMAP: what is
 * left behind looks like what is still to be moved. Costs a process, and a look at the map for each
 * piece. Async-signal-safe. One at a time; others wait.
 */
long shim_mremap_pieces(void *addr, size_t old_bytes, size_t new_bytes, int flags, void *new_addr);

/* Linux 6.17 or newer. */
bool shim_is_6_17(void);

/*
 * After a move to a fixed address that failed over several mappings: before 6.17 it has unmapped
 * the target, which is taken again here. False: another thread was faster, and it is that one's.
 */
bool shim_take_target(uint64_t target, uint64_t bytes);

#endif
