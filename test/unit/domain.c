/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include <sys/wait.h>

#include "tracker/domain.h"

static struct sksm_options options;
static char top[32];

static void setup(void)
{
	inject_reset();
	unit_make_dir(top);
	memset(&options, 0, sizeof(options));
	snprintf(options.dir, sizeof(options.dir), "%s/sksm", top);
	strcpy(options.domain, "d");
}

static void teardown(void)
{
	unit_remove_dir(top);
}

TestSuite(domain, .init = setup, .fini = teardown);

static mode_t mode_of(const char *format)
{
	struct stat st;
	char path[300];

	snprintf(path, sizeof(path), format, options.dir);
	cr_assert_eq(lstat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

Test(domain, made_private_whatever_the_umask)
{
	int fd, records;

	umask(0);
	fd = sksm_domain_open(&inject_sys, &options);
	cr_assert_geq(fd, 0);
	cr_assert_eq(mode_of("%s"), 0700);
	cr_assert_eq(mode_of("%s/d"), 0700);
	records = sksm_domain_open_records(&inject_sys, fd);
	cr_assert_geq(records, 0);
	cr_assert_eq(mode_of("%s/d/records"), 0700);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(records);
	close(fd);
	/* It is there already. */
	fd = sksm_domain_open(&inject_sys, &options);
	cr_assert_geq(fd, 0);
	close(fd);
}

/* Refused with -EPERM, and no descriptor stays behind. */
static void expect_refused(const char *why)
{
	unsigned int fds = unit_count_fds();
	int fd = sksm_domain_open(&inject_sys, &options);

	cr_assert_eq(fd, -EPERM, "%s: %d", why, fd);
	cr_assert_eq(unit_count_fds(), fds);
}

Test(domain, planted_things_are_refused)
{
	char target[64], path[300];

	snprintf(target, sizeof(target), "%s/target", top);
	cr_assert_eq(mkdir(target, 0700), 0);
	cr_assert_eq(symlink(target, options.dir), 0);
	expect_refused("a symbolic link");
	cr_assert_eq(unlink(options.dir), 0);
	close(open(options.dir, O_CREAT | O_WRONLY, 0600));
	expect_refused("a file");
	cr_assert_eq(unlink(options.dir), 0);
	cr_assert_eq(mkdir(options.dir, 0700), 0);
	cr_assert_eq(chmod(options.dir, 0770), 0);
	expect_refused("writable by the group");
	cr_assert_eq(chmod(options.dir, 0702), 0);
	expect_refused("writable by others");
	cr_assert_eq(chmod(options.dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/d", options.dir);
	cr_assert_eq(symlink(target, path), 0);
	expect_refused("the domain is a symbolic link");
	cr_assert_eq(unlink(path), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(options.dir, 65534, 0), 0);
		expect_refused("somebody else's");
	}
}

/* What is said of it names the step that is wrong. */
Test(domain, a_refusal_is_explained)
{
	char text[400], path[300];

	strcpy(path, options.dir);
	sksm_domain_explain(&options, -EACCES, text, sizeof(text));
	cr_assert_str_eq(text + strlen("permission denied: "), options.dir);
	cr_assert_eq(symlink(top, options.dir), 0);
	sksm_domain_explain(&options, -EPERM, text, sizeof(text));
	cr_assert(strstr(text, "a symbolic link, expected a directory") == text, "%s", text);
	cr_assert_eq(unlink(options.dir), 0);
	close(sksm_domain_open(&inject_sys, &options));
	snprintf(path, sizeof(path), "%s/d", options.dir);
	cr_assert_eq(chmod(path, 0777), 0);
	sksm_domain_explain(&options, -EPERM, text, sizeof(text));
	cr_assert(strstr(text, "open to others, ") == text && strstr(text, path), "%s", text);
	/* Cut, never overrun. */
	memset(text, 'x', sizeof(text));
	sksm_domain_explain(&options, -EPERM, text, 10);
	cr_assert_str_eq(text, "open to o");
	cr_assert_eq(text[10], 'x');
}

Test(domain, where_nothing_can_be_made)
{
	snprintf(options.dir, sizeof(options.dir), "%s/none/sksm", top);
	cr_assert_eq(sksm_domain_open(&inject_sys, &options), -ENOENT);
	strcpy(options.dir, "/proc/sksm");
	cr_assert_lt(sksm_domain_open(&inject_sys, &options), 0);
}

Test(domain, the_key_is_made_once)
{
	uint8_t key[SKSM_KEY_BYTES], again[SKSM_KEY_BYTES], zero[SKSM_KEY_BYTES] = { 0 };
	int fd = sksm_domain_open(&inject_sys, &options), other;

	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), 0);
	cr_assert_neq(memcmp(key, zero, sizeof(key)), 0);
	cr_assert_eq(mode_of("%s/d/key"), 0600);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, again), 0);
	cr_assert_eq(memcmp(key, again, sizeof(key)), 0);
	strcpy(options.domain, "other");
	other = sksm_domain_open(&inject_sys, &options);
	cr_assert_eq(sksm_domain_key(&inject_sys, other, again), 0);
	cr_assert_neq(memcmp(key, again, sizeof(key)), 0, "each domain has its own");
	close(other);
	close(fd);
}

