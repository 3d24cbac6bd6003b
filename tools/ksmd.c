/* SPDX-License-Identifier: MIT */
#include "ksmd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

#define NS_PER_S 1000000000ull
#define KTHREADD 2

static const struct {
	const char *name;
	uint64_t max;
} numbers[SKSM_KSMD_SETTINGS] = {
	[SKSM_KSMD_ADVISOR_MODE] = { "advisor_mode", 0 },
	[SKSM_KSMD_PAGES_TO_SCAN] = { "pages_to_scan", UINT32_MAX },
	[SKSM_KSMD_SLEEP_MILLISECS] = { "sleep_millisecs", UINT32_MAX },
	[SKSM_KSMD_USE_ZERO_PAGES] = { "use_zero_pages", 1 },
	[SKSM_KSMD_SMART_SCAN] = { "smart_scan", 1 },
	[SKSM_KSMD_RUN] = { "run", 1 },
};

const char *sksm_ksmd_name(enum sksm_ksmd_setting setting)
{
	return numbers[setting].name;
}

bool sksm_ksmd_valid(enum sksm_ksmd_setting setting, const char *value)
{
	uint64_t number;

	if (setting == SKSM_KSMD_ADVISOR_MODE)
		return !strcmp(value, "none") || !strcmp(value, "scan-time");
	return sksm_text_number(value, &number) && number <= numbers[setting].max;
}

/* "[none] scan-time": the chosen word stands in brackets. */
static int chosen_word(char *text)
{
	char *open = strchr(text, '['), *close = strchr(text, ']');

	if (!open || !close || close < open)
		return -EINVAL;
	*close = '\0';
	memmove(text, open + 1, (size_t)(close - open));
	return 0;
}

/*
 * While memory is being taken offline the kernel adds 4 to what "run" shows (mm/ksm.c,
 * KSM_RUN_OFFLINE). Nobody wrote that, and it cannot be written back.
 */
#define RUN_OFFLINE 4u

static void without_offline(char *text, size_t size)
{
	uint64_t number;

	if (sksm_text_number(text, &number) && number & RUN_OFFLINE)
		snprintf(text, size, "%" PRIu64, number & ~(uint64_t)RUN_OFFLINE);
}

static void setting_path(enum sksm_ksmd_setting setting, char *ret, size_t size)
{
	snprintf(ret, size, SKSM_KSMD_ROOT "/%s", numbers[setting].name);
}

int sksm_ksmd_get(enum sksm_ksmd_setting setting, char ret[SKSM_KSMD_VALUE_MAX])
{
	char path[64], text[64];
	ssize_t length;

	setting_path(setting, path, sizeof(path));
	length = sksm_text_read(AT_FDCWD, path, text, sizeof(text));
	if (length < 0)
		return (int)length;
	if (setting == SKSM_KSMD_ADVISOR_MODE && chosen_word(text))
		return -EINVAL;
	if (setting == SKSM_KSMD_RUN)
		without_offline(text, sizeof(text));
	if (strlen(text) >= SKSM_KSMD_VALUE_MAX)
		return -EINVAL;
	strcpy(ret, text);
	return 0;
}

int sksm_ksmd_read(struct sksm_ksmd_settings *ret)
{
	struct sksm_ksmd_settings settings = { 0 };
	int i, error;

	for (i = 0; i < SKSM_KSMD_SETTINGS; i++) {
		error = sksm_ksmd_get(i, settings.value[i]);
		if (error && (error != -ENOENT || i == SKSM_KSMD_RUN))
			return error;
	}
	*ret = settings;
	return 0;
}

int sksm_ksmd_set(enum sksm_ksmd_setting setting, const char *value)
{
	char path[64];

	if (!sksm_ksmd_valid(setting, value))
		return -EINVAL;
	setting_path(setting, path, sizeof(path));
	return sksm_text_write(path, value);
}

int sksm_ksmd_apply(const struct sksm_ksmd_settings *from, const struct sksm_ksmd_settings *to)
{
	int i, error = 0;

	for (i = 0; i < SKSM_KSMD_SETTINGS && !error; i++)
		if (strcmp(from->value[i], to->value[i]))
			error = sksm_ksmd_set(i, to->value[i]);
	return error;
}

int sksm_ksmd_put_back(const struct sksm_ksmd_settings *original,
		       const struct sksm_ksmd_settings *ours)
{
	int i, error, first_error = 0;

	for (i = SKSM_KSMD_SETTINGS - 1; i >= 0; i--) {
		char now[SKSM_KSMD_VALUE_MAX];

		if (!strcmp(original->value[i], ours->value[i]))
			continue;
		error = sksm_ksmd_get(i, now);
		if (!error && !strcmp(now, ours->value[i]))
			error = sksm_ksmd_set(i, original->value[i]);
		if (!first_error)
			first_error = error;
	}
	return first_error;
}

uint64_t sksm_ksmd_counter(const char *name)
{
	char path[96], text[64];
	uint64_t value = 0;

	snprintf(path, sizeof(path), SKSM_KSMD_ROOT "/%s", name);
	if (sksm_text_read(AT_FDCWD, path, text, sizeof(text)) > 0)
		sksm_text_number(text, &value);
	return value;
}

pid_t sksm_ksmd_pid(void)
{
	DIR *stream = opendir("/proc");
	struct dirent *entry;
	pid_t ksmd = 0;

	while (stream && !ksmd && (entry = readdir(stream))) {
		struct sksm_process process;
		uint64_t pid;

		if (sksm_text_number(entry->d_name, &pid) && pid <= INT32_MAX &&
		    !sksm_process_read((pid_t)pid, &process) && process.kernel_thread &&
		    process.parent == KTHREADD && !strcmp(process.comm, "ksmd"))
			ksmd = (pid_t)pid;
	}
	if (stream)
		closedir(stream);
	return ksmd;
}

uint64_t sksm_ksmd_cpu_ns(pid_t ksmd)
{
	char path[48], text[1024], *close;
	unsigned long long ns, ticks;

	if (!ksmd)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)ksmd);
	if (sksm_text_read(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	    sscanf(text, "%llu", &ns) == 1)
		return ns;
	/* Without CONFIG_SCHED_INFO: in clock ticks. */
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)ksmd);
	if (sksm_text_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return 0;
	close = strrchr(text, ')');
	if (!close || sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %llu",
			     &ticks) != 1)
		return 0;
	return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}
