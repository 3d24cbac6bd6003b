/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking. Most processes of a machine live for a few milliseconds, and what the shim
 * needs of the kernel takes longer than their exec. So the constructor only reserves addresses.
 * The shim comes up when the program maps memory that is worth it or waits for something; until
 * then it costs a load and a branch.
 *
 * Children inherit the sleep; each wakes for itself.
 */
#include "shim.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "tracker/abi.h"
#include "tracker/arena.h"
#include "tracker/fmt.h"
#include "tracker/sys.h"

/* Enough for 128 GiB of memory; what the machine has too little memory for is given back. */
#define RESERVE_BYTES (1ul << 30)
#define RESERVE_MIN_BYTES (32ul << 20)
#define KEEP_MAX_NS 2000000000ull

static void adopt_control(struct shim_control *control)
{
	control->pid = (uint32_t)sksm_call0(SYS_getpid);
	control->next_rss_kb = shim_peak_rss_kb() + shim.options.threshold_bytes / 1024;
	__atomic_store_n(&control->alive, 1, __ATOMIC_RELEASE);
}

void shim_child(void)
{
	/* What the parent left, this one is in. */
	shim.left_pids = false;
	/* Threads of a child race here only if it made them by raw clone: both do the same. */
	adopt_control(shim.control);
}

uint64_t shim_coarse_ns(void)
{
	struct timespec now = { 0 };

	/* Answered by the vDSO. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool shim_sleep(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	size_t bytes = RESERVE_BYTES;

	/* It is addresses only, and counts nonetheless: a 64th of what is allowed. */
	sksm_call4(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit);
	if (limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur / 64)
		bytes = limit.rlim_cur / 64 & -SKSM_PAGE_BYTES;
	if (bytes < SHIM_SITES_AT + (1u << 20))
		return false;
	shim.reservation = sksm_arena_addresses(sys, bytes);
	if (!shim.reservation)
		return false;
	shim.reservation_bytes = bytes;
	shim.start_tick_ns = shim_coarse_ns();
	__atomic_store_n(&shim.sleep, SHIM_ASLEEP, __ATOMIC_RELEASE);
	return true;
}

/*
 * A 128th of the machine's memory is more than the tracker of a process with all of it needs. The
 * lower end goes: above would be a hole at the side of glibc's own mapping, which the program's
 * would fill, grow together with it, and be dear to cut off again.
 */
static void give_back_surplus(void)
{
	struct sysinfo info = { 0 };
	uint64_t bytes, surplus;

	sksm_call1(SYS_sysinfo, &info);
	bytes = ((uint64_t)info.totalram * info.mem_unit / 128) & -(uint64_t)SKSM_PAGE_BYTES;
	if (bytes < RESERVE_MIN_BYTES)
		bytes = RESERVE_MIN_BYTES;
	if (bytes >= shim.reservation_bytes)
		return;
	surplus = shim.reservation_bytes - bytes;
	if (sksm_sys_kernel.munmap(shim.reservation, surplus))
		return;
	shim.reservation += surplus;
	shim.reservation_bytes = bytes;
}

static bool make_control(void)
{
	const struct sksm_sys *sys = &sksm_sys_kernel;

	give_back_surplus();
	if (!sksm_arena_settle(sys, shim.reservation, shim.reservation_bytes) ||
	    sys->mprotect(shim.reservation, SHIM_GUARD_AT, PROT_READ | PROT_WRITE) ||
	    sys->mprotect(shim.reservation + SHIM_STACK_AT, SHIM_SITES_AT - SHIM_STACK_AT,
			  PROT_READ | PROT_WRITE))
		return false;
	shim.tracker_at = SHIM_SITES_AT;
	shim_site_start();
	shim.control = (struct shim_control *)(shim.reservation + SHIM_CONTROL_AT);
	adopt_control(shim.control);
	return true;
}

/*
 * The calling thread's id as glibc has it. A child of vfork shares all memory with its parent and
 * so has its parent's. A recursive mutex notes its owner, and asks no kernel for it.
 */
static uint32_t own_tid(void)
{
	pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	uint32_t tid;

	pthread_mutex_lock(&mutex);
	tid = (uint32_t)mutex.__data.__owner;
	pthread_mutex_unlock(&mutex);
	return tid;
}

/* NULL, or why there is to be no shim: not for everybody to know where it is empty. */
static const char *come_up(const struct shim_self *self)
{
	const char *reason;

	sksm_options_update_dir(&shim.options);
	shim_count_resolve();
	if (!make_control())
		return "";
	/* What it has already would not show as growth. */
	if (self->anon_kb >= shim.options.threshold_bytes / 1024)
		shim.control->next_rss_kb = 0;
	reason = shim_record_make();
	if (reason)
		shim_log_dormant(reason);
	return reason;
}

static void wake(void)
{
	struct shim_self self;
	uint32_t next = SHIM_NO_SLEEP;

	if (!shim_trial_survived(&self)) {
		sksm_sys_kernel.munmap(shim.reservation, shim.reservation_bytes);
	} else if (self.tid && self.tid != own_tid()) {
		/* In its parent's memory there is nothing to do for a vfork child. */
		next = SHIM_ASLEEP;
	} else if (come_up(&self)) {
		sksm_sys_kernel.munmap(shim.reservation, shim.reservation_bytes);
	} else {
		__atomic_store_n(&shim.enabled, true, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&shim.sleep, next, __ATOMIC_RELEASE);
}

bool shim_wake(void)
{
	uint32_t asleep = SHIM_ASLEEP;

	if (shim_likely(shim.sleep != SHIM_ASLEEP) || shim.sandboxed ||
	    !__atomic_compare_exchange_n(&shim.sleep, &asleep, SHIM_WAKING, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	wake();
	return shim.enabled;
}

void shim_doze(uint64_t ns)
{
	if (shim_coarse_ns() - shim.start_tick_ns >= ns && shim_wake())
		shim_look();
}

bool shim_keep_asleep(void)
{
	uint64_t end_ns = 0;

	while (shim.sleep) {
		uint32_t asleep = SHIM_ASLEEP;

		if (__atomic_compare_exchange_n(&shim.sleep, &asleep, SHIM_WAKING, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return true;
		/* Another thread is at it; or this very one, below a signal handler. */
		if (!end_ns)
			end_ns = shim_coarse_ns() + KEEP_MAX_NS;
		if (shim_coarse_ns() > end_ns)
			break;
		sksm_call0(SYS_sched_yield);
	}
	return false;
}

void shim_sleep_on(bool may_wake)
{
	__atomic_store_n(&shim.sleep, may_wake ? SHIM_ASLEEP : SHIM_NO_SLEEP, __ATOMIC_RELEASE);
}

void shim_bury(void)
{
	if (!shim_keep_asleep())
		return;
	sksm_sys_kernel.munmap(shim.reservation, shim.reservation_bytes);
	shim_sleep_on(false);
}
