/* SPDX-License-Identifier: MIT */
/*
 * The kernel's map of this process, the truth about what is mapped: glibc's own mmap calls, brk
 * and raw system calls reach no hook.
 *
 * PROCMAP_QUERY (since 6.11, about 0.5 us a mapping) where it works, the text of
 * /proc/thread-self/maps elsewhere. thread-self, because /proc/self names the leader, whose
 * memory is gone once main() has called pthread_exit.
 */
#ifndef SKSM_MAP_H
#define SKSM_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct sksm_sys;

enum sksm_vma_kind {
	SKSM_VMA_OTHER,		/* vdso, device... : not ours to look at */
	SKSM_VMA_ANON,		/* private anonymous, brk heap, [anon:name] */
	SKSM_VMA_STACK,		/* the main thread's stack */
	SKSM_VMA_MEMFD,		/* shmem without a path: memfd, shared anonymous, System V */
	SKSM_VMA_FILE,
};

struct sksm_vma {
	uint64_t start;
	uint64_t end;
	enum sksm_vma_kind kind;
	bool readable;
	bool writable;
	bool executable;
	bool shared;
	uint64_t inode;		/* 0: no file */
	uint64_t offset;	/* in the file */
	const char *name;	/* as in the maps file, until the next call; may be cut */
};

struct sksm_map {
	const struct sksm_sys *sys;
	int fd;
	bool text;		/* no PROCMAP_QUERY */
	uint64_t next;		/* query: address to go on from */
	unsigned int have;	/* text: bytes in buffer, and how many are consumed */
	unsigned int used;
	char buffer[4096];	/* query: the name */
};

/*
 * Open the map of the calling process; @text takes the fallback. 0 or -errno. One thread at a
 * time. The descriptor stays open between readings; after fork it names the parent's map.
 */
int sksm_map_open(struct sksm_map *map, const struct sksm_sys *sys, bool text);

/* The same for who has not probed the kernel: asks once, and takes the fallback where it must. */
int sksm_map_open_either(struct sksm_map *map, const struct sksm_sys *sys);
void sksm_map_close(struct sksm_map *map);

/* Go back to the lowest mapping. 0 or -errno. */
int sksm_map_rewind(struct sksm_map *map);

/*
 * Go to the mapping that holds @address or is the first behind it; without PROCMAP_QUERY to some
 * mapping before that. 0 or -errno.
 */
int sksm_map_seek(struct sksm_map *map, uint64_t address);

/*
 * The next mapping, whatever its kind. 1: *ret is filled; 0: no more; -errno: the reading
 * failed and says nothing about what follows. A map that changes meanwhile is seen in parts old
 * and in parts new, each mapping whole.
 */
int sksm_map_next(struct sksm_map *map, struct sksm_vma *ret);

/* The name of the mapping that holds @address; "": none, or it cannot be told. As sksm_vma.name. */
const char *sksm_map_name_at(struct sksm_map *map, uint64_t address);

/* Parse one line of a maps file, without its newline. False where it is none. */
bool sksm_map_parse_line(const char *line, struct sksm_vma *ret);

#endif
