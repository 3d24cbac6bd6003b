/* SPDX-License-Identifier: MIT */
/*
 * Call frame information of x86-64: where the frame of the caller is, from the .eh_frame that every
 * distribution's binaries carry in memory. Only what compilers emit for the stack pointer, the
 * frame pointer and the return address is understood; the rest ends the walk.
 *
 * libunwind is not used for it: it takes locks, and allocates by mmap, which is the call that we
 * are hooked into. It is the oracle of the unit test. Reads nothing but the object's own tables,
 * within the segment that holds them. Async-signal-safe, no libc state.
 */
#ifndef SKSM_CFI_H
#define SKSM_CFI_H

#include <stdint.h>

enum sksm_cfa_kind {
	SKSM_CFA_NONE,		/* the outermost frame, or one that is not understood */
	SKSM_CFA_SP,		/* stack pointer + cfa_offset */
	SKSM_CFA_BP,		/* frame pointer + cfa_offset */
	SKSM_CFA_AT_BP,		/* what lies at frame pointer + cfa_offset */
	SKSM_CFA_SIGNAL,	/* the kernel's signal frame: everything is in the context */
};

enum sksm_bp_kind {
	SKSM_BP_SAME,
	SKSM_BP_AT_CFA,		/* saved at CFA + bp_offset */
	SKSM_BP_AT_BP,		/* saved at frame pointer + bp_offset */
	SKSM_BP_LOST,
};

/* How to get from a frame to its caller's. The return address always lies at CFA - 8. */
struct sksm_cfi_rule {
	uint8_t cfa;		/* enum sksm_cfa_kind */
	uint8_t bp;		/* enum sksm_bp_kind */
	int32_t cfa_offset;
	int32_t bp_offset;
};

/*
 * The rule at @pc, an address inside the calling instruction, of the object whose .eh_frame_hdr is
 * @header, in the readable segment [@start, @end). 0, or -ENOENT, -EINVAL.
 */
int sksm_cfi_find(const void *header, const void *start, const void *end, uint64_t pc,
		  struct sksm_cfi_rule *ret);

#endif
