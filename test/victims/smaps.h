/* SPDX-License-Identifier: MIT */
/* What /proc/self/smaps says of the mappings of a range. */
#ifndef SMAPS_H
#define SMAPS_H

#include "victim.h"

struct smaps_count {
	unsigned int mappings;	/* that overlap the range */
	unsigned int with;	/* of those, with the flag */
};

static inline struct smaps_count smaps_count(const void *start, size_t bytes, const char *flag)
{
	uintptr_t from = (uintptr_t)start, to = from + bytes;
	struct smaps_count count = { 0, 0 };
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long low, high;
	char line[512], padded[8];
	bool inside = false;

	if (!smaps)
		die("/proc/self/smaps");
	snprintf(padded, sizeof(padded), " %s ", flag);
	while (fgets(line, sizeof(line), smaps)) {
		if (line[0] >= 'A' && line[0] <= 'Z') {
			count.with += inside && strncmp(line, "VmFlags:", 8) == 0 &&
				      strstr(line, padded) != NULL;
			continue;
		}
		inside = sscanf(line, "%lx-%lx", &low, &high) == 2 && low < to && high > from;
		count.mappings += inside;
	}
	fclose(smaps);
	return count;
}

/* "none", "some" or "all" of the mappings have the flag. */
static inline const char *smaps_share(const void *start, size_t bytes, const char *flag)
{
	struct smaps_count count = smaps_count(start, bytes, flag);

	if (!count.mappings)
		return "not mapped";
	return count.with == 0 ? "none" : count.with == count.mappings ? "all" : "some";
}

#endif
