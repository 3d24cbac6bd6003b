/* SPDX-License-Identifier: MIT */
/* Constructor, fork, destructor. */
#include "shim.h"

#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include "tracker/abi.h"
#include "tracker/arena.h"
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

static void adopt_control(struct shim_control *control)
{
	control->pid = (uint32_t)sksm_call0(SYS_getpid);
	control->next_rss_kb = shim_peak_rss_kb() + shim.options.threshold_bytes / 1024;
	__atomic_store_n(&control->alive, 1, __ATOMIC_RELEASE);
}

static void log_dormant(const char *reason)
{
	char line[256];
	struct sksm_fmt fmt = sksm_fmt_start(line, sizeof(line));

	if (shim.options.log < SKSM_LOG_INFO)
		return;
	sksm_fmt_str(&fmt, "sksm: ");
	sksm_fmt_str(&fmt, shim.comm);
	sksm_fmt_str(&fmt, ": nothing is tracked: ");
	sksm_fmt_str(&fmt, reason);
	sksm_fmt_char(&fmt, '\n');
	sksm_call3(SYS_write, 2, line, fmt.length);
}

/*
 * A 128th of the machine's memory is more than the tracker of a process with all of it needs. It
 * counts towards RLIMIT_AS, though it is addresses only: there, a 64th of what is allowed.
 */
static size_t reservation_size(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct sysinfo info = { 0 };
	uint64_t bytes;

	sksm_call1(SYS_sysinfo, &info);
	bytes = (uint64_t)info.totalram * info.mem_unit / 128;
	if (bytes < 32u << 20)
		bytes = 32u << 20;
	sksm_call2(SYS_getrlimit, RLIMIT_AS, &limit);
	if (limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur / 64)
		bytes = limit.rlim_cur / 64;
	return bytes & -SKSM_PAGE_BYTES;
}

static bool make_control(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;

	shim.reservation_bytes = reservation_size();
	if (shim.reservation_bytes < SHIM_TRACKER_AT + (1u << 20))
		return false;
	shim.reservation = sksm_arena_reserve(sys, shim.reservation_bytes);
	if (!shim.reservation)
		return false;
	if (sys->mprotect(shim.reservation, SHIM_GUARD_AT, PROT_READ | PROT_WRITE) ||
	    sys->mprotect(shim.reservation + SHIM_STACK_AT, SHIM_TRACKER_AT - SHIM_STACK_AT,
			  PROT_READ | PROT_WRITE)) {
		sys->munmap(shim.reservation, shim.reservation_bytes);
		return false;
	}
	shim.control = (struct shim_control *)(shim.reservation + SHIM_CONTROL_AT);
	adopt_control(shim.control);
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
	const char *reason;

	shim_hooks_resolve();
	shim_growth_resolve();
	shim_aside_resolve();
	shim_exit_resolve();
	/* The loader drops preloads of setuid programs, but not those in /etc/ld.so.preload. */
	if (getauxval(AT_SECURE))
		return;
	if (is_valgrind(envp) || is_sanitized() || !shim_trial_survived())
		return;
	sksm_options_parse(&shim.options, envp, log_is_off(envp) ? silence : complain, NULL);
	if (shim.options.mode == SKSM_MODE_OFF)
		return;
	save_command(argc, argv, envp);
	if (!sksm_options_admit(&shim.options, argc > 0 && argv[0] ? argv[0] : shim.comm))
		return;
	if (!make_control())
		return;
	reason = shim_record_make();
	if (reason) {
		log_dormant(reason);
		sksm_sys_kernel.munmap(shim.reservation, shim.reservation_bytes);
		return;
	}
	pthread_atfork(NULL, NULL, after_fork);
	shim_exit_register();
	__atomic_store_n(&shim.enabled, true, __ATOMIC_RELEASE);
}

__attribute__((destructor)) static void shim_fini(void)
{
	if (!shim_active())
		return;
	if (shim.control->alive && shim.control->record && !shim.sandboxed &&
	    shim.control->record->dormant[0])
		log_dormant(shim.control->record->dormant);
	shim_exit_report();
	shim_exit_note();
}
