/* SPDX-License-Identifier: MIT */
/* The end: note it in the record, and print what SKSM_REPORT asks for. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tracker/fmt.h"
#include "tracker/sys.h"

static void (*real__exit)(int) __attribute__((noreturn));
static void (*real__Exit)(int) __attribute__((noreturn));

void shim_exit_resolve(void)
{
	real__exit = (__typeof__(real__exit))dlsym(RTLD_NEXT, "_exit");
	real__Exit = (__typeof__(real__Exit))dlsym(RTLD_NEXT, "_Exit");
}

/* quick_exit calls glibc's own _exit, which no hook sees. */
void shim_exit_register(void)
{
	at_quick_exit(shim_exit_note);
}

/* This process' own record, or NULL: a forked or vforked child may still see its parent's. */
static struct sksm_record *own_record(void)
{
	struct shim_control *control = shim.control;

	/* quick_exit comes here from a shim that sleeps, too, or that gave up. */
	if (!shim_active() || !control->alive || !control->record)
		return NULL;
	/* In a sandbox not even getpid is sure to be allowed. */
	if (!shim.sandboxed && control->record->pid != (uint32_t)sksm_call0(SYS_getpid))
		return NULL;
	return control->record;
}

void shim_exit_note(void)
{
	struct sksm_record *record = own_record();

	if (!record)
		return;
	record->state = SKSM_STATE_EXITED;
	shim_record_store();
	if (!shim.sandboxed)
		shim_thread_lift(true);
}

void shim_exit_exec(bool begins)
{
	struct sksm_record *record = own_record();

	if (!record)
		return;
	record->state = begins ? SKSM_STATE_EXEC : SKSM_STATE_RUNNING;
	shim_record_store();
	if (!shim.sandboxed)
		shim_thread_lift(begins);
}

static void put_size(struct sksm_fmt *fmt, uint64_t bytes)
{
	static const char units[] = "KMGTP";
	uint64_t tenths = bytes * 10 / 1024;
	int unit = 0;

	for (; tenths >= 10240 && units[unit + 1]; unit++)
		tenths /= 1024;
	sksm_fmt_uint(fmt, tenths / 10, 10);
	sksm_fmt_char(fmt, '.');
	sksm_fmt_uint(fmt, tenths % 10, 10);
	sksm_fmt_char(fmt, ' ');
	sksm_fmt_char(fmt, units[unit]);
	sksm_fmt_str(fmt, "iB");
}

static void put_head(struct sksm_fmt *fmt, const struct sksm_record *record)
{
	sksm_fmt_str(fmt, "sksm: ");
	sksm_fmt_str(fmt, record->comm);
	sksm_fmt_char(fmt, '[');
	sksm_fmt_uint(fmt, record->pid, 10);
	sksm_fmt_str(fmt, "]: ");
}

static void print_lines(const struct sksm_record *record)
{
	const struct sksm_counters *counters = &record->counters;
	char text[1024];
	struct sksm_fmt fmt = sksm_fmt_start(text, sizeof(text));

	put_head(&fmt, record);
	if (record->dormant[0]) {
		sksm_fmt_str(&fmt, "nothing was tracked: ");
		sksm_fmt_str(&fmt, record->dormant);
		sksm_fmt_char(&fmt, '\n');
	} else if (!counters->passes) {
		sksm_fmt_str(&fmt, "nothing was tracked: too little memory\n");
	} else {
		sksm_fmt_str(&fmt, "saved ");
		put_size(&fmt, counters->saved);
		sksm_fmt_str(&fmt, " (merged ");
		put_size(&fmt, counters->merged);
		sksm_fmt_str(&fmt, ") of ");
		put_size(&fmt, counters->resident);
		sksm_fmt_str(&fmt, " watched; ");
		put_size(&fmt, counters->duplicate);
		sksm_fmt_str(&fmt, " has a twin\n");
		put_head(&fmt, record);
		sksm_fmt_uint(&fmt, counters->cpu_ns / 1000000, 10);
		sksm_fmt_str(&fmt, " ms of CPU in ");
		sksm_fmt_uint(&fmt, counters->passes, 10);
		sksm_fmt_str(&fmt, " passes, ");
		sksm_fmt_uint(&fmt, counters->writes_seen, 10);
		sksm_fmt_str(&fmt, " faults, ");
		sksm_fmt_uint(&fmt, counters->cow_breaks, 10);
		sksm_fmt_str(&fmt, " merges undone by a write\n");
	}
	if (counters->offered && !counters->merged && record->engine == SKSM_ENGINE_KSM) {
		put_head(&fmt, record);
		sksm_fmt_str(&fmt, "offered pages were not merged: is ksmd stopped? "
				   "Run sksm-pacer as root, or see sksm-report --check\n");
	}
	shim_say(2, text, fmt.length);
}

