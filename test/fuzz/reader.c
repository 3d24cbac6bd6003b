/* SPDX-License-Identifier: MIT */
/*
 * maps and smaps as our thread reads them: through a buffer, in pieces that end anywhere. The first
 * bytes of the input say how long the pieces are, the rest is the file.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/arena.h"
#include "tracker/audit.h"
#include "tracker/map.h"
#include "tracker/sys.h"

#define PIECES 4
#define ARENA_BYTES (64ul << 20)
#define FAKE_FD 1000

static const uint8_t *text;
static size_t text_bytes, at;
static uint8_t pieces[PIECES];
static unsigned int next_piece;

static int fake_openat(int dir_fd, const char *path, int flags, unsigned int mode)
{
	at = 0;
	next_piece = 0;
	return FAKE_FD;
}

static int fake_close(int fd)
{
	return 0;
}

static ssize_t fake_read(int fd, void *buf, size_t size)
{
	size_t piece = pieces[next_piece++ % PIECES] * 16 + 1;
	size_t left = text_bytes - at;

	piece = piece < size ? piece : size;
	piece = piece < left ? piece : left;
	memcpy(buf, text + at, piece);
	at += piece;
	return (ssize_t)piece;
}

static void note_gain(void *arg, uint64_t start, uint64_t end, uint64_t bytes)
{
	if (!bytes)
		abort();
}

static void read_map(const struct sksm_sys *sys)
{
	struct sksm_vma vma;
	struct sksm_map map;

	if (sksm_map_open(&map, sys, true))
		abort();
	while (sksm_map_next(&map, &vma) == 1)
		if (vma.start >= vma.end || !memchr(vma.name, '\0', sizeof(map.buffer)))
			abort();
	sksm_map_name_at(&map, 0x7f0000000000);
	sksm_map_close(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_audit audit = { .gain = note_gain };
	struct sksm_sys sys = sksm_sys_kernel;
	struct sksm_arena arena;
	static void *reservation;

	if (size < PIECES)
		return 0;
	memcpy(pieces, data, PIECES);
	text = data + PIECES;
	text_bytes = size - PIECES;
	sys.openat = fake_openat;
	sys.close = fake_close;
	sys.read = fake_read;
	if (!reservation)
		reservation = sksm_arena_reserve(&sys, ARENA_BYTES);
	sksm_arena_init(&arena, &sys, reservation, ARENA_BYTES, 0);
	audit.uffd_is_foreign = pieces[0] & 1;
	if (!sksm_audit_run(&audit, &sys, &arena))
		sksm_audit_fini(&audit, &arena);
	if (arena.used_bytes)
		abort();
	read_map(&sys);
	sksm_arena_fini(&arena);
	return 0;
}
