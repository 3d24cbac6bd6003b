/* SPDX-License-Identifier: MIT */
#ifndef SHIM_PIECES_H
#define SHIM_PIECES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * mremap(2) over several mappings that were one for the program: the new address, or -errno;
 * -EFAULT where they cannot have been one, or @flags asks for more than to grow and to move.
 * Where it fails, everything is where it was. @begun: the kernel has moved what came first and
 * then refused (since 6.17 it moves several mappings, if none but the first is registered). Costs a
 * process and a look at the map of ours for each piece. Only while our thread is held.
 * Async-signal-safe; needs 20 KiB of stack.
 */
long shim_mremap_pieces(void *addr, size_t old_bytes, size_t new_bytes, int flags, void *new_addr,
			bool begun);

#endif
