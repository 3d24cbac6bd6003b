/* SPDX-License-Identifier: MIT */
#ifndef SHIM_PIECES_H
#define SHIM_PIECES_H

#include <stddef.h>

/*
 * mremap(2) over several mappings that were one for the program: the new address, or -errno;
 * -EFAULT where they cannot have been one, or are cut again and again meanwhile. Where it fails,
 * everything is where it was. Our thread may be at work, but not with MREMAP_DONTUNMAP: what is
 * left behind looks like what is still to be moved. Costs a process, and a look at the map for each
 * piece. Async-signal-safe; needs 20 KiB of stack.
 */
long shim_mremap_pieces(void *addr, size_t old_bytes, size_t new_bytes, int flags, void *new_addr);

#endif
