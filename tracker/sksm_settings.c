/* SPDX-License-Identifier: MIT */
/* libsksm: its settings, by the names of the environment. */
#include "sksm_instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	*(const char **)arg = expected;
}

/* Does a name that the options know stand before the '='? What they do not know they pass over. */
static bool is_known(const char *setting)
{
	static const char *const names[] = {
		"MODE", "ENGINE", "TRACKER", "THRESHOLD", "TRACK", "INTERVAL_MS", "AGE_MS",
		"CPU_PERCENT", "DIR", "DOMAIN", "HUGEPAGES", "SENSITIVE",
	};
	size_t length = strcspn(setting, "=");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == length && !strncmp(setting, names[i], length))
			return setting[length] == '=';
	return false;
}

int sksm_instance_parse(struct sksm *sksm, struct sksm_options *ret, const char **ret_reason)
{
	const char *expected = NULL;

	sksm_options_parse(ret, sksm->settings, complain, &expected);
	if (!expected)
		return 0;
	*ret_reason = expected;
	return -EINVAL;
}

int sksm_instance_set(struct sksm *sksm, const char *setting, const char **ret_reason)
{
	struct sksm_options parsed;
	unsigned int i = 0;
	char *copy, *old;
	int error;

	if (!strncmp(setting, "SKSM_", 5))
		setting += 5;
	if (!is_known(setting)) {
		*ret_reason = "expected NAME=VALUE with a name of docs/options.md";
		return -EINVAL;
	}
	if (asprintf(&copy, "SKSM_%s", setting) < 0)
		return -ENOMEM;
	while (i < sksm->setting_count && strncmp(copy, sksm->settings[i], strcspn(copy, "=") + 1))
		i++;
	if (i == SKSM_SETTINGS_MAX) {
		free(copy);
		return -ENOMEM;
	}
	old = sksm->settings[i];
	sksm->settings[i] = copy;
	error = sksm_instance_parse(sksm, &parsed, ret_reason);
	free(error ? copy : old);
	if (error) {
		sksm->settings[i] = old;
		return error;
	}
	sksm->next = parsed;
	sksm->setting_count += i == sksm->setting_count;
	return 0;
}
