/* SPDX-License-Identifier: MIT */
#include "fault.h"

#ifdef SKSM_FAULT_BUILD

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "abi.h"
#include "fmt.h"
#include "probe.h"
#include "sys.h"

#define RULES_MAX 16
#define SHORT -1

enum when { EXACTLY, FROM, EVERY };

struct rule {
	const char *name;	/* NULL: a mask */
	long number;
	long second;		/* what the second argument must be: a request; 0: anything */
	long third;		/* the third: an advice; 0: anything */
	int error;		/* positive, or SHORT */
	enum when when;
	unsigned int nth;
	unsigned int ability;
	unsigned int calls;
	unsigned int hits;
};

static const struct {
	const char *name;
	long number, second, third;
} calls[] = {
	{ "openat", SYS_openat, 0, 0 },
	{ "close", SYS_close, 0, 0 },
	{ "read", SYS_read, 0, 0 },
	{ "write", SYS_write, 0, 0 },
	{ "pread", SYS_pread64, 0, 0 },
	{ "pwrite", SYS_pwrite64, 0, 0 },
	{ "ftruncate", SYS_ftruncate, 0, 0 },
	{ "fallocate", SYS_fallocate, 0, 0 },
	{ "fstatfs", SYS_fstatfs, 0, 0 },
	{ "mkdirat", SYS_mkdirat, 0, 0 },
	{ "linkat", SYS_linkat, 0, 0 },
	{ "unlinkat", SYS_unlinkat, 0, 0 },
	{ "fstat", SYS_newfstatat, 0, 0 },
	{ "fcntl", SYS_fcntl, 0, 0 },
	{ "getrandom", SYS_getrandom, 0, 0 },
	{ "ioctl", SYS_ioctl, 0, 0 },
	{ "scan", SYS_ioctl, (long)SKSM_PAGEMAP_SCAN, 0 },
	{ "procmap_query", SYS_ioctl, (long)SKSM_PROCMAP_QUERY, 0 },
	{ "uffd_api", SYS_ioctl, (long)UFFDIO_API, 0 },
	{ "register", SYS_ioctl, (long)UFFDIO_REGISTER, 0 },
	{ "unregister", SYS_ioctl, (long)UFFDIO_UNREGISTER, 0 },
	{ "mmap", SYS_mmap, 0, 0 },
	{ "munmap", SYS_munmap, 0, 0 },
	{ "mprotect", SYS_mprotect, 0, 0 },
	{ "mremap", SYS_mremap, 0, 0 },
	{ "madvise", SYS_madvise, 0, 0 },
	{ "mergeable", SYS_madvise, 0, MADV_MERGEABLE },
	{ "unmergeable", SYS_madvise, 0, MADV_UNMERGEABLE },
	{ "wipeonfork", SYS_madvise, 0, MADV_WIPEONFORK },
	{ "copy_memory", SYS_process_vm_readv, 0, 0 },
	{ "userfaultfd", SYS_userfaultfd, 0, 0 },
	{ "close_range", SYS_close_range, 0, 0 },
	{ "futex", SYS_futex, 0, 0 },
	{ "prctl", SYS_prctl, 0, 0 },
	{ "sched_setattr", SYS_sched_setattr, 0, 0 },
	{ "setpriority", SYS_setpriority, 0, 0 },
	{ "getrusage", SYS_getrusage, 0, 0 },
	{ "prlimit", SYS_prlimit64, 0, 0 },
	{ "sysinfo", SYS_sysinfo, 0, 0 },
	{ "sigprocmask", SYS_rt_sigprocmask, 0, 0 },
};

static const struct {
	const char *name;
	int error;
} errors[] = {
	{ "EPERM", EPERM }, { "ENOENT", ENOENT }, { "ESRCH", ESRCH }, { "EINTR", EINTR },
	{ "EIO", EIO }, { "EBADF", EBADF }, { "EAGAIN", EAGAIN }, { "ENOMEM", ENOMEM },
	{ "EACCES", EACCES }, { "EFAULT", EFAULT }, { "EBUSY", EBUSY }, { "EEXIST", EEXIST },
	{ "EINVAL", EINVAL }, { "EMFILE", EMFILE }, { "ENFILE", ENFILE }, { "ENOSPC", ENOSPC },
	{ "EROFS", EROFS }, { "ENOSYS", ENOSYS }, { "ENOTTY", ENOTTY }, { "short", SHORT },
};

static struct rule rules[RULES_MAX];
static unsigned int rule_count;
static char log_path[256];

static bool is_word(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool parse_number(const char *text, size_t length, unsigned int *ret)
{
	unsigned int value = 0;

	if (!length || length > 9)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	*ret = value;
	return value > 0;
}

static bool parse_call(struct rule *rule, const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (!is_word(text, length, calls[i].name))
			continue;
		rule->name = calls[i].name;
		rule->number = calls[i].number;
		rule->second = calls[i].second;
		rule->third = calls[i].third;
		return true;
	}
	return false;
}

