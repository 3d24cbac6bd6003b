/* SPDX-License-Identifier: MIT */
/*
 * Our thread, made by a bare clone so that glibc does not know of it. A pthread would switch
 * stdio to its locking paths for good, keep a process alive whose main thread calls
 * pthread_exit, and take part in (and abort) set*id calls; and pthread_create allocates, which a
 * hook called from inside an allocator or a signal handler must not. The price:
 *
 * - the thread has no libc state: tracker/ uses bare system calls and no thread-local storage;
 * - set*id calls do not reach it: aside.c holds it off around them, and each pass compares its
 *   credentials with the leader's;
 * - the kernel counts it: it ends by itself once it is the last one.
 *
 * It shares memory and signal handlers, as a thread must, but neither descriptors (trap 14 of the
 * design brief) nor root and working directory with the program.
 */
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "clone.h"
#include "shim.h"
#include "tracker/abi.h"
#include "tracker/domain.h"
#include "tracker/sys.h"
#include "tracker/tracker.h"

#define HOLD_MAX_NS 2000000000ull
/* Passes without anything to watch until the thread ends. */
#define IDLE_PASSES 5
#define SLICE_NS 500000000u

#define futex(address, operation, value, timeout) \
	sksm_call6(SYS_futex, address, operation, value, timeout, 0, 0)

/*
 * Are we the last thread, but for a leader that has exited? Then *ret_status is what the leader
 * passed to exit. The status of the thread that ends last is that of the process (since 5.17).
 */
static bool is_alone(int *ret_status)
{
	const char *p, *last;
	char text[512];
	struct stat st;
	int code = 0;

	if (sksm_call4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) || st.st_nlink > 4)
		return false;
	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/stat", text, sizeof(text)) <= 0)
		return false;
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] != 'Z')
		return false;
	/* exit_code is the last field, a wait status. */
	last = strrchr(p, ' ');
	for (last++; *last >= '0' && *last <= '9'; last++)
		code = code * 10 + (*last - '0');
	*ret_status = code >> 8 & 0xff;
	return true;
}

/* Did the leader change its user by a bare system call, which set*id hooks do not see? */
static bool has_other_ids(void)
{
	unsigned int ruid, euid, suid, rgid, egid, sgid;
	struct sksm_ids ids;
	char text[2048];

	if (sksm_read_file(&sksm_sys_kernel, AT_FDCWD, "/proc/self/status", text,
			   sizeof(text)) <= 0 || !shim_parse_ids(text, &ids))
		return false;
	sksm_call3(SYS_getresuid, &ruid, &euid, &suid);
	sksm_call3(SYS_getresgid, &rgid, &egid, &sgid);
	return ids.uid[0] != ruid || ids.uid[1] != euid || ids.uid[2] != suid ||
	       ids.gid[0] != rgid || ids.gid[1] != egid || ids.gid[2] != sgid;
}

static uint64_t thread_cpu_ns(void)
{
	return sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static bool is_asked_to_stop(const struct shim_control *control)
{
	return __atomic_load_n(&control->stop, __ATOMIC_ACQUIRE);
}

/*
 * Sleep for @ns, until we are to stop, or until the process is no longer one to work for, which
 * is looked at twice a second however long the pause. True: go on.
 */
static bool sleep_ns(struct shim_control *control, uint64_t ns)
{
	uint64_t until_ns = sksm_clock_ns(CLOCK_MONOTONIC) + ns, now_ns;

	for (;;) {
		struct timespec ts = { 0 };

		if (is_asked_to_stop(control) || is_alone(&control->exit_status))
			return false;
		if (has_other_ids()) {
			/* The program's next wait makes a thread with the ids it has now. */
			control->next_rss_kb = 0;
			return false;
		}
		now_ns = sksm_clock_ns(CLOCK_MONOTONIC);
		if (now_ns >= until_ns)
			return true;
		ts.tv_nsec = (long)(until_ns - now_ns < SLICE_NS ? until_ns - now_ns : SLICE_NS);
		futex(&control->stop, FUTEX_WAIT, 0, &ts);
	}
}

static void publish(struct shim_control *control, struct sksm_tracker *tracker)
{
	struct sksm_record *record = control->record;

	if (!record)
		return;
	tracker->counters.cpu_ns = control->cpu_ns + thread_cpu_ns();
	record->engine = tracker->engine;
	record->tracker = SKSM_TRACKER_WP;
	sksm_record_publish(record, &tracker->counters);
}

/* Counts that go on over the threads of one process. */
static void inherit_counters(struct shim_control *control, struct sksm_tracker *tracker)
{
	const struct sksm_record *record = control->record;

	if (!record)
		return;
	tracker->counters.passes = record->counters.passes;
	tracker->counters.writes_seen = record->counters.writes_seen;
	tracker->counters.cow_breaks = record->counters.cow_breaks;
}

static void run_passes(struct shim_control *control, struct sksm_tracker *tracker)
{
	unsigned int idle = 0;

	inherit_counters(control, tracker);
	while (!is_asked_to_stop(control)) {
		uint64_t pause_ns = sksm_tracker_pass(tracker);

		publish(control, tracker);
		idle = tracker->counters.tracked ? 0 : idle + 1;
		if (idle == IDLE_PASSES) {
			/* Come back when the process has grown again. */
			control->next_rss_kb = shim_peak_rss_kb() * 5 / 4 +
					       shim.options.threshold_bytes / 1024;
			break;
		}
		if (!sleep_ns(control, pause_ns))
			break;
	}
}

static void give_up(struct shim_control *control, const char *reason)
{
	shim_record_dormant(reason);
	control->dormant = 1;
}

static void track(struct shim_control *control)
{
	const char *reason = NULL;
	struct sksm_tracker *tracker;
	int domain_fd;

	/* Since 5.9. The new table never holds the program's files, not for an instant. */
	if (sksm_call3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE)) {
		give_up(control, "no descriptor table of our own (close_range, needs 5.9)");
		return;
	}
	sksm_options_update_dir(&shim.options);
	reason = shim_record_make();
	domain_fd = reason ? -1 : sksm_domain_open(&sksm_sys_kernel, &shim.options);
	if (!reason && domain_fd < 0)
		reason = "the domain's directory cannot be used";
	if (reason) {
		give_up(control, reason);
		return;
	}
	tracker = sksm_tracker_init(&sksm_sys_kernel, &shim.options, domain_fd, shim.reservation,
				    shim.reservation_bytes, SHIM_TRACKER_AT, &reason);
	if (!tracker) {
		sksm_sys_kernel.close(domain_fd);
		give_up(control, reason);
		return;
	}
	tracker->stop = &control->stop;
	shim_record_dormant("");
	run_passes(control, tracker);
	control->cpu_ns += thread_cpu_ns();
	sksm_tracker_fini(tracker);
}

