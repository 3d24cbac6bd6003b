/* SPDX-License-Identifier: MIT */
/*
 * ksmd at full speed for the length of a test. It belongs to the whole machine: every setting is
 * put back by a process of its own, however the test ends, and tests of other checkouts wait for
 * one another (test/lib.sh).
 */
#ifndef SKSM_UNIT_KSMD_H
#define SKSM_UNIT_KSMD_H

#include <sys/file.h>
#include <sys/wait.h>

#include "unit.h"

#define KSMD_DIR "/sys/kernel/mm/ksm/"

/* In the order of writing; pages_to_scan cannot be written while an advisor is on. */
static const struct { const char *name; const char *value; } ksmd_settings[] = {
	{ "advisor_mode", "none" }, { "pages_to_scan", "4000" }, { "sleep_millisecs", "2" },
	{ "smart_scan", "0" }, { "use_zero_pages", "1" }, { "run", "1" },
};

#define KSMD_SETTINGS (sizeof(ksmd_settings) / sizeof(ksmd_settings[0]))

struct ksmd {
	int alive;	/* closed when the test ends, however it ends */
	int restored;	/* end of file once the settings are back */
};

/* Held by whoever has the descriptor open. */
static inline int ksmd_lock(void)
{
	int fd = open("/run/sksm-test.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0);
	/* Whoever started us has it (test/lib.sh). */
	while (!getenv("SKSM_TEST_LOCKED") && flock(fd, LOCK_EX))
		cr_assert_eq(errno, EINTR);
	return fd;
}

static inline bool ksmd_read(const char *name, char ret[64])
{
	char path[128], text[64] = "";
	const char *chosen = text;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), KSMD_DIR "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	/* "[none] scan-time" */
	if (strchr(text, '['))
		chosen = strchr(text, '[') + 1;
	snprintf(ret, 64, "%.*s", (int)strcspn(chosen, "]\n"), chosen);
	return true;
}

static inline void ksmd_write(const char *name, const char *value)
{
	char path[128], now[64];
	int fd;

	if (!ksmd_read(name, now) || strcmp(now, value) == 0)
		return;
	snprintf(path, sizeof(path), KSMD_DIR "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "%s cannot be set to %s\n", path, value);
	if (fd >= 0)
		close(fd);
}

/* Skips the test where ksmd cannot be had. */
static inline struct ksmd ksmd_start(void)
{
	char before[KSMD_SETTINGS][64] = { 0 };
	int alive[2], restored[2], lock;
	pid_t pid;

	if (access(KSMD_DIR "run", W_OK))
		unit_skip("ksmd can be switched on by root only, where the kernel has KSM");
	lock = ksmd_lock();
	for (size_t i = 0; i < KSMD_SETTINGS; i++)
		ksmd_read(ksmd_settings[i].name, before[i]);
	cr_assert_eq(pipe2(alive, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(restored, O_CLOEXEC), 0);
	/* Nobody's child: ctest kills the descendants of a test that takes too long. */
	pid = fork();
	if (pid == 0) {
		if (fork())
			_exit(0);
		setsid();
		close(alive[1]);
		close(restored[0]);
		while (read(alive[0], &(char){ 0 }, 1) < 0)
			;
		for (size_t i = KSMD_SETTINGS; i-- > 0;)
			if (before[i][0])
				ksmd_write(ksmd_settings[i].name, before[i]);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	close(lock);
	close(alive[0]);
	close(restored[1]);
	for (size_t i = 0; i < KSMD_SETTINGS; i++)
		ksmd_write(ksmd_settings[i].name, ksmd_settings[i].value);
	return (struct ksmd){ .alive = alive[1], .restored = restored[0] };
}

static inline void ksmd_stop(struct ksmd *ksmd)
{
	close(ksmd->alive);
	while (read(ksmd->restored, &(char){ 0 }, 1) > 0)
		;
	close(ksmd->restored);
}

#endif
