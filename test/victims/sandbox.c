/* SPDX-License-Identifier: MIT */
/*
 * sandbox [tsync|thread|strict|bare|fork|again|listener|query]: with memory to work on, enter a
 * seccomp filter that kills the process at anything but the few calls that this program makes
 * itself. With "listener" the kernel's answer is a descriptor, which is a success that is not 0.
 * "fork" then forks, "again" tries to enter more filters in vain; both map memory afterwards.
 * "query" asks what the kernel can do, before anything else, and enters no filter. "bare" enters
 * by prctl's number and the function syscall().
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "victim.h"

#define ALLOW(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int enter_filter(unsigned int flags, bool is_bare)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		ALLOW(SYS_write), ALLOW(SYS_exit_group), ALLOW(SYS_exit),
		ALLOW(SYS_clock_nanosleep), ALLOW(SYS_nanosleep), ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_newfstatat), ALLOW(SYS_munmap), ALLOW(SYS_brk), ALLOW(SYS_mmap),
		ALLOW(SYS_futex), ALLOW(SYS_restart_syscall),
		/* What fork and waitpid of libc make, and the calls that are to fail. */
		ALLOW(SYS_clone), ALLOW(SYS_set_robust_list), ALLOW(SYS_wait4),
		ALLOW(SYS_seccomp), ALLOW(SYS_prctl),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (is_bare)
		return (int)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void show_child(const char *what, pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die(what);
	printf("%s: status %#x\n", what, (unsigned int)status);
	fflush(stdout);
}

static void fork_some(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(7);
	show_child("child by _exit", pid);
	pid = fork();
	if (pid == 0)
		exit(8);
	show_child("child by exit", pid);
	pid = fork();
	if (pid == 0) {
		void *memory = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		sleep_ms(10);
		_exit(memory == MAP_FAILED);
	}
	show_child("child that maps", pid);
}

/* Filters in vain: of a flag that is not there, of no program. */
static void enter_again(void)
{
	struct sock_fprog empty = { 0, NULL };

	printf("seccomp again: %d\n", enter_filter(1u << 30, false) < 0 ? errno : 0);
	printf("prctl again: %d\n",
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &empty, 0, 0) < 0 ? errno : 0);
	fflush(stdout);
}

static void map_more(void)
{
	const size_t bytes = 8 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	memset(memory, 1, bytes);
	sleep_ms(50);
	printf("mapped more\n");
	fflush(stdout);
}

static void query(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	printf("SECCOMP_GET_ACTION_AVAIL: %ld\n",
	       syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "tsync";
	bool is_query = strcmp(how, "query") == 0, is_bare = strcmp(how, "bare") == 0;
	const size_t bytes = 64 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int result = 0;

	if (memory == MAP_FAILED)
		die("mmap");
	if (is_query)
		query();
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	sleep_ms(300);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("PR_SET_NO_NEW_PRIVS");
	printf("entering: %s\n", how);
	fflush(stdout);
	if (strcmp(how, "strict") == 0)
		result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	else if (strcmp(how, "listener") == 0)
		result = enter_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER, false) > 0 ? 0 : -1;
	else if (!is_query)
		result = enter_filter(strcmp(how, "tsync") == 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0,
				      is_bare);
	if (result != 0)
		die("seccomp");
	if (strcmp(how, "fork") == 0)
		fork_some();
	if (strcmp(how, "again") == 0)
		enter_again();
	if (strcmp(how, "fork") == 0 || strcmp(how, "again") == 0 || is_bare ||
	    strcmp(how, "listener") == 0)
		map_more();
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
