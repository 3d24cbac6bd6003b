/* SPDX-License-Identifier: MIT */
#include "smaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

struct ranges {
	struct sksm_smaps_range *list;
	size_t count;
	size_t room;
};

static int add_range(struct ranges *ranges, uint64_t start, uint64_t end)
{
	if (ranges->count && ranges->list[ranges->count - 1].end == start) {
		ranges->list[ranges->count - 1].end = end;
		return 0;
	}
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? ranges->room * 2 : 64;
		void *list = reallocarray(ranges->list, room, sizeof(*ranges->list));

		if (!list)
			return -ENOMEM;
		ranges->list = list;
		ranges->room = room;
	}
	ranges->list[ranges->count++] = (struct sksm_smaps_range){ start, end };
	return 0;
}

/* "VmFlags: rd wr mr mw me ac mg \n": each flag is two letters and a blank. */
static int is_mergeable(const char *line)
{
	return !strncmp(line, "VmFlags:", 8) && strstr(line, " mg ");
}

int sksm_smaps_mergeable(pid_t pid, struct sksm_smaps_range **ret, size_t *ret_count)
{
	struct ranges ranges = { 0 };
	uint64_t start = 0, end = 0;
	char *line = NULL;
	size_t size = 0;
	FILE *smaps;
	int error = sksm_process_stream(pid, "smaps", &smaps);

	if (error)
		return error;
	while (!error && getline(&line, &size, smaps) > 0) {
		/* Only the first line of a mapping starts with a digit or a small letter. */
		if (line[0] >= 'a' || (line[0] >= '0' && line[0] <= '9'))
			sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end);
		else if (is_mergeable(line))
			error = add_range(&ranges, start, end);
	}
	if (!error && ferror(smaps))
		error = -EIO;
	free(line);
	fclose(smaps);
	if (error) {
		free(ranges.list);
		return error;
	}
	*ret = ranges.list;
	*ret_count = ranges.count;
	return 0;
}
