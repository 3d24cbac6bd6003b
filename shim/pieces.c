/* SPDX-License-Identifier: MIT */
/*
 * mremap over what the program knows as one mapping and the kernel as several. At a fork each of
 * the pieces that our marks made gets an anon_vma of its own, and the kernel joins them no more
 * (mm/vma.c, is_mergeable_anon_vma): in the child mremap over all of them fails with EFAULT for
 * good. So the pieces are moved one by one to where the kernel would have put the whole.
 *
 * The program's own mistakes stay mistakes: pieces must be private anonymous memory of the same
 * protection without a hole between them. What it made of several such mappings itself, with
 * other differences than these, is moved as well, where the kernel would have refused.
 */
#include "pieces.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clone.h"
#include "tracker/abi.h"
#include "tracker/map.h"
#include "tracker/sys.h"

#define STACK_BYTES 16384

struct job {
	uint64_t start;
	uint64_t old_bytes;
	uint64_t new_bytes;
	int flags;
	bool begun;
	uint64_t target;	/* where the whole goes; 0: it stays and grows in place */
	uint64_t last;		/* start of the last piece */
	long result;
};

static long move(uint64_t from, uint64_t old_bytes, uint64_t new_bytes, uint64_t to)
{
	return sksm_call5(SYS_mremap, from, old_bytes, new_bytes,
			  to ? MREMAP_MAYMOVE | MREMAP_FIXED : 0, to);
}

/* The part of a piece that lies in the range. */
static bool next_piece(struct sksm_map *map, const struct job *job, uint64_t at,
		       struct sksm_vma *ret)
{
	while (sksm_map_next(map, ret) == 1) {
		if (ret->end <= at)
			continue;
		if (ret->start > at)
			return false;
		ret->start = at;
		if (ret->end > job->start + job->old_bytes)
			ret->end = job->start + job->old_bytes;
		return true;
	}
	return false;
}

/* Is the range what one mapping may have become? */
static bool is_whole(struct sksm_map *map, struct job *job)
{
	struct sksm_vma piece, first = { 0 };

	if (sksm_map_rewind(map))
		return false;
	for (uint64_t at = job->start; at < job->start + job->old_bytes; at = piece.end) {
		if (!next_piece(map, job, at, &piece) || piece.shared ||
		    piece.kind != SKSM_VMA_ANON)
			return false;
		if (at == job->start)
			first = piece;
		if (piece.readable != first.readable || piece.writable != first.writable)
			return false;
		job->last = piece.start;
	}
	return job->last != job->start;
}

/* Everything that lies at the target before @end goes back. */
static void move_back(struct sksm_map *map, struct job *job, uint64_t end)
{
	const uint64_t shift = job->target - job->start;
	struct job there = { .start = job->target, .old_bytes = end - job->start };
	struct sksm_vma piece;

	if (end == job->start || sksm_map_rewind(map))
		return;
	for (uint64_t at = there.start; at < there.start + there.old_bytes; at = piece.end) {
		if (!next_piece(map, &there, at, &piece))
			return;
		move(piece.start, piece.end - piece.start, piece.end - piece.start,
		     piece.start - shift);
	}
}

static long move_all(struct sksm_map *map, struct job *job)
{
	const uint64_t end = job->start + job->old_bytes;
	struct sksm_vma piece;
	uint64_t at;
	long result;

	for (at = job->start; at < end; at = piece.end) {
		uint64_t more = 0;

		/* What was moved is gone from the map: begin anew for each. */
		result = sksm_map_rewind(map);
		if (!result && !next_piece(map, job, at, &piece))
			result = -EFAULT;
		if (!result) {
			if (piece.end == end)
				more = job->new_bytes - job->old_bytes;
			result = move(piece.start, piece.end - piece.start,
				      piece.end - piece.start + more,
				      job->target + (piece.start - job->start));
		}
		if (sksm_is_error((void *)result)) {
			move_back(map, job, at);
			return result;
		}
	}
	return (long)job->target;
}

static long grow_in_place(const struct job *job)
{
	uint64_t bytes = job->start + job->old_bytes - job->last;
	long result = move(job->last, bytes, bytes + (job->new_bytes - job->old_bytes), 0);

	return sksm_is_error((void *)result) ? result : (long)job->start;
}

/* Memory that nobody else can take until the pieces lie on it. */
static long move_somewhere(struct sksm_map *map, struct job *job)
{
	long result = sksm_call6(SYS_mmap, 0, job->new_bytes, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sksm_is_error((void *)result))
		return result;
	job->target = (uint64_t)result;
	result = move_all(map, job);
	if (sksm_is_error((void *)result))
		sksm_call2(SYS_munmap, job->target, job->new_bytes);
	return result;
}

/* The kernel moved some pieces and met one that it would not: go on from there. */
static long move_rest(struct sksm_map *map, struct job *job)
{
	const uint64_t end = job->start + job->old_bytes, target = job->target;
	struct sksm_vma piece;
	long result;

	do
		if (sksm_map_next(map, &piece) != 1 || piece.start >= end)
			return -EFAULT;
	while (piece.end <= job->start);
	job->target += piece.start - job->start;
	job->start = piece.start;
	job->old_bytes = job->new_bytes = end - piece.start;
	result = move_all(map, job);
	return sksm_is_error((void *)result) ? result : (long)target;
}

static long remap(struct sksm_map *map, struct job *job)
{
	long result;

	if (job->begun)
		return move_rest(map, job);
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
		return move_all(map, job);
	}
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

	if (sksm_map_open(&map, &sksm_sys_kernel, false) == 0 ||
	    sksm_map_open(&map, &sksm_sys_kernel, true) == 0) {
		job->result = remap(&map, job);
		sksm_map_close(&map);
	}
	sksm_call1(SYS_exit, 0);
	return 0;
}

long shim_mremap_pieces(void *addr, size_t old_bytes, size_t new_bytes, int flags, void *new_addr,
			bool begun)
{
	const uint64_t mask = SKSM_PAGE_BYTES - 1;
	char stack[STACK_BYTES] __attribute__((aligned(16)));
	uint64_t all = ~0ull, old;
	struct job job = {
		.start = (uintptr_t)addr,
		.old_bytes = (old_bytes + mask) & ~mask,
		.new_bytes = (new_bytes + mask) & ~mask,
		.flags = flags,
		.begun = begun,
		.target = flags & MREMAP_FIXED ? (uintptr_t)new_addr : 0,
		.result = -EFAULT,
	};
	long pid;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || !job.old_bytes || !job.new_bytes)
		return -EFAULT;
	/*
	 * A handler in the child would run in the program's memory and believe itself the program.
	 */
	if (sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all)))
		return -EFAULT;
	pid = shim_clone(CLONE_VM | CLONE_VFORK, stack + sizeof(stack), NULL, NULL, NULL, work,
			 &job);
	/* Its exit signal is none: no other wait of the program finds it. */
	if (pid > 0)
		sksm_call4(SYS_wait4, pid, 0, __WCLONE, 0);
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	return job.result;
}
