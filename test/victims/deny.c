/* SPDX-License-Identifier: MIT */
/*
 * deny ERRNO CALL[,CALL...] COMMAND [ARG...]: run a command whose listed system calls fail with
 * ERRNO, as on another kernel or in a sandbox. KILL in place of ERRNO kills the process for them,
 * TRAP sends it SIGSYS.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "victim.h"

#define CALL(name) { #name, SYS_##name }

static const struct {
	const char *name;
	unsigned int number;
} calls[] = {
	CALL(userfaultfd), CALL(madvise), CALL(ioctl), CALL(process_vm_readv), CALL(pread64),
	CALL(ftruncate), CALL(mkdirat), CALL(mkdir), CALL(unshare), CALL(clone), CALL(clone3),
	CALL(close_range), CALL(memfd_create), CALL(getrandom), CALL(sched_setscheduler),
	CALL(sched_setattr), CALL(setpriority), CALL(prctl), CALL(futex), CALL(gettid),
	CALL(clock_nanosleep), CALL(pwrite64), CALL(flock), CALL(linkat), CALL(fstatfs), CALL(renameat2),
	CALL(rt_sigprocmask),
	CALL(set_robust_list), CALL(rseq), CALL(kcmp), CALL(getdents64), CALL(membarrier),
	CALL(geteuid), CALL(getrusage), CALL(wait4),
};

static const struct {
	const char *name;
	unsigned int action;
} errors[] = {
	{ "ENOSYS", SECCOMP_RET_ERRNO | ENOSYS }, { "EPERM", SECCOMP_RET_ERRNO | EPERM },
	{ "EINVAL", SECCOMP_RET_ERRNO | EINVAL }, { "ENOMEM", SECCOMP_RET_ERRNO | ENOMEM },
	{ "EBUSY", SECCOMP_RET_ERRNO | EBUSY },	  { "EAGAIN", SECCOMP_RET_ERRNO | EAGAIN },
	{ "EIO", SECCOMP_RET_ERRNO | EIO },	  { "KILL", SECCOMP_RET_KILL_PROCESS },
	{ "TRAP", SECCOMP_RET_TRAP },
};

int main(int argc, char **argv)
{
	static struct sock_filter code[2 * sizeof(calls) / sizeof(calls[0]) + 2];
	struct sock_fprog program = { 0, code };
	unsigned int action = 0;
	char *name;

	if (argc < 4)
		return 2;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(argv[1], errors[i].name) == 0)
			action = errors[i].action;
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	for (name = strtok(argv[2], ","); name; name = strtok(NULL, ",")) {
		size_t i = 0;

		while (i < sizeof(calls) / sizeof(calls[0]) && strcmp(name, calls[i].name) != 0)
			i++;
		if (i == sizeof(calls) / sizeof(calls[0]) || !action) {
			fprintf(stderr, "deny: unknown: %s %s\n", argv[1], name);
			return 2;
		}
		code[program.len++] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
		code[program.len++] = (struct sock_filter)
			BPF_STMT(BPF_RET | BPF_K, action);
	}
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		die("seccomp");
	execvp(argv[3], argv + 3);
	die(argv[3]);
}
