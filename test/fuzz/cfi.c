/* SPDX-License-Identifier: MIT */
/* Call frame information that is wrong: nothing is read outside of the segment that holds it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/cfi.h"

#define ENTRY_AT 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* One entry in the table, which the rest of the input is taken for. */
	static const uint8_t head[] = { 1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 1, 0, 0, 0,
					0, 0, 0, 0, ENTRY_AT, 0, 0, 0 };
	struct sksm_cfi_rule rule;
	size_t bytes = ENTRY_AT + size;
	uint8_t *segment = calloc(1, bytes);
	uint64_t pc = (uintptr_t)segment + (size ? data[0] : 0);

	memcpy(segment, head, sizeof(head));
	memcpy(segment + ENTRY_AT, data, size);
	sksm_cfi_find(segment, segment, segment + bytes, pc, &rule);
	/* And the whole of it as it is. */
	memcpy(segment, data, size);
	if (!sksm_cfi_find(segment, segment, segment + bytes, pc, &rule) &&
	    (rule.cfa > SKSM_CFA_SIGNAL || rule.bp > SKSM_BP_LOST))
		abort();
	free(segment);
	return 0;
}
