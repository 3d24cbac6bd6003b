/* SPDX-License-Identifier: MIT */
/*
 * A seccomp filter that came along through exec: does it only refuse what we do (containers), or
 * kill for it (sandboxes)? Someone has to try. A child that shares our memory, but is a process
 * of its own for the filter to kill, makes every call that we make. Its exit signal is none, so
 * no wait of the program ever sees it.
 */
#include "clone.h"
#include "shim.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "tracker/abi.h"
#include "tracker/sys.h"

#define TRIAL_STACK_BYTES 16384

struct trial {
	bool may_wait;	/* wait4 does not kill: the child can be reaped, whatever becomes of it */
	bool survived;
};

/*
 * Every system call of tracker/ and shim/, with arguments that do nothing: bad descriptors, empty
 * ranges. Filters that look at arguments look at requests and options; those are the real ones.
 */
static int try_calls(void *arg)
{
	struct rlimit no_core = { 0, 0 };
	volatile struct trial *trial = arg;
	struct timespec ts = { 0 };
	const uint64_t all = ~0ull;
	static const int plain[] = {
		SYS_getpid, SYS_getppid, SYS_gettid, SYS_geteuid, SYS_sched_yield,
	};
	static const int on_bad_fd[] = {
		SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_close, SYS_ftruncate,
		SYS_fallocate, SYS_fstatfs, SYS_mkdirat, SYS_unlinkat, SYS_linkat, SYS_newfstatat,
		SYS_openat,
	};

	/* A handler here would run in the program's memory and believe itself the program. */
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	sksm_call4(SYS_wait4, -1, 0, WNOHANG, 0);
	trial->may_wait = true;
	sksm_call2(SYS_setrlimit, RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		sksm_call0(plain[i]);
	for (size_t i = 0; i < sizeof(on_bad_fd) / sizeof(on_bad_fd[0]); i++)
		sksm_call6(on_bad_fd[i], -1, "", -1, "", 0, 0);
	sksm_call3(SYS_ioctl, -1, SKSM_PAGEMAP_SCAN, 0);
	sksm_call3(SYS_ioctl, -1, SKSM_PROCMAP_QUERY, 0);
	sksm_call3(SYS_ioctl, -1, UFFDIO_API, 0);
	sksm_call3(SYS_fcntl, -1, F_OFD_SETLK, 0);
	sksm_call6(SYS_mmap, 0, 0, 0, 0, -1, 0);
	sksm_call2(SYS_munmap, 0, 0);
	sksm_call3(SYS_mprotect, 0, 0, 0);
	sksm_call3(SYS_madvise, 0, 0, 0);
	sksm_call1(SYS_userfaultfd, -1);
	sksm_call3(SYS_tgkill, 0, 0, 0);
	sksm_call6(SYS_process_vm_readv, sksm_call0(SYS_getpid), 0, 0, 0, 0, 0);
	sksm_call3(SYS_close_range, 1, 0, 0);
	sksm_call3(SYS_getrandom, 0, 0, 0);
	sksm_call2(SYS_clock_gettime, CLOCK_BOOTTIME, &ts);
	sksm_call3(SYS_getresuid, 0, 0, 0);
	sksm_call3(SYS_getresgid, 0, 0, 0);
	sksm_call2(SYS_getrusage, RUSAGE_SELF, 0);
	sksm_call4(SYS_prlimit64, 0, -1, 0, 0);
	sksm_call2(SYS_rt_sigpending, 0, -1);
	sksm_call4(SYS_rt_sigtimedwait, 0, 0, 0, -1);
	sksm_call1(SYS_sysinfo, 0);
	sksm_call1(SYS_uname, 0);
	sksm_call2(SYS_prctl, PR_GET_NAME, 0);
	sksm_call2(SYS_prctl, PR_SET_NAME, 0);
	sksm_call1(SYS_sched_getscheduler, 0);
	sksm_call3(SYS_sched_setscheduler, -1, 0, 0);
	sksm_call3(SYS_sched_setattr, 0, 0, 0);
	sksm_call2(SYS_getpriority, -1, 0);
	sksm_call3(SYS_setpriority, -1, 0, 0);
	sksm_call4(SYS_rt_sigprocmask, -1, 0, 0, 8);
	sksm_call6(SYS_futex, &ts, FUTEX_WAKE, 0, 0, 0, 0);
	trial->survived = true;
	sksm_call1(SYS_exit, 0);
	return 0;
}

static uint64_t number_after(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	uint64_t number = 0;

	for (p = p ? p + strlen(name) : ""; *p == ' '; p++)
		;
	for (; *p >= '0' && *p <= '9'; p++)
		number = number * 10 + (uint64_t)(*p - '0');
	return number;
}

/* As the program itself has it: the last one where pid namespaces nest. */
static uint32_t inner_tid(const char *text)
{
	const char *p = strstr(text, "\nNSpid:\t");
	uint64_t number = 0;

	if (!p)
		return (uint32_t)number_after(text, "\nPid:\t");
	for (p += 8; *p && *p != '\n'; p++)
		number = *p == '\t' ? 0 : number * 10 + (uint64_t)(*p - '0');
	return (uint32_t)number;
}

/*
 * The file is read with the loader's own calls, which any filter allows that let the program get
 * this far. Without /proc no thread of ours can work anyway.
 */
static bool has_filter(struct shim_self *self)
{
	static char text[2048];

	self->tid = 0;
	self->anon_kb = 0;
	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/thread-self/status", text,
			   sizeof(text)) <= 0)
		return false;
	self->tid = inner_tid(text);
	self->anon_kb = number_after(text, "\nRssAnon:\t");
	return number_after(text, "\nSeccomp:\t") != 0;
}

/*
 * One thread of a process wakes the shim, on whatever stack it has: a signal handler's may be small.
 * What is large is static.
 */
bool shim_trial_survived(struct shim_self *ret)
{
	static char stack[TRIAL_STACK_BYTES] __attribute__((aligned(16)));
	volatile struct trial trial = { false, false };
	int pid;

	if (!has_filter(ret))
		return true;
	pid = (int)shim_clone(CLONE_VM | CLONE_VFORK, stack + sizeof(stack), NULL, NULL, NULL,
			      try_calls, (void *)&trial);
	/* Where wait4 may be what kills, the dead child stays until the program ends. */
	if (pid > 0 && trial.may_wait)
		sksm_call4(SYS_wait4, pid, 0, __WCLONE, 0);
	return trial.survived;
}
