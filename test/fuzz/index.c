/* SPDX-License-Identifier: MIT */
/*
 * The files of the twin index, written over by somebody while two processes use them: hints get
 * lost, nothing else. The input is a list of patches: file, place, length, bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"
#include "tracker/arena.h"
#include "tracker/index.h"
#include "tracker/sys.h"

#define MEMBERS 2
#define ARENA_BYTES (64ul << 20)

/* The file that begins with @prefix. */
static int find_file(const char *prefix)
{
	DIR *list = opendir(dir_path);
	struct dirent *entry;
	int fd = -1;

	while (fd < 0 && (entry = readdir(list))) {
		if (!strncmp(entry->d_name, prefix, strlen(prefix)))
			fd = openat(dir_fd, entry->d_name, O_RDWR | O_CLOEXEC);
	}
	closedir(list);
	return fd;
}

static size_t patch(const uint8_t *data, size_t size)
{
	uint32_t offset;
	size_t length;
	int fd;

	if (size < 6)
		return size;
	memcpy(&offset, data + 1, sizeof(offset));
	length = data[5] < size - 6 ? data[5] : size - 6;
	fd = find_file(data[0] & 1 ? "members" : "index-");
	if (fd < 0)
		return size;
	if (data[0] & 2)
		offset %= 8192;
	else
		offset %= 1u << 20;
	if (data[0] & 4 && ftruncate(fd, offset))
		abort();
	if (pwrite(fd, data + 6, length, offset) < 0)
		abort();
	close(fd);
	return 6 + length;
}

static void use(struct sksm_index *member)
{
	for (uint64_t i = 1; i < 40; i++) {
		uint64_t digest = i * 0x9e3779b97f4a7c15ull & ~0xffffull;

		sksm_index_publish(member, digest);
		sksm_index_lookup(member, digest);
		if (i % 3 == 0)
			sksm_index_withdraw(member, digest);
	}
	sksm_index_beat(member);
	sksm_index_flush(member);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_index member[MEMBERS];
	bool open_member[MEMBERS] = { false };
	static void *reservation;
	struct sksm_arena arena;
	size_t used = 0;

	if (!reservation) {
		dir_open();
		reservation = sksm_arena_reserve(&sksm_sys_kernel, ARENA_BYTES);
	}
	sksm_arena_init(&arena, &sksm_sys_kernel, reservation, ARENA_BYTES, 0);
	while (used < size) {
		for (int i = 0; i < MEMBERS; i++) {
			if (!open_member[i])
				open_member[i] = !sksm_index_open(&member[i], &sksm_sys_kernel,
								  &arena, dir_fd, 100);
			if (open_member[i])
				use(&member[i]);
		}
		used += patch(data + used, size - used);
	}
	for (int i = 0; i < MEMBERS; i++) {
		if (!open_member[i])
			continue;
		use(&member[i]);
		sksm_index_close(&member[i]);
	}
	sksm_arena_fini(&arena);
	dir_clear();
	return 0;
}
