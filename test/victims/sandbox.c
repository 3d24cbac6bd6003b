/* SPDX-License-Identifier: MIT */
/*
 * sandbox [tsync|thread|strict]: with memory to work on, enter a seccomp filter that kills the
 * process at anything but the few calls that this program makes itself.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "victim.h"

#define ALLOW(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int enter_filter(unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		ALLOW(SYS_write), ALLOW(SYS_exit_group), ALLOW(SYS_exit),
		ALLOW(SYS_clock_nanosleep), ALLOW(SYS_nanosleep), ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_newfstatat), ALLOW(SYS_munmap), ALLOW(SYS_brk), ALLOW(SYS_mmap),
		ALLOW(SYS_futex), ALLOW(SYS_restart_syscall),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "tsync";
	const size_t bytes = 64 << 20;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int result;

	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(300);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("PR_SET_NO_NEW_PRIVS");
	printf("entering: %s\n", how);
	fflush(stdout);
	if (strcmp(how, "strict") == 0)
		result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	else
		result = enter_filter(strcmp(how, "tsync") == 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0);
	if (result != 0)
		die("seccomp");
	if (strcmp(how, "strict") != 0)
		sleep_ms(500);
	for (size_t i = 0; i < bytes; i += PAGE)
		if (!page_is(memory + i, 1 + i))
			wrong("sandbox", i / PAGE);
	printf("verified\n");
	fflush(stdout);
	if (strcmp(how, "strict") == 0)
		syscall(SYS_exit, 0);	/* strict mode knows no exit_group */
	_exit(0);
}