static int thread_main(void *arg)
{
	struct shim_control *control = arg;

	sksm_call2(SYS_prctl, PR_SET_NAME, "sksm");
	sksm_call3(SYS_setpriority, PRIO_PROCESS, 0, 19);
	track(control);
	__atomic_store_n(&control->phase, SHIM_IDLE, __ATOMIC_RELEASE);
	/* The kernel clears control->tid when it has left the stack for good. */
	sksm_call1(SYS_exit, control->exit_status);
	return 0;
}

/*
 * The thread pointer has to point somewhere: compilers may read the stack protector's canary
 * through it, and code that asks who it is finds itself here.
 */
static void *fill_thread_block(void)
{
	uintptr_t *block = (uintptr_t *)(shim.reservation + SHIM_BLOCK_AT + 2048);

	block[0] = (uintptr_t)block;	/* x86-64: the pointer to itself at %fs:0 and %fs:16 */
	block[2] = (uintptr_t)block;
	return block;
}

static bool start_allowed(struct shim_control *control)
{
	uint32_t idle = SHIM_IDLE;

	if (shim.sandboxed || control->dormant)
		return false;
	/* In a vfork child all of this is the parent's. */
	if (control->pid != (uint32_t)sksm_call0(SYS_getpid))
		return false;
	if (__atomic_load_n(&control->holds, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&control->tid, __ATOMIC_ACQUIRE))
		return false;
	if (!__atomic_compare_exchange_n(&control->phase, &idle, SHIM_STARTING, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	/* Whoever began to hold before the exchange saw nothing to wait for. */
	if (!__atomic_load_n(&control->holds, __ATOMIC_SEQ_CST) &&
	    !__atomic_load_n(&control->tid, __ATOMIC_ACQUIRE))
		return true;
	__atomic_store_n(&control->phase, SHIM_IDLE, __ATOMIC_RELEASE);
	return false;
}

void shim_thread_start(void)
{
	struct shim_control *control = shim.control;
	const int flags = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |
			  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	uint64_t all = ~0ull, old;
	int saved_errno = errno, tid;

	if (!start_allowed(control))
		return;
	__atomic_store_n(&control->interrupted, 0, __ATOMIC_RELEASE);
	control->stop = 0;
	/* Every signal, glibc's internal ones too: it does not expect a thread of ours. */
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	__atomic_store_n(&control->phase, SHIM_RUNNING, __ATOMIC_RELEASE);
	tid = (int)shim_clone(flags, shim.reservation + SHIM_BLOCK_AT, &control->tid,
			      &control->tid, fill_thread_block(), thread_main, control);
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	if (tid < 0) {
		shim_record_dormant("a thread cannot be made");
		control->next_rss_kb = control->next_rss_kb * 2 + 1024;
		__atomic_store_n(&control->phase, SHIM_IDLE, __ATOMIC_RELEASE);
	} else {
		shim.had_thread = true;
	}
	errno = saved_errno;
}

void shim_thread_hold(void)
{
	struct shim_control *control = shim.control;
	uint64_t deadline_ns = sksm_clock_ns(CLOCK_MONOTONIC) + HOLD_MAX_NS;
	struct timespec slice = { .tv_nsec = 50000000 };
	int32_t tid;

	__atomic_add_fetch(&control->holds, 1, __ATOMIC_SEQ_CST);
	/* A start under way got past the check of holds: let it come up, then end it. */
	while ((tid = __atomic_load_n(&control->tid, __ATOMIC_ACQUIRE)) ||
	       __atomic_load_n(&control->phase, __ATOMIC_ACQUIRE) != SHIM_IDLE) {
		if (sksm_clock_ns(CLOCK_MONOTONIC) > deadline_ns)
			break;
		__atomic_store_n(&control->interrupted, 1, __ATOMIC_RELEASE);
		__atomic_store_n(&control->stop, 1, __ATOMIC_RELEASE);
		futex(&control->stop, FUTEX_WAKE, 1, 0);
		if (tid)
			futex(&control->tid, FUTEX_WAIT, tid, &slice);
		else
			sksm_call0(SYS_sched_yield);
	}
}

void shim_thread_release(void)
{
	struct shim_control *control = shim.control;

	if (__atomic_sub_fetch(&control->holds, 1, __ATOMIC_SEQ_CST) == 0 &&
	    __atomic_load_n(&control->interrupted, __ATOMIC_ACQUIRE))
		shim_thread_start();
}
