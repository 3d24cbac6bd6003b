/* SPDX-License-Identifier: MIT */
#include "pacer_state.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pacer_home.h"
#include "process.h"
#include "text.h"

#define HEADER "sksm-pacer state 1"
#define STATE_BYTES_MAX 1024
#define BOOT_ID_MAX 40
#define ABSENT "-"	/* a setting that the kernel does not have */

static int read_boot_id(char ret[BOOT_ID_MAX])
{
	ssize_t length = sksm_text_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret,
					BOOT_ID_MAX);

	return length < 0 ? (int)length : 0;
}

int sksm_pacer_state_save(int home_fd, const struct sksm_ksmd_settings *original,
			  const struct sksm_ksmd_settings *ours)
{
	char text[STATE_BYTES_MAX], boot_id[BOOT_ID_MAX];
	struct sksm_process self;
	size_t used;
	int i, error;

	error = read_boot_id(boot_id);
	if (!error)
		error = sksm_process_read(getpid(), &self);
	if (error)
		return error;
	used = (size_t)snprintf(text, sizeof(text), HEADER "\nboot %s\npid %d\nstart %" PRIu64 "\n",
				boot_id, (int)getpid(), self.start_ticks);
	for (i = 0; i < SKSM_KSMD_SETTINGS; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %s %s\n",
					 sksm_ksmd_name(i),
					 *original->value[i] ? original->value[i] : ABSENT,
					 *ours->value[i] ? ours->value[i] : ABSENT);
	snprintf(text + used, sizeof(text) - used, "end\n");
	return sksm_text_replace(home_fd, SKSM_PACER_STATE, text, 0600);
}

int sksm_pacer_state_remove(int home_fd)
{
	return unlinkat(home_fd, SKSM_PACER_STATE, 0) && errno != ENOENT ? -errno : 0;
}

/* Take the next line off *text, terminated. NULL at the end or where it is not terminated. */
static char *next_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

/* "NAME VALUE" of exactly that name: the value, or NULL. */
static char *value_of(char *line, const char *name)
{
	size_t length = strlen(name);

	if (!line || strncmp(line, name, length) || line[length] != ' ')
		return NULL;
	return line + length + 1;
}

static bool copy_value(enum sksm_ksmd_setting setting, char *ret, const char *value)
{
	if (!strcmp(value, ABSENT)) {
		*ret = '\0';
		return setting != SKSM_KSMD_RUN;
	}
	if (strlen(value) >= SKSM_KSMD_VALUE_MAX || !sksm_ksmd_valid(setting, value))
		return false;
	strcpy(ret, value);
	return true;
}

static bool parse_setting(char *line, enum sksm_ksmd_setting setting,
			  struct sksm_ksmd_settings *original, struct sksm_ksmd_settings *ours)
{
	char *value = value_of(line, sksm_ksmd_name(setting)), *second;

	second = value ? strchr(value, ' ') : NULL;
	if (!second)
		return false;
	*second++ = '\0';
	return copy_value(setting, original->value[setting], value) &&
	       copy_value(setting, ours->value[setting], second);
}

struct state {
	char *boot_id;
	uint64_t pid;
	uint64_t start_ticks;
	struct sksm_ksmd_settings original;
	struct sksm_ksmd_settings ours;
};

static bool parse_state(char *text, struct state *ret)
{
	char *line = next_line(&text), *pid, *start;
	int i;

	if (!line || strcmp(line, HEADER))
		return false;
	ret->boot_id = value_of(next_line(&text), "boot");
	if (!ret->boot_id)
		return false;
	pid = value_of(next_line(&text), "pid");
	start = pid ? value_of(next_line(&text), "start") : NULL;
	if (!start || !sksm_text_number(pid, &ret->pid) || ret->pid > INT32_MAX ||
	    !sksm_text_number(start, &ret->start_ticks))
		return false;
	for (i = 0; i < SKSM_KSMD_SETTINGS; i++)
		if (!parse_setting(next_line(&text), i, &ret->original, &ret->ours))
			return false;
	/* A pulse begins only where ksmd stands still, and lets it run. */
	return !strcmp(text, "end") && !strcmp(ret->original.value[SKSM_KSMD_RUN], "0") &&
	       !strcmp(ret->ours.value[SKSM_KSMD_RUN], "1");
}

static int set_aside(int home_fd)
{
	warnx(SKSM_PACER_HOME "/" SKSM_PACER_STATE " is not a state file of ours; it is kept as "
	      SKSM_PACER_STATE ".bad and the settings in " SKSM_KSMD_ROOT " are left as they are");
	if (renameat(home_fd, SKSM_PACER_STATE, home_fd, SKSM_PACER_STATE ".bad"))
		return -errno;
	return -EBADMSG;
}

/* The text of a regular file that only root can have written. Length or -errno. */
static ssize_t read_state(int home_fd, char *ret, size_t size)
{
	struct stat status;
	ssize_t length;

	if (fstatat(home_fd, SKSM_PACER_STATE, &status, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_uid != 0 || (status.st_mode & 077) ||
	    status.st_size >= (off_t)size)
		return -EINVAL;
	length = sksm_text_read(home_fd, SKSM_PACER_STATE, ret, size);
	return length >= 0 && strlen(ret) != (size_t)length ? -EINVAL : length;
}

int sksm_pacer_state_repair(int home_fd)
{
	char text[STATE_BYTES_MAX], boot_id[BOOT_ID_MAX];
	struct state state = { 0 };
	ssize_t length = read_state(home_fd, text, sizeof(text));
	int error;

	if (length == -ENOENT)
		return 0;
	if (length < 0 || !parse_state(text, &state))
		return set_aside(home_fd);
	error = read_boot_id(boot_id);
	if (error)
		return error;
	if (strcmp(boot_id, state.boot_id)) {
		error = sksm_pacer_state_remove(home_fd);
		return error;
	}
	error = sksm_ksmd_put_back(&state.original, &state.ours);
	if (error) {
		warnx(SKSM_KSMD_ROOT ": %s; " SKSM_PACER_STATE " is kept", strerror(-error));
		return error;
	}
	warnx("put back the settings in " SKSM_KSMD_ROOT " that pacer %" PRIu64
	      " left when it was killed", state.pid);
	error = sksm_pacer_state_remove(home_fd);
	return error ? error : 1;
}
