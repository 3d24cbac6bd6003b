/* SPDX-License-Identifier: MIT */
/* Reading the file of call sites, which anybody may have written. */
#include "site_file.h"

#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* NULL, or what is wrong with the slot of @length bytes. */
static const char *check_header(const struct sksm_file_header *header, size_t length)
{
	if (length < sizeof(*header) || !header->magic)
		return "truncated";
	if (header->magic != SKSM_SITE_FILE_MAGIC)
		return "not a file of call sites";
	if (header->version != SKSM_SITE_FILE_VERSION)
		return header->version > SKSM_SITE_FILE_VERSION ? "written by a newer version" :
		       "written by an older version";
	if (header->sites < SKSM_OWNERS || header->sites > SKSM_FILE_SITES_MAX ||
	    header->frames > SKSM_FILE_FRAMES_MAX || header->mappings > SKSM_FILE_MAPPINGS_MAX ||
	    header->modules > SKSM_SITE_MODULES || header->name_bytes > SKSM_NAMES_MAX ||
	    header->bytes != sksm_site_file_bytes(header))
		return "corrupt";
	return header->bytes > length - sizeof(*header) ? "truncated" : NULL;
}

static bool has_sum(const struct sksm_file_header *header)
{
	struct sksm_file_header copy = *header;
	XXH3_state_t state;

	copy.checksum = 0;
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, &copy, sizeof(copy));
	XXH3_64bits_update(&state, header + 1, header->bytes);
	return XXH3_64bits_digest(&state) == header->checksum;
}

/* No count of bytes is larger than an address space. */
static bool is_absurd(const uint64_t *tally)
{
	for (unsigned int i = 0; i < SKSM_TALLIES; i++)
		if (tally[i] >> 57)
			return true;
	return false;
}

static bool sites_are_sound(const struct sksm_file_view *view)
{
	const struct sksm_file_header *header = &view->header;

	for (uint32_t i = 0; i < header->sites; i++) {
		const struct sksm_file_site *site = &view->sites[i];

		if (site->owner != (i < SKSM_OWNERS ? i : SKSM_OWNER_SITE) ||
		    site->frames > header->frames ||
		    site->first_frame > header->frames - site->frames || is_absurd(site->tally))
			return false;
	}
	for (uint32_t i = 0; i < header->frames; i++)
		if (view->frames[i].module != UINT32_MAX &&
		    view->frames[i].module >= header->modules)
			return false;
	return true;
}

static bool rest_is_sound(const struct sksm_file_view *view)
{
	const struct sksm_file_header *header = &view->header;
	uint64_t before = 0;

	for (uint32_t i = 0; i < header->mappings; i++) {
		const struct sksm_file_mapping *mapping = &view->mappings[i];

		if (mapping->site >= header->sites || mapping->start < before ||
		    mapping->start >= mapping->end ||
		    (mapping->name && mapping->name >= header->name_bytes) ||
		    is_absurd(mapping->tally))
			return false;
		before = mapping->end;
	}
	for (uint32_t i = 0; i < header->modules; i++) {
		const struct sksm_file_module *module = &view->modules[i];

		if (module->build_id_bytes > SKSM_BUILD_ID_MAX ||
		    !memchr(module->path, 0, sizeof(module->path)))
			return false;
	}
	return !header->name_bytes || !view->names[header->name_bytes - 1];
}

static const char *decode_slot(struct sksm_file_view *ret, const void *data, size_t length,
			       uint32_t pid, uint64_t start_ns)
{
	const struct sksm_file_header *header = data;
	const char *reason = check_header(header, length);

	if (reason)
		return reason;
	if (!has_sum(header))
		return "corrupt";
	if (header->pid != pid || header->start_ns != start_ns)
		return "of another process";
	ret->header = *header;
	sksm_site_file_lay_out(ret, header);
	return sites_are_sound(ret) && rest_is_sound(ret) ? NULL : "corrupt";
}

int sksm_site_file_decode(struct sksm_file_view *ret, const void *data, size_t length,
			  uint32_t pid, uint64_t start_ns, const char **ret_reason)
{
	struct sksm_file_view view;
	const char *reason = NULL;
	bool found = false;

	for (size_t at = 0; at < 2 * SKSM_SITE_FILE_SLOT; at += SKSM_SITE_FILE_SLOT) {
		size_t rest = length > at ? length - at : 0;
		const char *why = decode_slot(&view, (const char *)data + at,
					      rest < SKSM_SITE_FILE_SLOT ? rest :
					      SKSM_SITE_FILE_SLOT, pid, start_ns);

		/* An empty slot says nothing. */
		if (why) {
			reason = reason && rest < sizeof(view.header) ? reason : why;
			continue;
		}
		if (!found || view.header.updated_ns > ret->header.updated_ns)
			*ret = view;
		found = true;
	}
	if (!found)
		*ret_reason = reason;
	return found ? 0 : -EINVAL;
}
