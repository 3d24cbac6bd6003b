/* SPDX-License-Identifier: MIT */
/*
 * Calls that want a process with one thread, or change what a thread is: ours steps aside for
 * them and comes back afterwards, made by the thread that called and so with the ids it has then.
 * These hooks wait for our thread to end: usually microseconds, at most one step of a pass (a
 * region looked at, a block digested, an audit), and never more than 2 s.
 */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracker/sys.h"

/* Since 6.4 and 6.1; newer than our headers. */
#define SKSM_PR_SET_MEMORY_MERGE 67
#define SKSM_MADV_COLLAPSE 25

int capset(cap_user_header_t header, const cap_user_data_t data);

#define ASIDES(X) \
	X(setuid, (uid_t uid), (uid)) \
	X(setgid, (gid_t gid), (gid)) \
	X(seteuid, (uid_t uid), (uid)) \
	X(setegid, (gid_t gid), (gid)) \
	X(setreuid, (uid_t real, uid_t effective), (real, effective)) \
	X(setregid, (gid_t real, gid_t effective), (real, effective)) \
	X(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved)) \
	X(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved)) \
	X(setgroups, (size_t count, const gid_t *groups), (count, groups)) \
	X(initgroups, (const char *user, gid_t group), (user, group)) \
	X(setfsuid, (uid_t uid), (uid)) \
	X(setfsgid, (gid_t gid), (gid)) \
	X(capset, (cap_user_header_t header, const cap_user_data_t data), (header, data))

/* With the namespaces that are left; by type 0 a descriptor of any is taken. */
#define NAMESPACES(X) \
	X(unshare, (int flags), (flags), flags) \
	X(setns, (int fd, int type), (fd, type), type ? type : CLONE_NEWPID)

#define DECLARE(name, parameters, ...) static int (*real_##name) parameters;
ASIDES(DECLARE)
NAMESPACES(DECLARE)

#define RESOLVE(name, parameters, ...) \
	real_##name = (int (*) parameters)dlsym(RTLD_NEXT, #name);

static int (*real_prctl)(int, ...);
static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_madvise)(void *, size_t, int);
static int (*real_mlockall)(int);
/* Not static: the assembly below jumps through it. */
long (*shim_real_syscall)(long, ...) __attribute__((visibility("hidden")));