static void put_json_string(struct sksm_fmt *fmt, const char *text)
{
	sksm_fmt_char(fmt, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			sksm_fmt_char(fmt, '\\');
		sksm_fmt_char(fmt, (unsigned char)*text < ' ' ? ' ' : *text);
	}
	sksm_fmt_char(fmt, '"');
}

static void put_json_uint(struct sksm_fmt *fmt, const char *name, uint64_t value)
{
	sksm_fmt_str(fmt, ",\"");
	sksm_fmt_str(fmt, name);
	sksm_fmt_str(fmt, "\":");
	sksm_fmt_uint(fmt, value, 10);
}

static bool stat_path(const char *path, int flags, struct stat *ret)
{
	return sksm_call4(SYS_newfstatat, AT_FDCWD, path, ret, flags) == 0;
}

/*
 * May what is at @path be written to? A link that another user planted may lead to any file of
 * ours, and in a file or FIFO of his he would read what we write. Links of root are fine
 * (/dev/stderr), and so are devices, and pipes behind a link. *ret_target is what will be opened;
 * its inode number is 0 where nothing is there yet.
 */
static bool may_append(const char *path, bool *ret_link, struct stat *ret_target)
{
	uid_t uid = (uid_t)sksm_call0(SYS_geteuid);
	struct stat *target = ret_target;

	*target = (struct stat){ 0 };
	*ret_link = false;
	if (!stat_path(path, AT_SYMLINK_NOFOLLOW, target))
		return true;
	if (!S_ISLNK(target->st_mode))
		return S_ISCHR(target->st_mode) || target->st_uid == uid;
	*ret_link = true;
	if (target->st_uid != uid && target->st_uid != 0)
		return false;
	if (stat_path(path, 0, target))
		return !S_ISREG(target->st_mode) || target->st_uid == uid;
	*target = (struct stat){ 0 };
	return true;
}

static int open_report(const char *path)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat expected, st;
	bool is_link;
	long fd = -EEXIST;

	/* Between two looks another process may have made the file. */
	for (int i = 0; i < 3 && fd == -EEXIST; i++) {
		if (!may_append(path, &is_link, &expected))
			return -EPERM;
		fd = sksm_call4(SYS_openat, AT_FDCWD, path,
				flags | (is_link ? 0 : O_NOFOLLOW) |
				(is_link || expected.st_ino ? 0 : O_EXCL), 0600);
	}
	if (fd < 0)
		return fd == -ELOOP ? -EPERM : (int)fd;
	/* Exchanged meanwhile? The number of a plain file may change as overlayfs opens it. */
	if (sksm_call4(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) ||
	    ((is_link || !S_ISREG(st.st_mode)) && expected.st_ino &&
	     (st.st_ino != expected.st_ino || st.st_dev != expected.st_dev)) ||
	    (S_ISREG(st.st_mode) && st.st_uid != (uid_t)sksm_call0(SYS_geteuid))) {
		sksm_call1(SYS_close, fd);
		return -EPERM;
	}
	return (int)fd;
}

