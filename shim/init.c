/* SPDX-License-Identifier: MIT */
/* Constructor, fork, destructor. */
#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tracker/abi.h"
#include "tracker/fmt.h"
#include "tracker/sys.h"

struct shim shim;

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	char line[512], cut[81];
	struct sksm_fmt fmt = sksm_fmt_start(cut, sizeof(cut));

	/* The value is somebody's typing: only so much of it, and nothing a terminal acts upon. */
	for (; *value; value++)
		sksm_fmt_char(&fmt, *value >= ' ' && *value < 0x7f ? *value : '?');
	fmt = sksm_fmt_start(line, sizeof(line));
	sksm_fmt_str(&fmt, "sksm: SKSM_");
	sksm_fmt_str(&fmt, name);
	sksm_fmt_str(&fmt, "=");
	sksm_fmt_str(&fmt, cut);
	sksm_fmt_str(&fmt, " cannot be used, expected ");
	sksm_fmt_str(&fmt, expected);
	sksm_fmt_str(&fmt, "; the default is used\n");
	sksm_call3(SYS_write, 2, line, fmt.length);
}

static void silence(const char *name, const char *value, const char *expected, void *arg)
{
}

static bool log_is_off(char *const envp[])
{
	for (; envp && *envp; envp++)
		if (strcmp(*envp, "SKSM_LOG=off") == 0)
			return true;
	return false;
}

static void save_command(int argc, char *const argv[], char *const envp[])
{
	struct sksm_fmt fmt = sksm_fmt_start(shim.command, sizeof(shim.command));

	for (int i = 0; i < argc && argv[i]; i++) {
		if (i)
			sksm_fmt_char(&fmt, ' ');
		sksm_fmt_str(&fmt, argv[i]);
	}
	sksm_call2(SYS_prctl, PR_GET_NAME, shim.comm);
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "SKSM_RUN_ID=", 12) == 0)
			for (const char *p = *envp + 12; *p >= '0' && *p <= '9'; p++)
				shim.run_id = shim.run_id * 10 + (uint64_t)(*p - '0');
}

/*
 * Inherited through exec, a filter may allow what the loader needs and kill at what we do. The
 * calls used to find out are the loader's own.
 */
static bool has_filter(void)
{
	static const char line[] = "\nSeccomp:\t";
	char text[2048];
	const char *p;

	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/status", text,
			   sizeof(text)) <= 0)
		return false;
	p = strstr(text, line);
	return p && p[sizeof(line) - 1] != '0';
}

static uint64_t peak_rss_kb(void)
{
	struct rusage usage = { 0 };

	sksm_call2(SYS_getrusage, RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_maxrss;
}

static void adopt_control(struct shim_control *control)
{
	control->pid = (uint32_t)sksm_call0(SYS_getpid);
	control->next_rss_kb = peak_rss_kb() + shim.options.threshold_bytes / 1024;
	__atomic_store_n(&control->alive, 1, __ATOMIC_RELEASE);
}

static bool make_control(void)
{
	void *page = sksm_sys_kernel.mmap(NULL, SKSM_PAGE_BYTES, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (sksm_is_error(page))
		return false;
	/* Without it a child would take the parent's thread for its own. */
	if (sksm_sys_kernel.madvise(page, SKSM_PAGE_BYTES, MADV_WIPEONFORK)) {
		sksm_sys_kernel.munmap(page, SKSM_PAGE_BYTES);
		return false;
	}
	sksm_sys_kernel.madvise(page, SKSM_PAGE_BYTES, MADV_DONTDUMP);
	shim.control = page;
	adopt_control(page);
	return true;
}

void shim_child(void)
{
	/* Threads of a child race here only if it made them by raw clone: both do the same. */
	adopt_control(shim.control);
}

/*
 * In a child made by fork(). One that calls exec at once gets no thread: the thread starts when
 * the child first waits for something (growth.c) or maps memory.
 */
static void after_fork(void)
{
	if (!shim.enabled || shim.control->alive)
		return;
	shim_child();
	/* What it inherited may be worth watching without growing by a byte. */
	if (shim.had_thread)
		shim.control->next_rss_kb = 0;
}

__attribute__((constructor)) static void shim_init(int argc, char *argv[], char *envp[])
{
	const char *reason;

	shim_hooks_resolve();
	shim_growth_resolve();
	shim_aside_resolve();
	shim_exit_resolve();
	/* The loader drops preloads of setuid programs, but not those in /etc/ld.so.preload. */
	if (getauxval(AT_SECURE))
		return;
	sksm_options_parse(&shim.options, envp, log_is_off(envp) ? silence : complain, NULL);
	if (shim.options.mode == SKSM_MODE_OFF)
		return;
	shim.sandboxed = has_filter();
	if (shim.sandboxed)
		return;
	save_command(argc, argv, envp);
	if (!sksm_options_admit(&shim.options, argc > 0 && argv[0] ? argv[0] : shim.comm))
		return;
	if (!make_control())
		return;
	reason = shim_record_make();
	if (reason)
		return;
	pthread_atfork(NULL, NULL, after_fork);
	shim_exit_register();
	__atomic_store_n(&shim.enabled, true, __ATOMIC_RELEASE);
}

__attribute__((destructor)) static void shim_fini(void)
{
	if (!shim_active())
		return;
	shim_exit_report();
	shim_exit_note();
}
