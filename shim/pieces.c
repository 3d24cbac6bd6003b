/* SPDX-License-Identifier: MIT */
/*
 * mremap over what the program knows as one mapping and the kernel as several: our marks cut it,
 * and so does what was registered only in part. After a fork each piece has an anon_vma of its own
 * and the kernel joins them no more (mm/vma.c, is_mergeable_anon_vma). So the pieces are moved one
 * by one to where the kernel would have put the whole.
 *
 * The program's own mistakes stay mistakes: pieces must be private memory of the same protection
 * (and of one file, in its order) without a hole between them. What it made of several such
 * mappings itself, with other differences than these, is moved as well, where the kernel would have
 * refused.
 */
#include "pieces.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "clone.h"
#include "shim.h"
#include "tracker/abi.h"
#include "tracker/map.h"
#include "tracker/sys.h"

/* Times that a piece may be cut anew between the look at the map and the call. */
#define TRIES 16

bool shim_is_6_17(void)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;
	const char *p = name.release;

	if (sksm_call1(SYS_uname, &name))
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		major = major * 10 + (unsigned int)(*p - '0');
	for (p += *p == '.'; *p >= '0' && *p <= '9'; p++)
		minor = minor * 10 + (unsigned int)(*p - '0');
	return major > 6 || (major == 6 && minor >= 17);
}

bool shim_take_target(uint64_t target, uint64_t bytes)
{
	const int reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

	return shim_is_6_17() ||
	       sksm_call6(SYS_mmap, target, bytes, PROT_NONE, reserve, -1, 0) == (long)target;
}

struct job {
	uint64_t start;
	uint64_t old_bytes;
	uint64_t new_bytes;
	int flags;
	uint64_t target;	/* where the whole goes; 0: nobody has said */
	uint64_t last;		/* start of the last piece */
	uint64_t lost_bytes;	/* of the target, behind what was moved: another thread's now */
	long result;
};

static long move(uint64_t from, uint64_t old_bytes, uint64_t new_bytes, int flags, uint64_t to)
{
	return sksm_call5(SYS_mremap, from, old_bytes, new_bytes, flags, to);
}

/* May @piece have been one mapping with the one that ends where it starts? */
static bool is_continued(const struct sksm_vma *before, const struct sksm_vma *piece)
{
	return piece->readable == before->readable && piece->writable == before->writable &&
	       piece->executable == before->executable && piece->inode == before->inode &&
	       (!piece->inode || piece->offset == before->offset + (before->end - before->start));
}

/* Is the range several mappings that may have been one? */
static bool is_whole(struct sksm_map *map, struct job *job)
{
	const uint64_t end = job->start + job->old_bytes;
	struct sksm_vma piece, before = { 0 };
	uint64_t at = job->start;

	if (sksm_map_seek(map, at))
		return false;
	for (; at < end; at = piece.end) {
		do
			if (sksm_map_next(map, &piece) != 1)
				return false;
		while (piece.end <= at);
		if (piece.start > at || piece.shared || piece.kind == SKSM_VMA_OTHER ||
		    piece.kind == SKSM_VMA_STACK ||
		    (at > job->start && !is_continued(&before, &piece)))
			return false;
		before = piece;
		job->last = at;
	}
	return job->last != job->start;
}

/* The mapping that holds @at or comes next; of it, what lies from @at to @end. */
static bool find_piece(struct sksm_map *map, uint64_t at, uint64_t end, struct sksm_vma *ret)
{
	if (sksm_map_seek(map, at))
		return false;
	do
		if (sksm_map_next(map, ret) != 1 || ret->start >= end)
			return false;
	while (ret->end <= at);
	if (ret->start < at)
		ret->start = at;
	if (ret->end > end)
		ret->end = end;
	return true;
}

/*
 * Move [from, from + bytes) to @to, one piece after the other; the last one becomes @more bytes
 * longer. Our thread may cut a piece between the look and the call. Then nothing is moved, or
 * (since 6.17, where only what comes behind the cut is registered) the part before it: what is left
 * of that piece is found behind a hole. *ret_moved: bytes that have left. *ret_lost: of the target,
 * what another thread mapped behind them. 0 or -errno.
 */
static long move_range(struct sksm_map *map, uint64_t from, uint64_t bytes, uint64_t to,
		       uint64_t more, int flags, uint64_t *ret_moved, uint64_t *ret_lost)
{
	const uint64_t end = from + bytes;
	uint64_t at = from, asked = from;
	unsigned int tries = TRIES;
	struct sksm_vma piece;
	long result = 0;

	*ret_lost = 0;
	while (at < end && tries) {
		uint64_t grown;

		result = -EFAULT;
		if (!find_piece(map, at, end, &piece) || (piece.start > at && piece.start >= asked))
			break;
		at = piece.start;
		asked = piece.end;
		grown = asked - at + (asked == end ? more : 0);
		result = move(at, asked - at, grown, flags | MREMAP_MAYMOVE | MREMAP_FIXED,
			      to + (at - from));
		if (result == -EFAULT && shim_take_target(to + (at - from), grown)) {
			tries--;
			continue;
		}
		if (result == -EFAULT) {
			*ret_lost = grown;
			result = -ENOMEM;
		}
		if (sksm_is_error((void *)result))
			break;
		at = asked;
		tries = TRIES;
	}
	*ret_moved = at - from;
	return at < end ? result : 0;
}

