/* SPDX-License-Identifier: MIT */
/*
 * Pages of other processes, read from outside: private memory that KSM could merge, without what is
 * marked sensitive (locked, MADV_DONTDUMP, MADV_WIPEONFORK, device memory), which also leaves out
 * the memory of our own library. Needs what ptrace needs (ptrace(2), "Ptrace access mode").
 */
#ifndef SKSM_PAGES_H
#define SKSM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SKSM_PAGES_NAME_MAX 64

/* One mapping. */
struct sksm_pages_area {
	uint64_t start;
	uint64_t end;
	uint64_t rss;
	char name[SKSM_PAGES_NAME_MAX]; /* as in smaps: "[heap]", "[anon:...]", a file; may be empty
					 */
	bool mergeable;			/* private, readable, not sensitive */
	bool marked;			/* MADV_MERGEABLE, or the like */
};

struct sksm_pages {
	pid_t pid;
	struct sksm_pages_area *areas;	/* all mappings, ascending */
	size_t count;
	int pagemap;
	int mem;
};

/* 0; -EACCES or -EPERM where we may not look, -ESRCH, -ENOENT where it has gone; -errno. */
int sksm_pages_open(struct sksm_pages *ret, pid_t pid);
void sksm_pages_close(struct sksm_pages *pages);

/* The mapping that holds @address, or NULL. */
const struct sksm_pages_area *sksm_pages_area_of(const struct sksm_pages *pages, uint64_t address);

/*
 * Called for each small run of pages in memory: @bytes is their content, @entries what the page map
 * says, @count pages from @address on, all in @area. Not 0 ends the walk.
 */
typedef int (*sksm_pages_fn)(void *arg, const struct sksm_pages_area *area, uint64_t address,
			     const unsigned char *bytes, const uint64_t *entries,
			     unsigned int count);

/*
 * Visit every page of the mergeable areas that is in memory, is no page of a mapped file and not
 * shared by fork (mapped elsewhere though nobody marked it). Pages that go meanwhile are skipped.
 * 0, -errno, or what @visit returned.
 */
int sksm_pages_walk(const struct sksm_pages *pages, sksm_pages_fn visit, void *arg);

/* Copy one page. False where it is gone. */
bool sksm_pages_read(const struct sksm_pages *pages, uint64_t address, unsigned char *ret);

#endif
