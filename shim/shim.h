/* SPDX-License-Identifier: MIT */
/*
 * Living in someone else's process.
 *
 * The rules of this directory: hooks preserve errno, take no lock, allocate nothing and wait for
 * nothing (the exceptions are in aside.c, and say so). Whatever fails leaves the program as it
 * was: the shim is then dormant and the record says why.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/options.h"
#include "tracker/record.h"
#include "tracker/site.h"

#define SHIM_EXPORT __attribute__((visibility("default")))
#define shim_likely(x) __builtin_expect(!!(x), 1)

enum shim_phase { SHIM_IDLE, SHIM_STARTING, SHIM_RUNNING };

/*
 * What changes while the process runs, on a page that the kernel wipes in a forked child
 * (MADV_WIPEONFORK), however it was forked: @alive reads 0 there until shim_child has run.
 */
struct shim_control {
	uint32_t alive;
	uint32_t pid;		/* a vfork child shares this page, but not the pid */
	int32_t tid;		/* of our thread; the kernel clears it and wakes when it is gone */
	int32_t last_tid;	/* of one that may still be on its way out; 0: none */
	uint32_t phase;		/* enum shim_phase */
	uint32_t stop;		/* futex: our thread sleeps on it; 1 asks it to end */
	uint32_t helper;	/* a helper uses its stack */
	uint32_t holds;		/* program threads that keep ours away for the moment */
	uint32_t interrupted;	/* one of them sent a thread away: it is to come back */
	uint32_t dormant;	/* nothing can be tracked here: no use in trying again */
	int exit_status;	/* of a process whose last thread is ours */
	uint64_t last_tick_ns;	/* when the growth of the process was looked at last */
	uint64_t next_rss_kb;	/* start once the peak resident size is this much */
	uint64_t cpu_ns;	/* of earlier threads of ours in this process */
	struct sksm_record *record;	/* NULL: none */
	bool record_mapped;	/* from its file */
};

/*
 * Everything of ours lies in one reservation (tracker/arena.h says why): the control page, the
 * record, our thread's guard, stack and thread block, the stack of helpers (pieces.c), and what is
 * known of call sites, which alone a child inherits; the tracker has the rest.
 */
#define SHIM_CONTROL_AT 0u
#define SHIM_RECORD_AT 4096u
#define SHIM_GUARD_AT 8192u
#define SHIM_STACK_AT 12288u
#define SHIM_STACK_BYTES (64u << 10)
#define SHIM_BLOCK_AT (SHIM_STACK_AT + SHIM_STACK_BYTES)
#define SHIM_HELPER_AT (SHIM_BLOCK_AT + 4096u)
#define SHIM_HELPER_BYTES 16384u
#define SHIM_SITES_AT (SHIM_HELPER_AT + SHIM_HELPER_BYTES)
#define SHIM_SITES_BYTES ((sizeof(struct sksm_sites) + 4095u) & ~(size_t)4095u)

/*
 * Most processes are over before there is anything to watch. The constructor makes no system call
 * that the loader has not made, and reserves addresses; all the rest waits for a reason.
 */
enum shim_sleep { SHIM_NO_SLEEP, SHIM_ASLEEP, SHIM_WAKING };

struct shim {
	bool enabled;		/* awake, and something can be done */
	uint32_t sleep;		/* enum shim_sleep */
	uint64_t start_tick_ns;	/* when the constructor ran, by the coarse clock */
	uint64_t away_until_ns;	/* by the coarse clock: until then there is to be no thread */
	uint64_t forked_ns;	/* likewise: the last fork; 0: none */
	bool had_thread;	/* this process or its parent had reason for one */
	bool retired;		/* the reservation was given back: no thread any more */
	bool sandboxed;		/* a seccomp filter may kill at any call of ours: stay away */
	bool marked;		/* this process or its parent marked memory as mergeable */
	bool left_pids;		/* the next process is the first of a pid namespace */
	struct sksm_options options;
	struct shim_control *control;
	char *reservation;
	size_t reservation_bytes;
	size_t tracker_at;	/* where the tracker's part of it begins */
	struct sksm_sites *sites;	/* NULL: mappings are not attributed */
	struct sksm_unwinder unwinder;
	uint64_t run_id;
	char comm[SKSM_COMM_MAX];
	char command[SKSM_COMMAND_MAX];
	char reason[3 * SKSM_REASON_MAX];	/* why there is no domain */
};

extern struct shim shim __attribute__((visibility("hidden")));

/* init.c: say on stderr, where SKSM_LOG wants it, why nothing is tracked. */
void shim_log_dormant(const char *reason);

/* sleep.c: CLOCK_MONOTONIC_COARSE, without a system call. */
uint64_t shim_coarse_ns(void);

/* sleep.c: reserve addresses and sleep. False: without them there is no shim. */
bool shim_sleep(void);

