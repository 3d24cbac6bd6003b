/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "abi.h"
#include "arena.h"
#include "sys.h"

/* Several mappings a read; the lock is dropped between reads. */
#define BUFFER_BYTES 16384

static uint64_t parse_decimal(const char *p)
{
	uint64_t value = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	return value;
}

static bool parse_field(const char *line, const char *name, uint64_t *ret)
{
	size_t length = strlen(name);

	if (strncmp(line, name, length) != 0)
		return false;
	*ret += parse_decimal(line + length) * 1024;
	return true;
}

/* Is the two-letter @flag in the list behind "VmFlags:"? */
static bool has_flag(const char *flags, const char *flag)
{
	for (const char *p = flags; *p; p++)
		if (p[0] == flag[0] && p[1] == flag[1] && p[-1] == ' ' &&
		    (p[2] == ' ' || !p[2]))
			return true;
	return false;
}

bool sksm_audit_parse_line(const char *line, struct sksm_audit_vma *vma)
{
	struct sksm_vma head;

	if (line[0] < 'A' || line[0] > 'Z') {
		if (sksm_map_parse_line(line, &head)) {
			memset(vma, 0, sizeof(*vma));
			vma->start = head.start;
			vma->end = head.end;
			vma->anonymous = head.kind == SKSM_VMA_ANON;
		}
		return false;
	}
	if (parse_field(line, "Rss:", &vma->rss) || parse_field(line, "Pss:", &vma->pss) ||
	    parse_field(line, "Shared_Clean:", &vma->shared) ||
	    parse_field(line, "Shared_Dirty:", &vma->shared) ||
	    parse_field(line, "AnonHugePages:", &vma->huge))
		return false;
	if (parse_field(line, "KSM:", &vma->ksm)) {
		vma->has_ksm = true;
		return false;
	}
	if (strncmp(line, "VmFlags:", 8) != 0)
		return false;
	line += 8;
	vma->mergeable = has_flag(line, "mg");
	vma->stack = has_flag(line, "nh");
	vma->foreign = has_flag(line, "um") || has_flag(line, "uw") || has_flag(line, "ui");
	vma->sensitive = has_flag(line, "lo") || has_flag(line, "dd") || has_flag(line, "wf") ||
			 has_flag(line, "io") || has_flag(line, "pf");
	return true;
}

/* A kernel without KSM does not print what is merged; then what is shared may be. */
static bool is_merged_unmarked(const struct sksm_audit *audit, const struct sksm_audit_vma *vma)
{
	return audit->unmarked && (vma->has_ksm ? vma->ksm != 0 : vma->anonymous);
}

/*
 * glibc makes thread stacks without a mapping of their own for the guard since 2.42, which is a
 * guard region at the lower end: the page map tells it.
 */
static bool is_stack(const struct sksm_audit *audit, const struct sksm_sys *sys,
		     const struct sksm_audit_vma *vma)
{
	uint64_t entry;

	return vma->stack && vma->anonymous && audit->pagemap_fd > 0 &&
	       sys->pread(audit->pagemap_fd, &entry, sizeof(entry),
			  vma->start / SKSM_PAGE_BYTES * sizeof(entry)) == sizeof(entry) &&
	       (entry & SKSM_PM_GUARD);
}

static bool take_in(struct sksm_audit *audit, const struct sksm_sys *sys,
		    struct sksm_arena *arena, const struct sksm_audit_vma *vma)
{
	uint64_t gain = vma->rss > vma->pss ? vma->rss - vma->pss : 0;
	uint64_t ksm = vma->has_ksm ? vma->ksm : vma->shared;