static void refuse_report(const struct sksm_record *record, const char *path)
{
	char text[512];
	struct sksm_fmt fmt = sksm_fmt_start(text, sizeof(text));

	put_head(&fmt, record);
	sksm_fmt_str(&fmt, "SKSM_REPORT=");
	sksm_fmt_str(&fmt, path);
	sksm_fmt_str(&fmt, ": not a file of this user's; nothing is written\n");
	shim_say(2, text, fmt.length);
}

/* One object of the "processes" array of sksm-report --json, in a line of its own. */
static void append_json(const struct sksm_record *record, const char *path)
{
	const struct sksm_counters *counters = &record->counters;
	const struct { const char *name; uint64_t value; } numbers[] = {
		{ "seconds", (sksm_clock_ns(CLOCK_BOOTTIME) - record->start_ns) / 1000000000u },
		{ "passes", counters->passes }, { "tracked", counters->tracked },
		{ "resident", counters->resident }, { "armed", counters->armed },
		{ "invariant", counters->invariant }, { "hot", counters->hot },
		{ "digested", counters->digested }, { "duplicate", counters->duplicate },
		{ "offered", counters->offered }, { "merged", counters->merged },
		{ "zero", counters->zero }, { "saved", counters->saved },
		{ "debt", counters->debt }, { "writes_seen", counters->writes_seen },
		{ "cow_breaks", counters->cow_breaks }, { "cpu_ns", counters->cpu_ns },
		{ "sensitive_skipped", counters->sensitive_skipped },
		{ "shared_unmergeable", counters->shared_unmergeable },
	};
	char text[3072];
	struct sksm_fmt fmt = sksm_fmt_start(text, sizeof(text));
	long fd;

	sksm_fmt_str(&fmt, "{\"pid\":");
	sksm_fmt_uint(&fmt, record->pid, 10);
	sksm_fmt_str(&fmt, ",\"comm\":");
	put_json_string(&fmt, record->comm);
	sksm_fmt_str(&fmt, ",\"command\":");
	put_json_string(&fmt, record->command);
	sksm_fmt_str(&fmt, ",\"state\":\"exited\",\"engine\":");
	put_json_string(&fmt, sksm_engine_name(record->engine));
	sksm_fmt_str(&fmt, ",\"tracker\":");
	put_json_string(&fmt, sksm_tracker_name(record->tracker));
	sksm_fmt_str(&fmt, ",\"dormant\":");
	if (record->dormant[0])
		put_json_string(&fmt, record->dormant);
	else
		sksm_fmt_str(&fmt, "null");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		put_json_uint(&fmt, numbers[i].name, numbers[i].value);
	sksm_fmt_str(&fmt, "}\n");
	fd = open_report(path);
	if (fd == -EPERM && shim.options.log >= SKSM_LOG_ERROR)
		refuse_report(record, path);
	if (fd < 0)
		return;
	/* One write, so that the lines of many processes do not mix. */
	shim_say((int)fd, text, fmt.length);
	sksm_call1(SYS_close, fd);
}

void shim_exit_report(void)
{
	struct sksm_record *record = own_record();

	if (!record || shim.sandboxed)
		return;
	if (shim.options.report == SKSM_REPORT_STDERR)
		print_lines(record);
	else if (shim.options.report == SKSM_REPORT_PATH)
		append_json(record, shim.options.report_path);
}

SHIM_EXPORT void _exit(int status)
{
	if (shim_active())
		shim_exit_note();
	if (real__exit)
		real__exit(status);
	sksm_call1(SYS_exit_group, status);
	__builtin_unreachable();
}

SHIM_EXPORT void _Exit(int status)
{
	if (shim_active())
		shim_exit_note();
	if (real__Exit)
		real__Exit(status);
	sksm_call1(SYS_exit_group, status);
	__builtin_unreachable();
}