static bool parse_error(struct rule *rule, const char *text, size_t length)
{
	unsigned int number;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (is_word(text, length, errors[i].name)) {
			rule->error = errors[i].error;
			return true;
		}
	}
	if (!parse_number(text, length, &number) || number > 4095)
		return false;
	rule->error = (int)number;
	return true;
}

static bool parse_when(struct rule *rule, const char *text, size_t length)
{
	rule->when = EXACTLY;
	if (length && text[0] == '/') {
		rule->when = EVERY;
		text++;
		length--;
	} else if (length && text[length - 1] == '+') {
		rule->when = FROM;
		length--;
	}
	return parse_number(text, length, &rule->nth);
}

static bool parse_mask(struct rule *rule, const char *text, size_t length)
{
	for (unsigned int i = 0; i < SKSM_ABILITIES; i++) {
		if (is_word(text, length, sksm_ability_name((enum sksm_ability)i))) {
			rule->ability = i;
			return true;
		}
	}
	return false;
}

static size_t until(const char *text, size_t length, char end)
{
	const char *p = memchr(text, end, length);

	return p ? (size_t)(p - text) : length;
}

static bool parse_rule(const char *text, size_t length)
{
	struct rule rule = { .when = FROM, .nth = 1 };
	size_t part = until(text, length, ':'), rest;
	bool is_mask = is_word(text, part, "mask");

	if (part == length || rule_count == RULES_MAX)
		return false;
	if (!is_mask && !parse_call(&rule, text, part))
		return false;
	text += part + 1;
	length -= part + 1;
	if (is_mask) {
		if (!parse_mask(&rule, text, length))
			return false;
	} else {
		part = until(text, length, ':');
		rest = length - part;
		if (!parse_error(&rule, text, part) ||
		    (rest && !parse_when(&rule, text + part + 1, rest - 1)))
			return false;
	}
	rules[rule_count++] = rule;
	return true;
}

void sksm_fault_parse(char *const envp[])
{
	char line[128];
	struct sksm_fmt fmt;

	for (; envp && *envp; envp++) {
		const char *text = *envp;

		if (strncmp(text, "SKSM_FAULT_LOG=", 15) == 0 &&
		    strlen(text) - 15 < sizeof(log_path))
			memcpy(log_path, text + 15, strlen(text) - 14);
		if (strncmp(text, "SKSM_FAULT=", 11) != 0)
			continue;
		for (text += 11; *text;) {
			size_t length = until(text, strlen(text), ',');

			if (!parse_rule(text, length)) {
				fmt = sksm_fmt_start(line, sizeof(line));
				sksm_fmt_str(&fmt, "sksm: SKSM_FAULT: cannot be used, expected "
						   "CALL:ERROR[:WHEN] or mask:ABILITY, from: ");
				sksm_fmt_str(&fmt, text);
				sksm_fmt_char(&fmt, '\n');
				sksm_call3(SYS_write, 2, line, fmt.length);
			}
			text += length + (text[length] == ',');
		}
	}
}

/* Not by sksm_syscall: what is said of faults must not fail by them. */
static void say_once(struct rule *rule)
{
	char line[64];
	struct sksm_fmt fmt = sksm_fmt_start(line, sizeof(line));
	long fd;

	if (__atomic_fetch_add(&rule->hits, 1, __ATOMIC_RELAXED) || !log_path[0])
		return;
	sksm_fmt_str(&fmt, rule->name ? rule->name :
		     sksm_ability_name((enum sksm_ability)rule->ability));
	sksm_fmt_char(&fmt, '\n');
	fd = sksm_syscall_real(SYS_openat, AT_FDCWD, (long)log_path,
			       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644, 0, 0);
	if (fd < 0)
		return;
	sksm_syscall_real(SYS_write, fd, (long)line, (long)fmt.length, 0, 0, 0);
	sksm_syscall_real(SYS_close, fd, 0, 0, 0, 0, 0);
}

static bool is_due(struct rule *rule)
{
	unsigned int call = __atomic_add_fetch(&rule->calls, 1, __ATOMIC_RELAXED);

	switch (rule->when) {
	case EXACTLY: return call == rule->nth;
	case FROM: return call >= rule->nth;
	case EVERY: return call % rule->nth == 0;
	}
	return false;
}

bool sksm_fault_hit(long number, long second, long third, long *length, long *ret_result)
{
	for (unsigned int i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (!rule->name || rule->number != number ||
		    (rule->second && (uint32_t)rule->second != (uint32_t)second) ||
		    (rule->third && rule->third != third) || !is_due(rule))
			continue;
		say_once(rule);
		if (rule->error == SHORT) {
			*length /= 2;
			return false;
		}
		*ret_result = -rule->error;
		return true;
	}
	return false;
}

bool sksm_fault_masked(unsigned int ability)
{
	for (unsigned int i = 0; i < rule_count; i++) {
		if (!rules[i].name && rules[i].ability == ability) {
			say_once(&rules[i]);
			return true;
		}
	}
	return false;
}

#endif