static long move_all(struct sksm_map *map, struct job *job, uint64_t *ret_moved)
{
	uint64_t back, lost;
	long result = move_range(map, job->start, job->old_bytes, job->target,
				 job->new_bytes - job->old_bytes, job->flags & MREMAP_DONTUNMAP,
				 ret_moved, &job->lost_bytes);

	if (!result)
		return (long)job->target;
	move_range(map, job->target, *ret_moved, job->start, 0, 0, &back, &lost);
	return result;
}

static long grow_in_place(const struct job *job)
{
	uint64_t bytes = job->start + job->old_bytes - job->last;
	long result = move(job->last, bytes, bytes + (job->new_bytes - job->old_bytes), 0, 0);

	return sksm_is_error((void *)result) ? result : (long)job->start;
}

/* Memory that nobody else can take until the pieces lie on it. */
static long move_somewhere(struct sksm_map *map, struct job *job)
{
	uint64_t moved, kept;
	long result = sksm_call6(SYS_mmap, 0, job->new_bytes, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sksm_is_error((void *)result))
		return result;
	job->target = (uint64_t)result;
	result = move_all(map, job, &moved);
	/* Where pieces lay for a while, another thread may have mapped something by now. */
	kept = moved + job->lost_bytes;
	if (sksm_is_error((void *)result) && kept < job->new_bytes)
		sksm_call2(SYS_munmap, job->target + kept, job->new_bytes - kept);
	return result;
}

static long remap(struct sksm_map *map, struct job *job)
{
	uint64_t moved;
	long result;

	if (!is_whole(map, job))
		return -EFAULT;
	if (job->flags & MREMAP_FIXED) {
		if (job->new_bytes < job->old_bytes) {
			result = sksm_call2(SYS_munmap, job->start + job->new_bytes,
					    job->old_bytes - job->new_bytes);
			if (result)
				return result;
			job->old_bytes = job->new_bytes;
		}
		return move_all(map, job, &moved);
	}
	if (job->flags & MREMAP_DONTUNMAP)
		return move_somewhere(map, job);
	result = grow_in_place(job);
	if (result == -ENOMEM && (job->flags & MREMAP_MAYMOVE))
		result = move_somewhere(map, job);
	return result;
}

/*
 * In a process that shares our memory and nothing else, for the descriptor of the map: the
 * program must not meet it, and no child that another thread forks may inherit it.
 */
static int work(void *arg)
{
	struct job *job = arg;
	struct sksm_map map;

	/* The program's may be full; and files that are closed at our end may be flushed then. */
	if (sksm_call3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0 &&
	    sksm_map_open_either(&map, &sksm_sys_kernel) == 0) {
		job->result = remap(&map, job);
		sksm_map_close(&map);
	}
	sksm_call1(SYS_exit, 0);
	return 0;
}

/*
 * On a stack of ours: the caller's may be as small as that of a signal handler. With all signals
 * blocked, so that no handler of this thread waits for itself. -errno or the helper's pid.
 */
static long run_helper(struct job *job)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	uint32_t *busy = &shim.control->helper, free = 0;
	long pid;

	while (!__atomic_compare_exchange_n(busy, &free, 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		/* A real-time thread that yields would not let a lesser one finish. */
		sksm_call6(SYS_futex, busy, FUTEX_WAIT, 1, &pause, 0, 0);
		free = 0;
	}
	pid = shim_clone(CLONE_VM | CLONE_VFORK | CLONE_FILES,
			 shim.reservation + SHIM_HELPER_AT + SHIM_HELPER_BYTES, NULL, NULL, NULL,
			 work, job);
	__atomic_store_n(busy, 0, __ATOMIC_RELEASE);
	return pid;
}

long shim_mremap_pieces(void *addr, size_t old_bytes, size_t new_bytes, int flags, void *new_addr)
{
	const uint64_t mask = SKSM_PAGE_BYTES - 1;
	uint64_t all = ~0ull, old;
	struct job job = {
		.start = (uintptr_t)addr,
		.old_bytes = (old_bytes + mask) & ~mask,
		.new_bytes = (new_bytes + mask) & ~mask,
		.flags = flags,
		.target = flags & MREMAP_FIXED ? (uintptr_t)new_addr : 0,
		.result = -EFAULT,
	};
	long pid;

	/* The first process of a pid namespace has to be the program's. */
	if (shim.left_pids)
		return -EFAULT;
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || !job.old_bytes ||
	    !job.new_bytes)
		return -EFAULT;
	/*
	 * A handler in the child would run in the program's memory and believe itself the program.
	 */
	if (sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all)))
		return -EFAULT;
	pid = run_helper(&job);
	/* Its exit signal is none: no other wait of the program finds it. */
	if (pid > 0)
		sksm_call4(SYS_wait4, pid, 0, __WCLONE, 0);
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	return job.result;
}
