/* SPDX-License-Identifier: MIT */
#include "unrecorded.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "text.h"

static int is_pid(const struct dirent *entry)
{
	uint64_t pid;

	return sksm_text_number(entry->d_name, &pid) && pid <= INT32_MAX;
}

/* Does it map the library, and no record? */
static bool is_unrecorded(pid_t pid)
{
	bool ours = false, recorded = false;
	char *line = NULL;
	size_t size = 0;
	FILE *maps;

	if (sksm_process_stream(pid, "maps", &maps))
		return false;
	while (!recorded && getline(&line, &size, maps) > 0) {
		ours = ours || strstr(line, "/libsksm_preload.so");
		recorded = strstr(line, "/records/") && strstr(line, ".rec\n");
	}
	free(line);
	fclose(maps);
	return ours && !recorded;
}

static bool is_in_domain(pid_t pid, const char *domain)
{
	static const char name[] = "SKSM_DOMAIN=";
	char *variable = NULL;
	bool same = !strcmp(domain, "default");
	size_t size = 0;
	FILE *environment;

	if (sksm_process_stream(pid, "environ", &environment))
		return false;
	while (getdelim(&variable, &size, '\0', environment) > 0)
		if (!strncmp(variable, name, strlen(name)))
			same = !strcmp(variable + strlen(name), domain);
	free(variable);
	fclose(environment);
	return same;
}

static int append(struct sksm_unrecorded *unrecorded, pid_t pid)
{
	struct sksm_unrecorded_process *list;
	struct sksm_process process;

	if (sksm_process_read(pid, &process) || process.dead)
		return 0;
	list = reallocarray(unrecorded->list, unrecorded->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	unrecorded->list = list;
	list += unrecorded->count++;
	list->pid = pid;
	sksm_text_clean(list->comm, sizeof(list->comm), process.comm);
	return 0;
}

int sksm_unrecorded_find(struct sksm_unrecorded *ret, const char *domain)
{
	struct sksm_unrecorded unrecorded = { 0 };
	struct dirent **names;
	int count = scandir("/proc", &names, is_pid, versionsort), error = 0, i;

	if (count < 0)
		return -errno;
	for (i = 0; i < count; i++) {
		pid_t pid = (pid_t)atoi(names[i]->d_name);

		free(names[i]);
		if (!error && is_unrecorded(pid) && (!domain || is_in_domain(pid, domain)))
			error = append(&unrecorded, pid);
	}
	free(names);
	if (error)
		sksm_unrecorded_fini(&unrecorded);
	*ret = unrecorded;
	return error;
}

void sksm_unrecorded_fini(struct sksm_unrecorded *unrecorded)
{
	free(unrecorded->list);
	memset(unrecorded, 0, sizeof(*unrecorded));
}
