/* SPDX-License-Identifier: MIT */
#include "nested.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* The last number of the line "NSpid:", if it is not the only one; else 0. */
static pid_t inner_pid(pid_t pid)
{
	char path[32], text[4096], *line, *end, *last;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (sksm_text_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "\nNSpid:\t");
	if (!line)
		return 0;
	line += strlen("\nNSpid:\t");
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	last = strrchr(line, '\t');
	return last ? (pid_t)atoi(last + 1) : 0;
}

int sksm_nested_read(struct sksm_nested *ret)
{
	struct sksm_nested nested = { 0 };
	DIR *stream = opendir("/proc");
	struct dirent *entry;

	if (!stream)
		return -errno;
	while ((entry = readdir(stream))) {
		struct sksm_nested_pid *list;
		uint64_t outer;
		pid_t inner;

		if (!sksm_text_number(entry->d_name, &outer) || outer > INT32_MAX)
			continue;
		inner = inner_pid((pid_t)outer);
		if (!inner)
			continue;
		list = reallocarray(nested.list, nested.count + 1, sizeof(*list));
		if (!list)
			break;
		nested.list = list;
		list[nested.count++] = (struct sksm_nested_pid){ (pid_t)outer, inner };
	}
	closedir(stream);
	*ret = nested;
	return 0;
}

bool sksm_nested_has(const struct sksm_nested *nested, pid_t inner)
{
	size_t i;

	for (i = 0; i < nested->count; i++)
		if (nested->list[i].inner == inner)
			return true;
	return false;
}

void sksm_nested_fini(struct sksm_nested *nested)
{
	free(nested->list);
	memset(nested, 0, sizeof(*nested));
}