	if (vma->sensitive &&
	    !sksm_ranges_append(&audit->sensitive, arena, vma->start, vma->end))
		return false;
	if (((audit->uffd_is_foreign && vma->foreign) || is_stack(audit, sys, vma)) &&
	    !sksm_ranges_append(&audit->foreign, arena, vma->start, vma->end))
		return false;
	if (vma->huge && !sksm_ranges_append(&audit->huge, arena, vma->start, vma->end))
		return false;
	if (!vma->mergeable && !is_merged_unmarked(audit, vma))
		return true;
	audit->merged_bytes += ksm;
	/*
	 * Rss - Pss is what sharing saves, merged and fork-shared pages together; where there are
	 * more shared pages than merged ones, the merged ones get their part of it.
	 */
	if (vma->shared > ksm && vma->shared >= SKSM_PAGE_BYTES)
		gain = gain / (vma->shared / SKSM_PAGE_BYTES) * (ksm / SKSM_PAGE_BYTES);
	audit->saved_bytes += gain;
	if (gain && audit->gain)
		audit->gain(audit->gain_arg, vma->start, vma->end, gain);
	return !vma->mergeable ||
	       sksm_ranges_append(&audit->mergeable, arena, vma->start, vma->end);
}

static int read_smaps(struct sksm_audit *audit, const struct sksm_sys *sys,
		      struct sksm_arena *arena, int fd, char *buffer)
{
	struct sksm_audit_vma vma = { 0 };
	size_t have = 0;

	for (;;) {
		ssize_t n = sys->read(fd, buffer + have, BUFFER_BYTES - 1 - have);
		char *line = buffer, *newline;

		if (n <= 0)
			return (int)n;
		have += (size_t)n;
		buffer[have] = '\0';
		while ((newline = memchr(line, '\n', have - (size_t)(line - buffer)))) {
			*newline = '\0';
			if (sksm_audit_parse_line(line, &vma) && !take_in(audit, sys, arena, &vma))
				return -ENOMEM;
			line = newline + 1;
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
		/* No line of smaps is as long as that. */
		if (have == BUFFER_BYTES - 1)
			have = 0;
	}
}

uint64_t sksm_audit_ksm_stat(const struct sksm_sys *sys, const char *name)
{
	char text[512];
	const char *p;

	if (sksm_read_file(sys, AT_FDCWD, "/proc/thread-self/ksm_stat", text, sizeof(text)) < 0 &&
	    sksm_read_file(sys, AT_FDCWD, "/proc/self/ksm_stat", text, sizeof(text)) < 0)
		return 0;
	p = strstr(text, name);
	return p ? parse_decimal(p + strlen(name)) : 0;
}

int sksm_audit_run(struct sksm_audit *audit, const struct sksm_sys *sys,
		   struct sksm_arena *arena)
{
	struct sksm_audit result = {
		.uffd_is_foreign = audit->uffd_is_foreign,
		.pagemap_fd = audit->pagemap_fd,
		.unmarked = audit->unmarked,
		.gain = audit->gain,
		.gain_arg = audit->gain_arg,
	};
	int fd, error = -ENOMEM;
	char *buffer;

	fd = sys->openat(AT_FDCWD, "/proc/thread-self/smaps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	buffer = sksm_arena_alloc(arena, BUFFER_BYTES);
	if (buffer)
		error = read_smaps(&result, sys, arena, fd, buffer);
	sksm_arena_free(arena, buffer, BUFFER_BYTES);
	sys->close(fd);
	if (error) {
		sksm_audit_fini(&result, arena);
		return error;
	}
	result.zero_bytes = sksm_audit_ksm_stat(sys, "ksm_zero_pages ") * SKSM_PAGE_BYTES;
	result.done_ns = sksm_clock_ns(CLOCK_BOOTTIME);
	result.cost_ns = audit->cost_ns;
	sksm_audit_fini(audit, arena);
	*audit = result;
	return 0;
}

void sksm_audit_fini(struct sksm_audit *audit, struct sksm_arena *arena)
{
	sksm_ranges_free(&audit->sensitive, arena);
	sksm_ranges_free(&audit->mergeable, arena);
	sksm_ranges_free(&audit->huge, arena);
	sksm_ranges_free(&audit->foreign, arena);
}
