/* SPDX-License-Identifier: MIT */
/*
 * The list of members and the table that it names, both as somebody left them: whoever joins gets
 * a place or an error, and finds what is right to find. The input is the list, behind a good magic
 * number; its first byte says what the table is like.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"
#include "tracker/arena.h"
#include "tracker/index_file.h"

#define ARENA_BYTES (64ul << 20)
#define MEMBERS_MAGIC 0x31424d454d4d534bull
#define TABLE_MAGIC 0x32444e494d534b53ull

static int make_file(const char *name)
{
	return openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static void write_table(uint8_t kind, uint64_t generation)
{
	struct sksm_table_header header = { .magic = TABLE_MAGIC, .order = kind >> 3 };
	uint64_t bytes = SKSM_TABLE_HEADER + (kind >> 3 > 20 ? 0 :
					      sksm_index_table_bytes(kind >> 3));
	char name[32];
	int table_fd;

	snprintf(name, sizeof(name), "index-%llu", (unsigned long long)generation);
	table_fd = make_file(name);
	if (table_fd < 0 || pwrite(table_fd, &header, sizeof(header), 0) != sizeof(header) ||
	    ftruncate(table_fd, (off_t)(kind & 1 ? bytes : bytes - (kind & 7))))
		abort();
	close(table_fd);
}

static void write_members(const uint8_t *data, size_t size)
{
	struct sksm_members_header header = { .magic = MEMBERS_MAGIC };
	int members_fd;

	memcpy((char *)&header + 8, data, size < 16 ? size : 16);
	/* Nearly all numbers are too large otherwise. */
	if (data[0] & 1)
		header.used &= 15;
	members_fd = make_file("members");
	if (members_fd < 0 || pwrite(members_fd, &header, sizeof(header), 0) != sizeof(header) ||
	    pwrite(members_fd, data, size, sizeof(header)) != (ssize_t)size)
		abort();
	close(members_fd);
	write_table(data[0], header.generation);
}

static void use(struct sksm_index *index)
{
	if (index->slot < 1 || index->slot >= SKSM_INDEX_MEMBERS || !index->me)
		abort();
	for (uint64_t i = 1; i < 4; i++) {
		uint64_t digest = i * 0x9e3779b97f4a7c15ull & ~0xffffull;

		sksm_index_publish(index, digest);
		sksm_index_lookup(index, digest);
	}
	sksm_index_beat(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void *reservation;
	struct sksm_index index;
	struct sksm_arena arena;

	if (!size)
		return 0;
	if (!reservation) {
		dir_open();
		reservation = sksm_arena_reserve(&sksm_sys_kernel, ARENA_BYTES);
	}
	sksm_arena_init(&arena, &sksm_sys_kernel, reservation, ARENA_BYTES, 0);
	write_members(data, size);
	if (!sksm_index_open(&index, &sksm_sys_kernel, &arena, dir_fd, 100)) {
		use(&index);
		sksm_index_close(&index);
	}
	if (arena.used_bytes)
		abort();
	sksm_arena_fini(&arena);
	dir_clear();
	return 0;
}