void shim_aside_resolve(void)
{
	ASIDES(RESOLVE)
	NAMESPACES(RESOLVE)
	real_prctl = (int (*)(int, ...))dlsym(RTLD_NEXT, "prctl");
	real_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	real_madvise = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise");
	real_mlockall = (int (*)(int))dlsym(RTLD_NEXT, "mlockall");
	shim_real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

struct aside {
	bool active;
	int saved_errno;
};

static struct aside enter_aside(void)
{
	struct aside aside = { .active = shim_active(), .saved_errno = errno };

	/* In a sandbox there is no thread of ours, nor may we look for one. */
	aside.active = aside.active && !shim.sandboxed;
	if (aside.active && !shim.control->alive)
		shim_child();
	/* A vfork child borrows the memory of its parent, whose thread is no concern of its. */
	aside.active = aside.active && shim.control->pid == (uint32_t)sksm_call0(SYS_getpid);
	if (aside.active)
		shim_thread_hold();
	errno = aside.saved_errno;
	return aside;
}

static void leave_aside(struct aside aside)
{
	aside.saved_errno = errno;
	if (aside.active)
		shim_thread_release();
	errno = aside.saved_errno;
}

/*
 * The next process that is made here is the first of a new pid namespace, which ends with it. It
 * has to be the program's, so there are none of ours any more, and the kernel makes no thread.
 */
static long leave_pids(struct aside aside, long result, long namespaces)
{
	if (result || !(namespaces & CLONE_NEWPID))
		return result;
	/* Not of a vfork child, whose parent's memory this is. */
	if (aside.active)
		shim.left_pids = true;
	shim_bury();
	return result;
}

#define DEFINE_FOR(name, parameters, arguments, namespaces) \
	SHIM_EXPORT int name parameters \
	{ \
		struct aside aside; \
		int result; \
\
		if (!real_##name) \
			RESOLVE(name, parameters, arguments) \
		aside = enter_aside(); \
		result = (int)leave_pids(aside, real_##name arguments, namespaces); \
		leave_aside(aside); \
		return result; \
	}
#define DEFINE(name, parameters, arguments) DEFINE_FOR(name, parameters, arguments, 0)
ASIDES(DEFINE)
NAMESPACES(DEFINE_FOR)

/*
 * Around a call that sets a filter: our thread is away, and a shim that sleeps is kept asleep,
 * whichever thread would wake it.
 */
struct sandbox {
	struct aside aside;
	bool was_sandboxed;
	bool asleep;
};

static struct sandbox enter_sandbox(void)
{
	struct sandbox sandbox = {
		.was_sandboxed = shim.sandboxed,
		.asleep = shim_keep_asleep(),
	};

	sandbox.aside = enter_aside();
	shim.sandboxed = true;
	return sandbox;
}

/* Where it was @entered, any call of ours may be the end of the program. */
static void leave_sandbox(struct sandbox sandbox, bool entered)
{
	shim.sandboxed = sandbox.was_sandboxed || entered;
	if (sandbox.asleep)
		shim_sleep_on(!entered);
	if (shim.sandboxed && shim_active() && shim.control->alive)
		shim_record_dormant("the program entered a seccomp sandbox");
	leave_aside(sandbox.aside);
}

/*
 * A program that takes memory out of merging means it: nothing is offered any more. What was
 * merged elsewhere stays so, and is counted.
 */
static void decline(void)
{
	if ((shim_active() || shim.sleep) && shim.options.mode == SKSM_MODE_MERGE)
		shim.options.mode = SKSM_MODE_ESTIMATE;
}

/* What the program marked stays marked. */
static void unmark(void *addr, size_t length)
{
	if (shim.marked && !shim.options.keeps_marks)
		sksm_sys_kernel.madvise(addr, length, MADV_UNMERGEABLE);
}

SHIM_EXPORT int madvise(void *addr, size_t length, int advice)
{
	struct aside aside;
	int result;

	if (!real_madvise)
		shim_aside_resolve();
	/* Before: what is marked twice, nobody can tell apart afterwards. */
	if (advice == MADV_MERGEABLE)
		shim.options.keeps_marks = true;
	if (shim_likely(advice != MADV_UNMERGEABLE && advice != SKSM_MADV_COLLAPSE))
		return real_madvise(addr, length, advice);
	aside = enter_aside();
	/* What is registered, cut or merged does not become one huge page. */
	if (advice == SKSM_MADV_COLLAPSE && aside.active)
		unmark(addr, length);
	result = real_madvise(addr, length, advice);
	if (!result && advice == MADV_UNMERGEABLE && (aside.active || shim.sleep))
		decline();
	leave_aside(aside);
	return result;
}

/*
 * Our reservation counts in what is locked, against RLIMIT_MEMLOCK; and locked memory is not
 * merged anyway.
 */
SHIM_EXPORT int mlockall(int flags)
{
	struct aside aside = enter_aside();
	int result;

	if (!real_mlockall)
		shim_aside_resolve();
	if (!shim.options.merge_sensitive)
		shim_bury();
	if (aside.active && !shim.options.merge_sensitive)
		shim_thread_retire("the program locks all of its memory");
	result = real_mlockall(flags);
	leave_aside(aside);
	return result;
}

SHIM_EXPORT int prctl(int option, ...)
{
	unsigned long a, b, c, d;
	va_list args;

	va_start(args, option);
	a = va_arg(args, unsigned long);
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	if (!real_prctl)
		shim_aside_resolve();
	/* A filter for this thread alone does not reach ours, but would reach the next one. */
	if (option == PR_SET_SECCOMP) {
		struct sandbox sandbox = enter_sandbox();
		int result = real_prctl(option, a, b, c, d);

		leave_sandbox(sandbox, !result);
		return result;
	}
	if (option == SKSM_PR_SET_MEMORY_MERGE && !a) {
		struct aside aside = enter_aside();
		int result = real_prctl(option, a, b, c, d);

		if (!result && (aside.active || shim.sleep))
			decline();
		leave_aside(aside);
		return result;
	}
	return real_prctl(option, a, b, c, d);
}

/*
 * What the program registers for itself is its own: our marks cut it into mappings, and
 * UFFDIO_COPY and UFFDIO_MOVE work within one only. Unmarking copies what was merged.
 */
static void unmark_registered(const void *arg)
{
	struct uffdio_register registered;

	if (sksm_sys_kernel.copy_memory(&registered, arg, sizeof(registered)) == sizeof(registered))
		unmark((void *)(uintptr_t)registered.range.start, registered.range.len);
}

/*
 * A range is not unregistered where part of it is another's, ours (docs/kernel.md). The kernel
 * looks at 32 bits of a request.
 */
static bool is_registration(unsigned long request)
{
	return (uint32_t)request == UFFDIO_REGISTER || (uint32_t)request == UFFDIO_UNREGISTER;
}

/* The program's own userfaultfd wins: while ours is away, nothing is registered. */
SHIM_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct aside aside;
	va_list args;
	void *arg;
	int result;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!real_ioctl)
		shim_aside_resolve();
	if (shim_likely(!is_registration(request)))
		return real_ioctl(fd, request, arg);
	aside = enter_aside();
	result = real_ioctl(fd, request, arg);
	if (!result && aside.active && (uint32_t)request == UFFDIO_REGISTER)
		unmark_registered(arg);
	leave_aside(aside);
	return result;
}

static bool is_aside_number(long number, long request)
{
	switch (number) {
	case SYS_ioctl:
		return is_registration((unsigned long)request);
	case SYS_setuid: case SYS_setgid: case SYS_setreuid: case SYS_setregid:
	case SYS_setgroups: case SYS_setresuid: case SYS_setresgid: case SYS_setfsuid:
	case SYS_setfsgid: case SYS_capset: case SYS_unshare: case SYS_setns:
		return true;
	default:
		return false;
	}
}

long shim_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	struct aside aside;
	long result;

	if (!shim_real_syscall)
		shim_aside_resolve();
	if ((number == SYS_seccomp &&
	     (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)) ||
	    (number == SYS_prctl && a == PR_SET_SECCOMP)) {
		/* With TSYNC the filter would reach our thread too, and kill at its next call. */
		struct sandbox sandbox = enter_sandbox();

		result = shim_real_syscall(number, a, b, c, d, e, f);
		/* A listener's descriptor is a success too; with TSYNC a thread's id is none. */
		leave_sandbox(sandbox, result >= 0);
		return result;
	}
	if (!is_aside_number(number, b))
		return shim_real_syscall(number, a, b, c, d, e, f);
	aside = enter_aside();
	result = shim_real_syscall(number, a, b, c, d, e, f);
	if (number == SYS_ioctl && !result && aside.active && (uint32_t)b == UFFDIO_REGISTER)
		unmark_registered((const void *)c);
	if (number == SYS_unshare)
		leave_pids(aside, result, a);
	if (number == SYS_setns)
		leave_pids(aside, result, b ? b : CLONE_NEWPID);
	leave_aside(aside);
	return result;
}

