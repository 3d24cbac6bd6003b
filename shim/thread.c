/* SPDX-License-Identifier: MIT */
/*
 * Our thread, made by a bare clone so that glibc does not know of it. A pthread would switch
 * stdio to its locking paths for good, keep a process alive whose main thread calls
 * pthread_exit, and take part in (and abort) set*id calls; and pthread_create allocates, which a
 * hook called from inside an allocator or a signal handler must not. The price:
 *
 * - the thread has no libc state: tracker/ uses bare system calls and no thread-local storage;
 * - set*id calls do not reach it: aside.c holds it off around them, and once a second it compares
 *   its credentials with the leader's (leader.c);
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
#include <sys/syscall.h>
#include <time.h>

#include "clone.h"
#include "leader.h"
#include "shim.h"
#include "tracker/abi.h"
#include "tracker/domain.h"
#include "tracker/sys.h"
#include "tracker/tracker.h"

#define HOLD_MAX_NS 2000000000ull
/* Passes without anything to watch until the thread ends. */
#define IDLE_PASSES 5
#define NS_PER_SECOND 1000000000u

#define futex(address, operation, value, timeout) \
	sksm_call6(SYS_futex, address, operation, value, timeout, 0, 0)

static uint64_t thread_cpu_ns(void)
{
	return sksm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static bool is_asked_to_stop(const struct shim_control *control)
{
	return __atomic_load_n(&control->stop, __ATOMIC_ACQUIRE);
}

/*
 * Sleep for @ns, until something stirs after an interval, until we are to stop, or until the
 * process is no longer one to work for, which is looked at once a second however long the pause.
 * True: go on.
 */
static bool sleep_ns(struct shim_control *control, const struct sksm_tracker *tracker,
		     const struct shim_leader *leader, uint64_t ns)
{
	const uint64_t began_ns = sksm_clock_ns(CLOCK_MONOTONIC);
	const uint64_t slice_max_ns = sksm_tracker_slice_ns(tracker);

	for (;;) {
		uint64_t waited_ns = sksm_clock_ns(CLOCK_MONOTONIC) - began_ns, slice_ns;
		bool wake = sksm_tracker_is_due(tracker, waited_ns, ns);
		struct timespec ts;

		if (is_asked_to_stop(control) ||
		    shim_leader_is_gone(leader, &control->exit_status))
			return false;
		if (shim_leader_has_other_ids(leader, wake)) {
			/* The program's next wait makes a thread with the ids it has now. */
			control->next_rss_kb = 0;
			return false;
		}
		if (wake)
			return true;
		slice_ns = ns - waited_ns < slice_max_ns ? ns - waited_ns : slice_max_ns;
		ts.tv_sec = (time_t)(slice_ns / NS_PER_SECOND);
		ts.tv_nsec = (long)(slice_ns % NS_PER_SECOND);
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
	record->tracker = tracker->kind;
	sksm_record_publish(record, &tracker->counters);
	shim_record_store();
	/* Marks outlast the offers, and a child inherits them: its mappings are cut as well. */
	if (tracker->engine == SKSM_ENGINE_KSM && tracker->counters.offered)
		shim.marked = true;
}

/* Counts that go on over the threads of one process. */
static void inherit_counters(struct shim_control *control, struct sksm_tracker *tracker)
{
	const struct sksm_record *record = control->record;

	if (record)
		sksm_record_carry(&tracker->counters, &record->counters);
}

static void give_up(struct shim_control *control, const char *reason)
{
	shim_record_dormant(reason);
	control->dormant = 1;
}

/* Of ours, where the calling thread of the program has its own. The kernel gives 20 - nice. */
static int nice_below_caller(void)
{
	int nice = 20 - (int)sksm_call2(SYS_getpriority, PRIO_PROCESS, 0) + SKSM_THREAD_NICE;

	return nice < 19 ? nice : 19;
}

/*
 * Below the program, and in the shortest slices: when we are due depends on how much we ask for,
 * and that is how long one waits for our end: shim_thread_hold, exec, and whoever waits for the end
 * of the process.
 */
static void step_back(void)
{
	const struct sksm_sched_attr attr = {
		.size = sizeof(attr), .flags = SKSM_SCHED_KEEP_POLICY, .nice = nice_below_caller(),
		.runtime_ns = 100000,
	};

	if (sksm_call3(SYS_sched_setattr, 0, &attr, 0))
		sksm_call3(SYS_setpriority, PRIO_PROCESS, 0, attr.nice);
}

static void run_passes(struct shim_control *control, struct sksm_tracker *tracker)
{
	struct shim_leader leader;
	unsigned int idle = 0;
	bool is_back = false;

	shim_leader_open(&leader);
	inherit_counters(control, tracker);
	while (!is_asked_to_stop(control)) {
		uint64_t pause_ns = sksm_tracker_pass(tracker);

		publish(control, tracker);
		if (tracker->obstacle) {
			give_up(control, tracker->obstacle);
			break;
		}
		idle = tracker->counters.tracked ? 0 : idle + 1;
		if (idle == IDLE_PASSES) {
			/* Come back when the process has grown again. */
			control->next_rss_kb = shim_peak_rss_kb() * 5 / 4 +
					       shim.options.threshold_bytes / 1024;
			break;
		}
		if (!sleep_ns(control, tracker, &leader, pause_ns))
			break;
		/* A process that has ended by now need not wait. */
		if (!is_back)
			step_back();
		is_back = true;
	}
	shim_leader_close(&leader);
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
		reason = shim_record_explain(domain_fd);
	if (reason) {
		give_up(control, reason);
		return;
	}
	tracker = sksm_tracker_init(&sksm_sys_kernel, &shim.options, domain_fd, shim.reservation,
				    shim.reservation_bytes, shim.tracker_at, &reason);
	if (!tracker) {
		sksm_sys_kernel.close(domain_fd);
		give_up(control, reason);
		return;
	}
	tracker->stop = &control->stop;
	if (shim.sites)
		sksm_tracker_attribute(tracker, shim.sites, shim_record_open_sites,
				       control->record);
	shim_record_dormant("");
	run_passes(control, tracker);
	control->cpu_ns += thread_cpu_ns();
	sksm_tracker_fini(tracker);
}

static int thread_main(void *arg)
{
	const struct sched_param no_priority = { 0 };
	struct shim_control *control = arg;
	long policy = sksm_call1(SYS_sched_getscheduler, 0);

	__atomic_store_n(&control->last_tid, control->tid, __ATOMIC_RELEASE);
	sksm_call2(SYS_prctl, PR_SET_NAME, "sksm");
	/* A real-time thread that starts us passes its priority on. */
	if (policy == SCHED_FIFO || policy == SCHED_RR)
		sksm_call3(SYS_sched_setscheduler, 0, SCHED_OTHER, &no_priority);
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

/* The program counted its threads a moment ago (count.c). */
static bool is_away(void)
{
	uint64_t until_ns = __atomic_load_n(&shim.away_until_ns, __ATOMIC_SEQ_CST);

	return until_ns && shim_coarse_ns() < until_ns;
}

static bool start_allowed(struct shim_control *control)
{
	uint32_t idle = SHIM_IDLE;

	if (shim.sandboxed || shim.retired || control->dormant)
		return false;
	if (is_away()) {
		/* To be tried again. */
		__atomic_store_n(&control->interrupted, 1, __ATOMIC_RELEASE);
		return false;
	}
	/* In a vfork child all of this is the parent's. */
	if (control->pid != (uint32_t)sksm_call0(SYS_getpid))
		return false;
	if (__atomic_load_n(&control->holds, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&control->tid, __ATOMIC_ACQUIRE))
		return false;
	if (!__atomic_compare_exchange_n(&control->phase, &idle, SHIM_STARTING, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	/*
	 * Whoever began to hold before the exchange saw nothing to wait for, and may have done by
	 * now what it was for.
	 */
	if (!__atomic_load_n(&control->holds, __ATOMIC_SEQ_CST) && !shim.sandboxed &&
	    !shim.retired && !__atomic_load_n(&control->tid, __ATOMIC_ACQUIRE))
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
	if (sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all))) {
		give_up(control, "signals cannot be blocked");
		__atomic_store_n(&control->phase, SHIM_IDLE, __ATOMIC_RELEASE);
		errno = saved_errno;
		return;
	}
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

/*
 * control->tid is cleared once the thread has left our memory. It counts as a thread of the
 * process until it has closed its files, too.
 */
static void wait_for_exit(struct shim_control *control, uint64_t deadline_ns)
{
	struct timespec slice = { .tv_nsec = 100000 };
	int32_t tid = __atomic_load_n(&control->last_tid, __ATOMIC_ACQUIRE);

	if (!tid)
		return;
	while (!sksm_call3(SYS_tgkill, control->pid, tid, 0) &&
	       sksm_clock_ns(CLOCK_MONOTONIC) < deadline_ns)
		futex(&control->tid, FUTEX_WAIT, 0, &slice);
	/* The number may become that of another thread, which is not to be waited for. */
	__atomic_compare_exchange_n(&control->last_tid, &tid, 0, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_RELAXED);
}

void shim_thread_lift(bool lifts)
{
	int32_t tid = __atomic_load_n(&shim.control->tid, __ATOMIC_ACQUIRE);
	long nice = lifts ? 20 - sksm_call2(SYS_getpriority, PRIO_PROCESS, 0) : nice_below_caller();

	if (tid)
		sksm_call3(SYS_setpriority, PRIO_PROCESS, tid, nice);
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
			return;
		__atomic_store_n(&control->interrupted, 1, __ATOMIC_RELEASE);
		__atomic_store_n(&control->stop, 1, __ATOMIC_RELEASE);
		futex(&control->stop, FUTEX_WAKE, 1, 0);
		shim_thread_lift(true);
		if (tid)
			futex(&control->tid, FUTEX_WAIT, tid, &slice);
		else
			sksm_call0(SYS_sched_yield);
	}
	wait_for_exit(control, deadline_ns);
}

void shim_thread_release(void)
{
	struct shim_control *control = shim.control;

	if (__atomic_sub_fetch(&control->holds, 1, __ATOMIC_SEQ_CST) == 0 &&
	    __atomic_load_n(&control->interrupted, __ATOMIC_ACQUIRE))
		shim_thread_start();
}

void shim_thread_retire(const char *reason)
{
	struct shim_control *control = shim.control;

	/* One that did not leave in time uses it still. */
	if (__atomic_load_n(&control->tid, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&control->phase, __ATOMIC_ACQUIRE) != SHIM_IDLE ||
	    __atomic_exchange_n(&shim.retired, true, __ATOMIC_SEQ_CST))
		return;
	shim_record_dormant(reason);
	sksm_sys_kernel.munmap(shim.reservation + shim.tracker_at,
			       shim.reservation_bytes - shim.tracker_at);
}