/* Processes that start at once all get the same key, and leave no other file. */
Test(domain, racing_makers_agree)
{
	enum { MAKERS = 16 };
	uint8_t key[SKSM_KEY_BYTES], first[SKSM_KEY_BYTES];
	int start[2], keys[2], fd = sksm_domain_open(&inject_sys, &options);
	char path[300];
	struct dirent *entry;
	DIR *dir;

	cr_assert_eq(pipe(start), 0);
	cr_assert_eq(pipe(keys), 0);
	for (int i = 0; i < MAKERS; i++) {
		if (fork())
			continue;
		close(start[1]);
		if (read(start[0], key, 1) == 0 && !sksm_domain_key(&sksm_sys_kernel, fd, key) &&
		    write(keys[1], key, sizeof(key)) == sizeof(key))
			_exit(0);
		_exit(1);
	}
	close(start[0]);
	close(start[1]);
	for (int i = 0; i < MAKERS; i++) {
		int status;

		cr_assert_gt(wait(&status), 0);
		cr_assert_eq(status, 0);
		cr_assert_eq(read(keys[0], key, sizeof(key)), (ssize_t)sizeof(key));
		if (i == 0)
			memcpy(first, key, sizeof(key));
		cr_assert_eq(memcmp(first, key, sizeof(key)), 0);
	}
	snprintf(path, sizeof(path), "%s/d", options.dir);
	dir = opendir(path);
	while ((entry = readdir(dir)))
		cr_assert(entry->d_name[0] == '.' || strcmp(entry->d_name, "key") == 0, "%s",
			  entry->d_name);
	closedir(dir);
}

static int truncate_key(int dir_fd, off_t bytes)
{
	int fd = openat(dir_fd, "key", O_WRONLY), result = ftruncate(fd, bytes);

	close(fd);
	return result;
}

Test(domain, wrong_keys_are_refused)
{
	int fd = sksm_domain_open(&inject_sys, &options);
	uint8_t key[SKSM_KEY_BYTES] = { 7 }, before[SKSM_KEY_BYTES] = { 7 };
	unsigned int fds = unit_count_fds();

	close(openat(fd, "key", O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EPERM, "too short");
	cr_assert_eq(truncate_key(fd, 1ll << 40), 0);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EPERM, "too long");
	unlinkat(fd, "key", 0);
	cr_assert_eq(symlinkat("/dev/zero", fd, "key"), 0);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EPERM, "a symbolic link");
	unlinkat(fd, "key", 0);
	cr_assert_eq(mkfifoat(fd, "key", 0600), 0);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EPERM, "a fifo");
	unlinkat(fd, "key", 0);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), 0);
	memcpy(key, before, sizeof(key));
	cr_assert_eq(fchmodat(fd, "key", 0640, 0), 0);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EPERM, "others can read it");
	cr_assert_eq(memcmp(key, before, sizeof(key)), 0, "ret is untouched on failure");
	cr_assert_eq(unit_count_fds(), fds);
	close(fd);
}

Test(domain, failures_while_a_key_is_made)
{
	uint8_t key[SKSM_KEY_BYTES];
	int fd = sksm_domain_open(&inject_sys, &options);
	unsigned int fds = unit_count_fds();

	inject_arm(INJECT_OPENAT, 2, EROFS, false);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EROFS);
	inject_arm(INJECT_WRITE, 1, ENOSPC, false);
	cr_assert_lt(sksm_domain_key(&inject_sys, fd, key), 0);
	cr_assert_eq(faccessat(fd, "key", F_OK, 0), -1, "no half-made key");
	inject_arm(INJECT_PREAD, 1, EIO, false);
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), -EIO);
	inject_reset();
	cr_assert_eq(sksm_domain_key(&inject_sys, fd, key), 0);
	cr_assert_eq(unit_count_fds(), fds);
	close(fd);
}
