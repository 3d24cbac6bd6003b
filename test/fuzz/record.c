/* SPDX-License-Identifier: MIT */
/* A record file of another user: what is accepted can be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/record.h"

static void expect_text(const char *text, size_t size)
{
	if (!memchr(text, '\0', size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_record record;
	unsigned char whole[SKSM_RECORD_BYTES];
	const char *reason = NULL;
	uint32_t version = SKSM_RECORD_VERSION, bytes = SKSM_RECORD_BYTES;
	uint64_t magic = SKSM_RECORD_MAGIC;
	int error = sksm_record_decode(&record, data, size, &reason);

	/* Most inputs would end at the magic number: the rest of it behind a good head too. */
	if (error == -22 && size < sizeof(whole)) {
		memset(whole, 0, sizeof(whole));
		memcpy(whole, data, size);
		memcpy(whole, &magic, sizeof(magic));
		memcpy(whole + 8, &version, sizeof(version));
		memcpy(whole + 12, &bytes, sizeof(bytes));
		error = sksm_record_decode(&record, whole, sizeof(whole), &reason);
	}
	if (error == -22) {
		if (!reason || !*reason)
			abort();
		return 0;
	}
	expect_text(record.comm, sizeof(record.comm));
	expect_text(record.command, sizeof(record.command));
	expect_text(record.dormant, sizeof(record.dormant));
	if (!sksm_engine_name(record.engine) || !sksm_tracker_name(record.tracker) ||
	    !sksm_mode_name(record.mode))
		abort();
	return 0;
}
