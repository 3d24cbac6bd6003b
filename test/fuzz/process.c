/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/stat, status, smaps and maps as the tools read them, of a process of another user. The
 * kernel writes them; names in them are the program's. One input is all of these files at once.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/text.h"

static const uint8_t *input;
static size_t input_bytes;

static ssize_t read_input(int dir_fd, const char *path, char *ret, size_t size)
{
	size_t length = input_bytes < size ? input_bytes : size - 1;

	memcpy(ret, input, length);
	ret[length] = '\0';
	return (ssize_t)length;
}

static int open_input(const char *path, int flags)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, input, input_bytes, 0) != (ssize_t)input_bytes)
		abort();
	return fd;
}

/* What is parsed is parsed in static functions, and all of it comes through these two. */
#define sksm_text_read read_input
#define open open_input
#include "tools/nested.c"
#include "tools/process.c"
#include "tools/smaps.c"
#include "tools/pages.c"

static void read_mappings(void)
{
	struct sksm_pages pages = { .pagemap = -1 };
	struct sksm_smaps_range *ranges;
	size_t count;

	if (!sksm_smaps_mergeable(1, true, &ranges, &count)) {
		for (size_t i = 1; i < count; i++)
			if (ranges[i - 1].end == ranges[i].start)
				abort();
		free(ranges);
	}
	read_areas(&pages);
	for (size_t i = 0; i < pages.count; i++)
		if (pages.areas[i].start >= pages.areas[i].end)
			abort();
	free(pages.areas);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_record record = { .pid = 1, .start_ns = 1 };
	const struct sksm_place_record found = { .record = &record, .domain = "d",
						 .name = "1-1.rec" };
	struct sksm_process process;

	input = data;
	input_bytes = size;
	if (!sksm_process_read(1, &process) &&
	    !memchr(process.comm, '\0', sizeof(process.comm)))
		abort();
	sksm_process_has_uid(1, 65534);
	inner_pid(1);
	maps_record(1, &found, true);
	read_mappings();
	return 0;
}