#if defined(__x86_64__)
/*
 * syscall(2) as a function: all numbers but the few above are passed on by a jump, with registers
 * and stack as they came, so that even calls that return twice work as without us.
 */
__asm__(".text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n"
	"	lea -105(%rdi), %rax\n"	/* setuid 105 ... capset 126 */
	"	cmp $21, %rax\n"
	"	jbe shim_syscall\n"
	"	cmp $16, %rdi\n"		/* ioctl */
	"	je shim_syscall\n"
	"	cmp $157, %rdi\n"		/* prctl */
	"	je shim_syscall\n"
	"	cmp $272, %rdi\n"		/* unshare */
	"	je shim_syscall\n"
	"	cmp $308, %rdi\n"		/* setns */
	"	je shim_syscall\n"
	"	cmp $317, %rdi\n"		/* seccomp */
	"	je shim_syscall\n"
	"	mov shim_real_syscall(%rip), %rax\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	jmp *%rax\n"
	/* Before our constructor: the bare call, as libc's function makes it. */
	"1:	sub $16, %rsp\n"
	"	push 24(%rsp)\n"
	"	call shim_syscall_early\n"
	"	add $24, %rsp\n"
	"	ret\n"
	".size syscall, .-syscall\n");

long shim_syscall_early(long number, long a, long b, long c, long d, long e, long f)
	__attribute__((visibility("hidden"), used));

long shim_syscall_early(long number, long a, long b, long c, long d, long e, long f)
{
	shim_aside_resolve();
	return shim_real_syscall(number, a, b, c, d, e, f);
}
#endif
