/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

#include "tracker/abi.h"

#define ENTRIES 4096u
#define RUN_PAGES 64u

/* A mapping of smaps while its lines are read. */
struct reading {
	struct sksm_pages *pages;
	struct sksm_pages_area area;
	size_t room;
	bool private;
	bool readable;
};

static int add_area(struct reading *reading)
{
	struct sksm_pages *pages = reading->pages;

	if (pages->count == reading->room) {
		size_t room = reading->room ? reading->room * 2 : 256;
		void *list = reallocarray(pages->areas, room, sizeof(*pages->areas));

		if (!list)
			return -ENOMEM;
		pages->areas = list;
		reading->room = room;
	}
	pages->areas[pages->count++] = reading->area;
	return 0;
}

/* "7f0000000000-7f0000021000 rw-p 00000000 00:00 0    [heap]" */
static bool parse_head(struct reading *reading, const char *line)
{
	struct sksm_pages_area area = { 0 };
	char perms[5];
	int name = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %*u %n", &area.start, &area.end,
		   perms, &name) < 3 || !name || area.start >= area.end)
		return false;
	sksm_text_clean(area.name, sizeof(area.name), line + name);
	reading->area = area;
	reading->readable = perms[0] == 'r';
	reading->private = perms[3] == 'p';
	return true;
}

static bool is_sensitive(const char *flags)
{
	static const char *const sensitive[] = { " lo ", " dd ", " wf ", " io ", " pf " };

	for (size_t i = 0; i < sizeof(sensitive) / sizeof(sensitive[0]); i++)
		if (strstr(flags, sensitive[i]))
			return true;
	return false;
}

static int take_line(struct reading *reading, char *line)
{
	uint64_t kib;

	line[strcspn(line, "\n")] = '\0';
	if (line[0] < 'A' || line[0] > 'Z') {
		parse_head(reading, line);
		return 0;
	}
	if (sscanf(line, "Rss: %" SCNu64, &kib) == 1)
		reading->area.rss = kib * 1024;
	if (strncmp(line, "VmFlags:", 8) || reading->area.start >= reading->area.end)
		return 0;
	/* smaps ends the line with a blank, which the last flag needs. */
	reading->area.mergeable = reading->private && reading->readable &&
				  !is_sensitive(line + 8);
	reading->area.marked = strstr(line + 8, " mg ");
	return add_area(reading);
}

static int read_areas(struct sksm_pages *pages)
{
	struct reading reading = { .pages = pages };
	char *line = NULL;
	size_t size = 0;
	FILE *smaps;
	int error = sksm_process_stream(pages->pid, "smaps", &smaps);

	if (error)
		return error;
	while (!error && getline(&line, &size, smaps) > 0)
		error = take_line(&reading, line);
	if (!error && ferror(smaps))
		error = -EIO;
	free(line);
	fclose(smaps);
	return error;
}

int sksm_pages_open(struct sksm_pages *ret, pid_t pid)
{
	struct sksm_pages pages = { .pid = pid, .pagemap = -1 };
	int error = read_areas(&pages);

	if (!error && !pages.count)
		error = -ESRCH;	/* a zombie, a kernel thread */
	if (!error) {
		pages.pagemap = sksm_process_open(pid, "pagemap");
		error = pages.pagemap < 0 ? pages.pagemap : 0;
	}
	if (!error) {
		pages.mem = sksm_process_open(pid, "mem");
		error = pages.mem < 0 ? pages.mem : 0;
	}
	if (error) {
		if (pages.pagemap >= 0)
			close(pages.pagemap);
		free(pages.areas);
		return error;
	}
	*ret = pages;
	return 0;
}

void sksm_pages_close(struct sksm_pages *pages)
{
	free(pages->areas);
	close(pages->pagemap);
	close(pages->mem);
}

const struct sksm_pages_area *sksm_pages_area_of(const struct sksm_pages *pages, uint64_t address)
{
	size_t low = 0, high = pages->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pages->areas[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < pages->count && pages->areas[low].start <= address ? &pages->areas[low] : NULL;
}

/*
 * Not by process_vm_readv, which pins what it reads: the kernel would undo every merge for that
 * (docs/kernel.md).
 */
static ssize_t read_memory(const struct sksm_pages *pages, uint64_t address, void *ret,
			   size_t bytes)
{
	return pread(pages->mem, ret, bytes, (off_t)address);
}

bool sksm_pages_read(const struct sksm_pages *pages, uint64_t address, unsigned char *ret)
{
	return read_memory(pages, address, ret, SKSM_PAGE_BYTES) == (ssize_t)SKSM_PAGE_BYTES;
}

static bool is_wanted(const struct sksm_pages_area *area, uint64_t entry)
{
	return (entry & (SKSM_PM_PRESENT | SKSM_PM_FILE)) == SKSM_PM_PRESENT &&
	       (area->marked || entry & SKSM_PM_EXCLUSIVE);
}

struct walking {
	const struct sksm_pages *pages;
	sksm_pages_fn visit;
	void *arg;
	uint64_t entries[ENTRIES];
	unsigned char bytes[RUN_PAGES * SKSM_PAGE_BYTES];
};

static int visit_run(struct walking *walking, const struct sksm_pages_area *area, uint64_t address,
		     const uint64_t *entries, unsigned int count)
{
	ssize_t n = read_memory(walking->pages, address, walking->bytes, count * SKSM_PAGE_BYTES);

	if (n < 0)
		return errno == EFAULT || errno == ENOMEM || errno == EIO ? 0 : -errno;
	count = (unsigned int)((size_t)n / SKSM_PAGE_BYTES);
	if (!count)
		return 0;
	return walking->visit(walking->arg, area, address, walking->bytes, entries, count);
}

static int walk_area(struct walking *walking, const struct sksm_pages_area *area)
{
	uint64_t address = area->start;

	while (address < area->end) {
		uint64_t left = (area->end - address) / SKSM_PAGE_BYTES;
		size_t want = (left < ENTRIES ? left : ENTRIES) * sizeof(uint64_t);
		ssize_t n = pread(walking->pages->pagemap, walking->entries, want,
				  (off_t)(address / SKSM_PAGE_BYTES * sizeof(uint64_t)));
		unsigned int pages = n > 0 ? (unsigned int)((size_t)n / sizeof(uint64_t)) : 0;

		if (!pages)
			return n < 0 ? -errno : -ESRCH;
		for (unsigned int i = 0; i < pages; i++) {
			unsigned int count = 0;
			int error;

			while (i + count < pages && count < RUN_PAGES &&
			       is_wanted(area, walking->entries[i + count]))
				count++;
			error = count ? visit_run(walking, area, address + i * SKSM_PAGE_BYTES,
						  walking->entries + i, count) : 0;
			if (error)
				return error;
			i += count ? count - 1 : 0;
		}
		address += pages * SKSM_PAGE_BYTES;
	}
	return 0;
}

int sksm_pages_walk(const struct sksm_pages *pages, sksm_pages_fn visit, void *arg)
{
	struct walking *walking = malloc(sizeof(*walking));
	int error = 0;

	if (!walking)
		return -ENOMEM;
	walking->pages = pages;
	walking->visit = visit;
	walking->arg = arg;
	for (size_t i = 0; i < pages->count && !error; i++)
		if (pages->areas[i].mergeable && pages->areas[i].rss)
			error = walk_area(walking, &pages->areas[i]);
	free(walking);
	return error;
}
