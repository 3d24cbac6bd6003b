/* SPDX-License-Identifier: MIT */
/* Which pages of a process an estimate looks at, and whether it may. */
#include "estimate_pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

#include "tracker/abi.h"
#include "tracker/map.h"
#include "tracker/region.h"

#define HUGE_REGIONS 512u

void sksm_estimate_close(struct sksm_estimate_target *target)
{
	if (target->open)
		sksm_pages_close(&target->pages);
	target->open = false;
	free(target->huge);
	target->huge = NULL;
	target->huge_count = 0;
}

/*
 * Mappings that the library would watch: the kinds of SKSM_TRACK, in runs of SKSM_THRESHOLD. Others
 * are made not mergeable.
 */
struct choosing {
	struct sksm_pages *pages;
	size_t next;		/* area */
	uint64_t start;		/* of the run of like mappings so far */
	uint64_t end;
	enum sksm_vma_kind kind;
	bool shared;
};

static void end_run(struct choosing *choosing, uint64_t threshold_bytes)
{
	struct sksm_pages *pages = choosing->pages;
	bool wanted = choosing->end - choosing->start >= threshold_bytes;

	for (; choosing->next < pages->count; choosing->next++) {
		struct sksm_pages_area *area = &pages->areas[choosing->next];

		if (area->start >= choosing->end)
			break;
		area->mergeable &= wanted && area->start >= choosing->start;
	}
	choosing->start = choosing->end = 0;
}

static int choose_areas(struct sksm_pages *pages, const struct sksm_options *options)
{
	struct choosing choosing = { .pages = pages };
	struct sksm_vma vma, before = { 0 };
	char *line = NULL;
	size_t size = 0;
	FILE *maps;
	int error = sksm_process_stream(pages->pid, "maps", &maps);

	if (error)
		return error;
	while (getline(&line, &size, maps) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!sksm_map_parse_line(line, &vma))
			continue;
		if (sksm_region_eligible(options, &vma, &before)) {
			if (choosing.end != vma.start || choosing.kind != vma.kind ||
			    choosing.shared != vma.shared) {
				end_run(&choosing, options->threshold_bytes);
				choosing.start = vma.start;
				choosing.kind = vma.kind;
				choosing.shared = vma.shared;
			}
			choosing.end = vma.end;
		}
		before = vma;
	}
	end_run(&choosing, options->threshold_bytes);
	for (; choosing.next < pages->count; choosing.next++)
		pages->areas[choosing.next].mergeable = false;
	free(line);
	fclose(maps);
	return 0;
}

static int add_huge(struct sksm_estimate_target *target, uint64_t start, uint64_t end)
{
	size_t count = target->huge_count;
	void *list = target->huge;

	if (!(count & (count - 1)))
		list = reallocarray(list, count ? 2 * count : 1, sizeof(*target->huge));
	if (!list)
		return -ENOMEM;
	target->huge = list;
	target->huge[target->huge_count++] = (struct sksm_estimate_range){ start, end };
	return 0;
}

/* Which pages are huge. Kernels before 6.7 do not tell: then none is. */
static int find_huge(struct sksm_estimate_target *target)
{
	struct sksm_page_region regions[HUGE_REGIONS];
	size_t i;

	for (i = 0; i < target->pages.count; i++) {
		struct sksm_pm_scan_arg scan = {
			.size = sizeof(scan),
			.start = target->pages.areas[i].start,
			.end = target->pages.areas[i].end,
			.vec = (uintptr_t)regions,
			.vec_len = HUGE_REGIONS,
			.category_mask = SKSM_PAGE_IS_PRESENT | SKSM_PAGE_IS_HUGE,
			.return_mask = SKSM_PAGE_IS_HUGE,
		};

		while (target->pages.areas[i].mergeable && scan.start < scan.end) {
			int found = ioctl(target->pages.pagemap, SKSM_PAGEMAP_SCAN, &scan), j;

			if (found < 0)
				return 0;
			for (j = 0; j < found; j++)
				if (add_huge(target, regions[j].start, regions[j].end))
					return -ENOMEM;
			if (scan.walk_end <= scan.start)
				break;
			scan.start = scan.walk_end;
		}
	}
	return 0;
}

int sksm_estimate_open(struct sksm_estimate_target *target, pid_t pid,
		       const struct sksm_options *options)
{
	int error = sksm_pages_open(&target->pages, pid);

	if (error)
		return error;
	target->open = true;
	error = choose_areas(&target->pages, options);
	return error ? error : find_huge(target);
}

static int end_walk(void *arg, const struct sksm_pages_area *area, uint64_t address,
		    const unsigned char *bytes, const uint64_t *entries, unsigned int count)
{
	(void)arg, (void)area, (void)address, (void)bytes, (void)entries, (void)count;
	return 1;
}

/*
 * Reading memory asks for more than reading maps: try it, with pages that are there. To read
 * others would bring them in.
 */
static int try_reading(const struct sksm_pages *pages)
{
	int error = sksm_pages_walk(pages, end_walk, NULL);

	return error < 0 ? error : 0;
}

bool sksm_estimate_refuses(pid_t pid, char *ret, size_t size)
{
	struct sksm_process process;
	struct sksm_pages pages;
	int error = sksm_process_read(pid, &process);
	char comm[sizeof(process.comm)];

	if (error) {
		snprintf(ret, size, "process %d: there is none", (int)pid);
		return true;
	}
	sksm_text_clean(comm, sizeof(comm), process.comm);
	if (process.dead) {
		snprintf(ret, size, "process %d (%s) has ended and waits for its parent (a zombie)",
			 (int)pid, comm);
		return true;
	}
	if (process.kernel_thread) {
		snprintf(ret, size, "process %d (%s) is a thread of the kernel: it has no memory "
			 "of its own", (int)pid, comm);
		return true;
	}
	error = sksm_pages_open(&pages, pid);
	if (!error) {
		error = try_reading(&pages);
		sksm_pages_close(&pages);
	}
	if (error == -EACCES || error == -EPERM)
		snprintf(ret, size, "process %d (%s) may not be read: run as root, or as its user "
			 "where ptrace is allowed (sksm-report --check)", (int)pid, comm);
	else if (error)
		snprintf(ret, size, "process %d (%s): %s", (int)pid, comm, strerror(-error));
	return error != 0;
}
