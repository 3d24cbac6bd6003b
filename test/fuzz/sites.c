/* SPDX-License-Identifier: MIT */
/* A file of call sites of another user: what is accepted stays within its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tracker/site_file.h"

/* Read all that a report reads. */
static void walk(const struct sksm_file_view *view)
{
	volatile uint64_t sum = 0;

	for (uint32_t i = 0; i < view->header.sites; i++)
		for (uint32_t j = 0; j < view->sites[i].frames; j++) {
			const struct sksm_file_frame *frame =
				&view->frames[view->sites[i].first_frame + j];

			sum += frame->address;
			if (frame->module != UINT32_MAX)
				sum += strlen(view->modules[frame->module].path);
		}
	for (uint32_t i = 0; i < view->header.mappings; i++) {
		sum += view->sites[view->mappings[i].site].owner;
		if (view->mappings[i].name)
			sum += strlen(view->names + view->mappings[i].name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_file_header *header;
	struct sksm_file_view view;
	const char *reason = NULL;
	char *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	header = (struct sksm_file_header *)copy;
	/* Most inputs would end at the magic number or the checksum: behind a good head too. */
	if (size >= sizeof(*header)) {
		header->magic = SKSM_SITE_FILE_MAGIC;
		header->version = SKSM_SITE_FILE_VERSION;
		header->pid = 1;
		header->start_ns = 1;
		header->bytes = (uint32_t)(size - sizeof(*header));
		header->checksum = 0;
		header->checksum = XXH3_64bits(copy, size);
	}
	if (sksm_site_file_decode(&view, copy, size, 1, 1, &reason)) {
		if (!reason || !*reason)
			abort();
	} else {
		walk(&view);
	}
	free(copy);
	return 0;
}