/*
 * sleep.c: a shim that sleeps comes up, with its record. True: it is at work. Some 80 us.
 * Async-signal-safe.
 */
bool shim_wake(void);

/* sleep.c: likewise, and look, but not before the process has lived for @ns. */
#define SHIM_DOZE_NS 10000000u
void shim_doze(uint64_t ns);

/*
 * sleep.c: true: it sleeps, and nobody can wake it until shim_sleep_on, which says whether anybody
 * may then. Waits while it is being woken (2 s at most).
 */
bool shim_keep_asleep(void);
void shim_sleep_on(bool may_wake);

/* sleep.c: if it sleeps, it does so for ever, in children too, and holds no addresses. */
void shim_bury(void);

/* sleep.c: adopt the control page in a forked child. Async-signal-safe. */
void shim_child(void);

/*
 * record.c: make the record of this process where there is none: its file, and the mapping in
 * control->record. NULL or why it could not be made. Async-signal-safe.
 */
const char *shim_record_make(void);

/* record.c: bring the file in step with a record that is not mapped. Async-signal-safe. */
void shim_record_store(void);

/* record.c: why a directory of the domain was refused with @error. */
const char *shim_record_explain(int error);

/* record.c: open, or make, the file of call sites. A descriptor or -errno. */
int shim_record_open_sites(void);

/*
 * hooks.c: memory was mapped by a call from @frame: wake, have the thread started, and note who it
 * was, where it is large enough. Async-signal-safe.
 */
void shim_note_mapping(void *addr, size_t length, int prot, int flags, struct sksm_frame frame);

/* malloc.c: note large allocations from now on, where they are glibc's. */
void shim_malloc_start(void);

/* site.c: make room for call sites, where there can be any. While waking. */
void shim_site_start(void);

/*
 * site.c: the program mapped [@addr, @addr + @length) by a call from @frame; is about to unmap it;
 * had it moved, @ticket being from before. The shim is at work. Async-signal-safe.
 */
void shim_site_mapped(void *addr, size_t length, int flags, struct sksm_frame frame);
void shim_site_unmapped(void *addr, size_t length);
uint64_t shim_site_ticket(void);
void shim_site_moved(uint64_t ticket, void *from, size_t old_length, void *to, size_t length);

/* record.c: say in the record why nothing is tracked. */
void shim_record_dormant(const char *reason);

/* thread.c: start our thread where nothing speaks against it. Async-signal-safe. */
void shim_thread_start(void);

/*
 * thread.c: have our thread end, and wait until the kernel has let go of it (2 s at most); and
 * let it come back where it was running. The calls nest, over all threads of the program.
 */
void shim_thread_hold(void);
void shim_thread_release(void);

/*
 * thread.c: for the time until it ends, our thread has the priority of the caller, where the kernel
 * lets one give it (root, RLIMIT_NICE); or, not @lifts, its own again. Not in a sandbox.
 */
void shim_thread_lift(bool lifts);

/*
 * thread.c: give back the addresses that our thread would need, for good, in children too; the
 * record says @reason. Only while the thread is held.
 */
void shim_thread_retire(const char *reason);

/* What the kernel says of the calling thread; zeros where there is no /proc. */
struct shim_self {
	uint32_t tid;
	uint64_t anon_kb;	/* resident anonymous memory of the process */
};

/* trial.c: may our system calls be made at all, or would a seccomp filter kill for them? */
bool shim_trial_survived(struct shim_self *ret);

/* growth.c: the largest resident size so far. Async-signal-safe. */
uint64_t shim_peak_rss_kb(void);

/* growth.c: has the process grown so much that there is something to watch? Costs about 6 ns. */
void shim_look(void);

/* exit.c: the end of the process: note it in the record; the report that SKSM_REPORT asks for. */
void shim_exit_note(void);
void shim_exit_exec(bool begins);	/* or it failed */
void shim_exit_report(void);
void shim_exit_register(void);

/*
 * aside.c: what the libc function syscall() does with the numbers that need care; entered from
 * the assembly there. @f is on the stack, as syscall() itself finds it.
 */
long shim_syscall(long number, long a, long b, long c, long d, long e, long f);

/*
 * say.c: write to the program's standard error or the report: where that is a pipe that nobody
 * reads or a file at its limit, no signal tells the program. Async-signal-safe.
 */
void shim_say(int fd, const char *text, size_t length);

/* count.c: likewise, of those that are not looked up yet; for the time when the shim wakes. */
void shim_count_resolve(void);

/* hooks.c, growth.c, aside.c, exec.c, exit.c: look up the functions behind the hooks. */
void shim_hooks_resolve(void);
void shim_growth_resolve(void);
void shim_aside_resolve(void);
void shim_exec_resolve(void);
void shim_exit_resolve(void);
void shim_site_resolve(void);

/* Is there a shim at work in this very process (not in a vfork child of it)? */
static inline bool shim_active(void)
{
	return shim_likely(shim.enabled);
}

#endif
