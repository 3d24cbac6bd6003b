/* SPDX-License-Identifier: MIT */
/* Constructor, fork, destructor. */
#include "shim.h"

#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "tracker/fault.h"
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
	shim_say(2, line, fmt.length);
}

static void silence(const char *name, const char *value, const char *expected, void *arg)
{
}

/*
 * Sanitizers replace memcpy and its kin by functions that look for the state of the thread that
 * calls them; ours has none. These are theirs, where they are loaded.
 */
void __asan_init(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));

static bool is_sanitized(void)
{
	return __asan_init || __msan_init || __tsan_init;
}

/* Valgrind simulates threads itself and ends the program at a clone it does not know. */
static bool is_valgrind(char *const envp[])
{
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "LD_PRELOAD=", 11) == 0 && strstr(*envp, "/vgpreload_"))
			return true;
	return false;
}

static bool log_is_off(char *const envp[])
{
	for (; envp && *envp; envp++)
		if (strcmp(*envp, "SKSM_LOG=off") == 0)
			return true;
	return false;
}

void shim_log_dormant(const char *reason)
{
	char line[512];
	struct sksm_fmt fmt = sksm_fmt_start(line, sizeof(line));

	if (shim.options.log < SKSM_LOG_INFO)
		return;
	sksm_fmt_str(&fmt, "sksm: ");
	sksm_fmt_str(&fmt, shim.comm);
	sksm_fmt_str(&fmt, ": nothing is tracked: ");
	sksm_fmt_str(&fmt, reason);
	sksm_fmt_char(&fmt, '\n');
	shim_say(2, line, fmt.length);
}

/* As the kernel names it: by the file that was executed. */
static void save_name(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN), *slash;
	struct sksm_fmt fmt = sksm_fmt_start(shim.comm, sizeof(shim.comm));

	slash = path ? strrchr(path, '/') : NULL;
	sksm_fmt_str(&fmt, slash ? slash + 1 : path ? path : "");
}

static void save_command(int argc, char *const argv[], char *const envp[])
{
	struct sksm_fmt fmt = sksm_fmt_start(shim.command, sizeof(shim.command));

	for (int i = 0; i < argc && argv[i]; i++) {
		if (i)
			sksm_fmt_char(&fmt, ' ');
		sksm_fmt_str(&fmt, argv[i]);
	}
	save_name();
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "SKSM_RUN_ID=", 12) == 0)
			for (const char *p = *envp + 12; *p >= '0' && *p <= '9'; p++)
				shim.run_id = shim.run_id * 10 + (uint64_t)(*p - '0');
}

/* In the parent: count.c. */
static void note_fork(void)
{
	shim.forked_ns = shim_coarse_ns();
}

/*
 * In a child made by fork(). One that calls exec at once gets no thread: the thread starts when
 * the child first waits for something (growth.c) or maps memory.
 */
static void after_fork(void)
{
	/*
	 * The thread that was at it is not here, and how far it was nobody knows: whether it has
	 * given addresses back, which may be the program's by now.
	 */
	if (shim.sleep == SHIM_WAKING)
		shim.sleep = SHIM_NO_SLEEP;
	/* In a sandbox a child must not so much as ask for its pid. */
	if (!shim.enabled || shim.sandboxed || shim.control->alive)
		return;
	shim_child();
	/* What it inherited may be worth watching without growing by a byte. */
	if (shim.had_thread)
		shim.control->next_rss_kb = 0;
}

__attribute__((constructor)) static void shim_init(int argc, char *argv[], char *envp[])
{
	shim_hooks_resolve();
	shim_growth_resolve();
	shim_aside_resolve();
	shim_exec_resolve();
	shim_exit_resolve();
	shim_site_resolve();
	/* The loader drops preloads of setuid programs, but not those in /etc/ld.so.preload. */
	if (getauxval(AT_SECURE))
		return;
	if (is_valgrind(envp) || is_sanitized())
		return;
#ifdef SKSM_FAULT_BUILD
	sksm_fault_parse(envp);
#endif
	sksm_options_read(&shim.options, envp, log_is_off(envp) ? silence : complain, NULL);
	if (shim.options.mode == SKSM_MODE_OFF)
		return;
	save_command(argc, argv, envp);
	if (!sksm_options_admit(&shim.options, argc > 0 && argv[0] ? argv[0] : shim.comm) ||
	    !shim_sleep())
		return;
	pthread_atfork(NULL, note_fork, after_fork);
	shim_exit_register();
	shim_malloc_start();
	/* A report is wanted of every process. */
	if (shim.options.report != SKSM_REPORT_NONE || shim.run_id)
		shim_wake();
}

__attribute__((destructor)) static void shim_fini(void)
{
	if (!shim_active())
		return;
	if (shim.control->alive && shim.control->record && !shim.sandboxed &&
	    shim.control->record->dormant[0])
		shim_log_dormant(shim.control->record->dormant);
	shim_exit_report();
	shim_exit_note();
}
