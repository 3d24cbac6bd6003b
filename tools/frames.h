/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own truth about savings: which pages of a set of processes are mapped to merged
 * frames, and how many distinct frames there are behind them. From /proc/PID/pagemap and
 * /proc/kpageflags, so it needs CAP_SYS_ADMIN.
 */
#ifndef SKSM_FRAMES_H
#define SKSM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A part of a process' memory, to be counted by itself. */
struct sksm_frames_part {
	uint64_t start;		/* in */
	uint64_t end;
	uint64_t merged_bytes;	/* out, as of the process */
	uint64_t zero_bytes;
	uint64_t saved_bytes;
};

struct sksm_frames_process {
	pid_t pid;		/* in */
	/*
	 * Ascending and disjoint, the last one for what lies in no other (its addresses do not
	 * matter); what they sum up to is the process'. May be NULL.
	 */
	struct sksm_frames_part *parts;
	size_t part_count;
	bool known;		/* out: the rest is valid */
	uint64_t merged_bytes;	/* mapped to merged frames; zero pages are among them */
	uint64_t zero_bytes;	/* of those, zero pages that KSM placed */
	uint64_t saved_bytes;	/* its part of (merged - distinct frames) over all processes */
};

/*
 * Count over the @count processes of @list together. A frame counts once, and what it saves is
 * divided among the processes by their number of mappings; saved_bytes sum up exactly. Processes
 * that end meanwhile, or may not be looked at, stay with known = false. 0; an error of
 * sksm_frames_able; or -errno.
 */
int sksm_frames_count(struct sksm_frames_process *list, size_t count);

/*
 * Can merged frames be told? 0; -EPERM without the privilege; -EOPNOTSUPP on kernels whose
 * /proc/kpageflags calls every anonymous page merged (from 6.10 on, corrected in newer ones).
 */
int sksm_frames_able(void);

#endif
