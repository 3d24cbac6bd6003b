/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "abi.h"
#include "sys.h"

int sksm_map_open(struct sksm_map *map, const struct sksm_sys *sys, bool text)
{
	int fd = sys->openat(AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	map->sys = sys;
	map->fd = fd;
	map->text = text;
	map->next = 0;
	map->have = 0;
	map->used = 0;
	return 0;
}

int sksm_map_open_either(struct sksm_map *map, const struct sksm_sys *sys)
{
	struct sksm_vma vma;
	int error = sksm_map_open(map, sys, false);

	if (error)
		return error;
	map->text = sksm_map_next(map, &vma) == -ENOTTY;
	error = sksm_map_rewind(map);
	if (error)
		sksm_map_close(map);
	return error;
}

void sksm_map_close(struct sksm_map *map)
{
	map->sys->close(map->fd);
	map->fd = -1;
}

int sksm_map_rewind(struct sksm_map *map)
{
	int fd;

	map->next = 0;
	map->have = 0;
	map->used = 0;
	if (!map->text)
		return 0;
	/* lseek is no member of the table for one caller: a fresh file starts at 0 as well. */
	fd = map->sys->openat(AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	map->sys->close(map->fd);
	map->fd = fd;
	return 0;
}

int sksm_map_seek(struct sksm_map *map, uint64_t address)
{
	int error = sksm_map_rewind(map);

	/* A query begins where it likes. */
	if (!error && !map->text)
		map->next = address;
	return error;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum sksm_vma_kind kind_of(const char *name, bool has_file)
{
	/* A shared mapping that somebody named; it has a file, as all shared memory. */
	if (starts_with(name, "[anon_shmem:"))
		return SKSM_VMA_MEMFD;
	if (has_file) {
		/* memfd, MAP_SHARED | MAP_ANONYMOUS and System V segments: all of them shmem. */
		if (starts_with(name, "/memfd:") || starts_with(name, "/dev/zero") ||
		    starts_with(name, "/SYSV"))
			return SKSM_VMA_MEMFD;
		return SKSM_VMA_FILE;
	}
	if (!name[0] || strcmp(name, "[heap]") == 0 || starts_with(name, "[anon:"))
		return SKSM_VMA_ANON;
	if (starts_with(name, "[stack"))
		return SKSM_VMA_STACK;
	return SKSM_VMA_OTHER;
}

static int query_next(struct sksm_map *map, struct sksm_vma *ret)
{
	/* The longest memfd name is 249 bytes; longer paths are files. */
	char *name = map->buffer;
	struct sksm_procmap_query query = {
		.size = sizeof(query),
		.query_flags = SKSM_PROCMAP_COVERING_OR_NEXT,
		.query_addr = map->next,
		.vma_name_size = 300,
		.vma_name_addr = (uintptr_t)name,
	};
	int error;

	name[0] = '\0';
	error = map->sys->ioctl(map->fd, SKSM_PROCMAP_QUERY, &query);
	if (error == -E2BIG || error == -ENAMETOOLONG) {
		query.vma_name_size = 0;
		query.vma_name_addr = 0;
		error = map->sys->ioctl(map->fd, SKSM_PROCMAP_QUERY, &query);
	}
	if (error == -ENOENT)
		return 0;
	if (error < 0)
		return error;
	if (query.vma_end <= map->next)
		return -EIO;
	if (!query.vma_name_size)
		name[0] = '\0';
	map->next = query.vma_end;
	ret->start = query.vma_start;
	ret->end = query.vma_end;
	ret->readable = query.vma_flags & SKSM_PROCMAP_READABLE;
	ret->writable = query.vma_flags & SKSM_PROCMAP_WRITABLE;
	ret->executable = query.vma_flags & SKSM_PROCMAP_EXECUTABLE;
	ret->shared = query.vma_flags & SKSM_PROCMAP_SHARED;
	ret->inode = query.inode;
	ret->offset = query.vma_offset;
	ret->name = name;
	ret->kind = kind_of(name, query.inode || query.dev_major || query.dev_minor);
	return 1;
}

static const char *parse_hex(const char *p, uint64_t *ret)
{
	uint64_t value = 0;

	for (;; p++) {
		if (*p >= '0' && *p <= '9')
			value = value << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	*ret = value;
	return p;
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ')
		p++;
	return p;
}

bool sksm_map_parse_line(const char *line, struct sksm_vma *ret)
{
	uint64_t minor, major, inode = 0;
	const char *p = parse_hex(line, &ret->start);
	const char *perms;

	if (p == line || *p++ != '-')
		return false;
	p = parse_hex(p, &ret->end);
	if (*p++ != ' ' || ret->end <= ret->start || strlen(p) < 5)
		return false;
	perms = p;
	p = parse_hex(skip_blanks(p + 4), &ret->offset);
	p = parse_hex(skip_blanks(p), &major);
	if (*p++ != ':')
		return false;
	p = skip_blanks(parse_hex(p, &minor));
	for (; *p >= '0' && *p <= '9'; p++)
		inode = inode * 10 + (uint64_t)(*p - '0');
	p = skip_blanks(p);
	ret->readable = perms[0] == 'r';
	ret->writable = perms[1] == 'w';
	ret->executable = perms[2] == 'x';
	ret->shared = perms[3] == 's';
	ret->name = p;
	ret->inode = inode;
	ret->kind = kind_of(p, inode != 0 || major != 0 || minor != 0);
	return true;
}

/* Make sure that a whole line starts at buffer[used]; a longer one is cut. False at the end. */
static int fill_line(struct sksm_map *map)
{
	for (;;) {
		ssize_t n;

		if (memchr(map->buffer + map->used, '\n', map->have - map->used))
			return 1;
		memmove(map->buffer, map->buffer + map->used, map->have - map->used);
		map->have -= map->used;
		map->used = 0;
		if (map->have == sizeof(map->buffer)) {
			map->buffer[map->have - 1] = '\n';
			return 1;
		}
		n = map->sys->read(map->fd, map->buffer + map->have,
				   sizeof(map->buffer) - map->have);
		if (n <= 0)
			return (int)n;
		map->have += (unsigned int)n;
	}
}

static int text_next(struct sksm_map *map, struct sksm_vma *ret)
{
	for (;;) {
		int more = fill_line(map);
		char *line = map->buffer + map->used, *newline;

		if (more <= 0)
			return more;
		newline = memchr(line, '\n', map->have - map->used);
		*newline = '\0';
		map->used = (unsigned int)(newline + 1 - map->buffer);
		if (sksm_map_parse_line(line, ret))
			return 1;
	}
}

int sksm_map_next(struct sksm_map *map, struct sksm_vma *ret)
{
	return map->text ? text_next(map, ret) : query_next(map, ret);
}

const char *sksm_map_name_at(struct sksm_map *map, uint64_t address)
{
	struct sksm_vma vma;

	if (sksm_map_seek(map, address) < 0)
		return "";
	while (sksm_map_next(map, &vma) > 0 && vma.start <= address)
		if (address < vma.end)
			return vma.name;
	return "";
}
