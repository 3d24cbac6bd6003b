/* SPDX-License-Identifier: MIT */
/* The pacer's state file: what is accepted are values that may be written to the kernel. */
#include <stdint.h>
#include <stdlib.h>

/* The parser is not for others. */
#include "tools/pacer_state.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[STATE_BYTES_MAX];
	struct state state = { 0 };

	if (size >= sizeof(text) || memchr(data, '\0', size))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (!parse_state(text, &state))
		return 0;
	for (int i = 0; i < SKSM_KSMD_SETTINGS; i++) {
		if (*state.original.value[i] && !sksm_ksmd_valid(i, state.original.value[i]))
			abort();
		if (*state.ours.value[i] && !sksm_ksmd_valid(i, state.ours.value[i]))
			abort();
	}
	return 0;
}
