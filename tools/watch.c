/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int sksm_watch_open(void)
{
	int watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (watch_fd < 0)
		return -errno;
	if (inotify_add_watch(watch_fd, SKSM_KSMD_ROOT, IN_MODIFY | IN_ONLYDIR) < 0) {
		int error = -errno;

		close(watch_fd);
		return error;
	}
	return watch_fd;
}

static void note_name(const char *name, bool ret[SKSM_KSMD_SETTINGS])
{
	int i;

	for (i = 0; i < SKSM_KSMD_SETTINGS; i++)
		if (!strcmp(name, sksm_ksmd_name(i)))
			ret[i] = true;
}

bool sksm_watch_written(int watch_fd, bool ret[SKSM_KSMD_SETTINGS])
{
	_Alignas(struct inotify_event) char events[4096];
	bool any = false;
	ssize_t length;
	int i;

	memset(ret, 0, SKSM_KSMD_SETTINGS * sizeof(*ret));
	if (watch_fd < 0)
		return false;
	while ((length = read(watch_fd, events, sizeof(events))) > 0) {
		const char *at = events;

		while (at < events + length) {
			const struct inotify_event *event = (const void *)at;

			if (event->len)
				note_name(event->name, ret);
			at += sizeof(*event) + event->len;
		}
	}
	for (i = 0; i < SKSM_KSMD_SETTINGS; i++)
		any = any || ret[i];
	return any;
}

void sksm_watch_forget(int watch_fd)
{
	bool written[SKSM_KSMD_SETTINGS];

	sksm_watch_written(watch_fd, written);
}
