/* SPDX-License-Identifier: MIT */
/* What index.c and members.c share: the layout of the files and how they are written. */
#ifndef SKSM_INDEX_FILE_H
#define SKSM_INDEX_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "index.h"
#include "sys.h"

#define SKSM_TABLE_HEADER 4096

/* The first 64 bytes of "members"; slots follow. Changed under the file's lock only. */
struct sksm_members_header {
	uint64_t magic;
	uint64_t generation;	/* of the table in use */
	uint64_t used;		/* slots that were ever in use */
	uint64_t pad[5];
};

struct sksm_member {
	uint32_t pid;
	uint32_t generation;	/* counts the owners of the slot */
	uint64_t beat_ns;	/* CLOCK_BOOTTIME, outside of time namespaces */
	uint64_t lease_ns;	/* the next beat comes within this time */
	uint64_t event_ns;	/* when somebody last found a twin of a page of this member */
	uint64_t joined_ns;	/* with the pid, who it is */
	uint64_t pad[3];
};

struct sksm_table_header {
	uint64_t magic;
	uint64_t order;
};

_Static_assert(sizeof(struct sksm_members_header) == 64 && sizeof(struct sksm_member) == 64, "layout");

static inline uint64_t sksm_member_offset(unsigned int slot)
{
	return sizeof(struct sksm_members_header) + (uint64_t)slot * sizeof(struct sksm_member);
}

static inline long sksm_write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	return sksm_call4(SYS_pwrite64, fd, data, size, offset);
}

/* members.c: is this owner of a page there, as far as its slot tells? */
bool sksm_index_alive(struct sksm_index *index, uint16_t owner);

#endif
