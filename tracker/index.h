/* SPDX-License-Identifier: MIT */
/*
 * The twin index of a domain: which digests of invariant pages exist, and whose they are.
 *
 * Two kinds of file (domain.h): "members", a slot for each process that takes part, and "index-N",
 * a hash table of 8-byte entries in buckets of 32. N is the generation: a table that has become
 * too small is replaced by a larger one, and every member publishes its pages anew.
 *
 * All access is by pread and pwrite, never by a mapping: a truncated file or a full disk is an
 * error to us, where a mapping would kill the program with SIGBUS. There are no locks on this
 * path. Two writers may race and one of them be lost, an entry may name a process that died; the
 * pages are looked up again when that shows, and the kernel compares contents before it merges.
 *
 * An index belongs to one thread.
 */
#ifndef SKSM_INDEX_H
#define SKSM_INDEX_H

#include <stdbool.h>
#include <stdint.h>

struct sksm_sys;
struct sksm_arena;
struct sksm_member;

#define SKSM_INDEX_MEMBERS 1024
#define SKSM_INDEX_WAYS 32
#define SKSM_INDEX_MIN_ORDER 5
#define SKSM_INDEX_MAX_ORDER 19

/* The size of a table's buckets, as they are in the file. */
static inline uint64_t sksm_index_table_bytes(unsigned int order)
{
	return SKSM_INDEX_WAYS * sizeof(uint64_t) << order;
}

struct sksm_index {
	const struct sksm_sys *sys;
	struct sksm_arena *arena;
	int domain_fd;		/* not ours to close */
	int members_fd;
	int fd;
	uint64_t generation;
	unsigned int order;	/* log2 of the number of buckets */
	uint16_t me;		/* what entries call us: slot and its generation; 0: no slot */
	unsigned int slot;
	uint32_t pid;
	uint64_t joined_ns;
	uint64_t seen_event_ns;
	uint64_t skew_ns;	/* of our time namespace */
	uint64_t now_ns;
	uint64_t lease_ns;	/* for how long others take us for alive after a beat */
	uint64_t alive_hash;	/* which members lived at the last beat */
	bool self_event;
	unsigned int members_used;
	struct sksm_member *members;	/* a copy, as of the last beat */
	uint64_t held;		/* pages that the caller has published now: for a larger table */
	uint64_t publishes;	/* since the table was opened */
	uint64_t overflows;
	uint8_t to_notify[SKSM_INDEX_MEMBERS / 8];	/* at the next flush */
	uint8_t asked[SKSM_INDEX_MEMBERS / 8];	/* since the last beat: whether it lives after all */
};

/* What sksm_index_beat found, bits. */
#define SKSM_INDEX_EVENT 1	/* a page of ours got a twin: look all of them up */
#define SKSM_INDEX_MOVED 2	/* a new table: publish all pages again */

/*
 * Join the domain in @domain_fd; @pages is how many pages this process may come to publish.
 * 0 or -errno. -EAGAIN: somebody else is joining this instant, try again later. -EPERM: the list of
 * members is not a plain file of ours.
 */
int sksm_index_open(struct sksm_index *index, const struct sksm_sys *sys,
		    struct sksm_arena *arena, int domain_fd, uint64_t pages);

/* Leave: give the slot back. Entries stay; others see that their owner is gone. */
void sksm_index_close(struct sksm_index *index);

/*
 * Once a pass: say that we live, learn who else does, move to a larger table. Bits, or -errno;
 * -ESTALE: the files are no longer those that we joined, close and open again.
 */
int sksm_index_beat(struct sksm_index *index);

/* Will the next beat make a larger table? */
bool sksm_index_is_full(const struct sksm_index *index);

/* Would the next beat find that a page of ours got a twin? */
bool sksm_index_has_event(const struct sksm_index *index);

enum sksm_index_op_kind {
	/*
	 * Publish a page of ours. 1: it has a twin, in this or another living process; 0: no twin
	 * is known; -errno: it could not be published (-ENOSPC: its bucket is full).
	 */
	SKSM_INDEX_PUBLISH,
	/* A page of ours no longer has this content. */
	SKSM_INDEX_WITHDRAW,
	/* Has a page that we published a twin by now? 1, 0, -errno. Published again where lost. */
	SKSM_INDEX_LOOKUP,
};

struct sksm_index_op {
	uint64_t digest;
	void *block;		/* with page: whose digest; the caller's alone */
	uint32_t next;		/* the index' own */
	int16_t result;		/* of PUBLISH and LOOKUP */
	uint16_t kind : 4;	/* enum sksm_index_op_kind */
	uint16_t page : 12;
};

/*
 * Do @count operations, those on one digest in the order given, and set their results. The more at
 * once, the cheaper: the table is read and written by spans of 4 KiB, a system call each, and a
 * span is visited once. A page is looked up once in a batch, and not with what publishes it: each
 * lookup of a digest whose entry was lost counts as a page.
 */
void sksm_index_apply(struct sksm_index *index, struct sksm_index_op *ops, unsigned int count);

/* One operation. */
int sksm_index_publish(struct sksm_index *index, uint64_t digest);
void sksm_index_withdraw(struct sksm_index *index, uint64_t digest);
int sksm_index_lookup(struct sksm_index *index, uint64_t digest);

/*
 * Contents that have a twin and whose first page is ours: where all twins are merged, one frame of
 * each content stays, and each is counted by one member. Reads the whole table. -errno.
 */
int64_t sksm_index_count_frames(struct sksm_index *index);

/*
 * Tell the members whose pages were found to have twins. After the last publishing or lookup of a
 * batch, never before: who is told early looks early, and misses the rest for good.
 */
void sksm_index_flush(struct sksm_index *index);

#endif
