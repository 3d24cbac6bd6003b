/* SPDX-License-Identifier: MIT */
#include "smaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
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
static bool is_marked(const char *line)
{
	return !strncmp(line, "VmFlags:", 8) && strstr(line, " mg ");
}

struct mapping {
	uint64_t start;
	uint64_t end;
	bool anonymous;
	bool merged;	/* in part, by whatever means */
};

/* The first line of a mapping; no other starts with a digit or a small letter. */
static bool read_head(const char *line, struct mapping *ret)
{
	uint64_t inode;
	char shared;

	if (line[0] < 'a' && (line[0] < '0' || line[0] > '9'))
		return false;
	*ret = (struct mapping){ 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*3c%c %*s %*s %" SCNu64, &ret->start, &ret->end,
		   &shared, &inode) == 4)
		ret->anonymous = shared == 'p' && !inode;
	return true;
}

/* @marked gets what has to be looked at, @anonymous also what may have zero pages. */
static int read_smaps(FILE *smaps, struct ranges *marked, struct ranges *anonymous, bool *ret_marks)
{
	struct mapping mapping = { 0 };
	char *line = NULL;
	size_t size = 0;
	int error = 0;

	while (!error && getline(&line, &size, smaps) > 0) {
		unsigned long kib;
		bool mark;

		if (read_head(line, &mapping))
			continue;
		if (sscanf(line, "KSM: %lu", &kib) == 1)
			mapping.merged = kib > 0;
		if (strncmp(line, "VmFlags:", 8))
			continue;
		mark = is_marked(line);
		*ret_marks |= mark;
		if (mark || mapping.merged)
			error = add_range(marked, mapping.start, mapping.end);
		if (!error && (mark || mapping.merged || mapping.anonymous))
			error = add_range(anonymous, mapping.start, mapping.end);
	}
	free(line);
	return !error && ferror(smaps) ? -EIO : error;
}

int sksm_smaps_mergeable(pid_t pid, bool zeros, struct sksm_smaps_range **ret, size_t *ret_count)
{
	struct ranges marked = { 0 }, anonymous = { 0 }, *chosen = &marked, *other = &anonymous;
	bool marks = false;
	FILE *smaps;
	int error = sksm_process_stream(pid, "smaps", &smaps);

	if (error)
		return error;
	error = read_smaps(smaps, &marked, &anonymous, &marks);
	fclose(smaps);
	if (zeros && !marks) {
		chosen = &anonymous;
		other = &marked;
	}
	free(other->list);
	if (error) {
		free(chosen->list);
		return error;
	}
	*ret = chosen->list;
	*ret_count = chosen->count;
	return 0;
}
