/* SPDX-License-Identifier: MIT */
/*
 * Lines of maps and smaps. The kernel writes them, names in them are the program's: file names
 * with anything but a newline, PR_SET_VMA names.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Its lines are parsed in static functions. */
#include "tools/pages.c"

#include "tracker/audit.h"
#include "tracker/map.h"

static void parse_for_tools(char *text)
{
	struct sksm_pages pages = { .pagemap = -1 };
	struct reading reading = { .pages = &pages };
	char *line;

	while ((line = strsep(&text, "\n")))
		if (take_line(&reading, line))
			break;
	for (size_t i = 0; i < pages.count; i++)
		if (pages.areas[i].start >= pages.areas[i].end ||
		    !memchr(pages.areas[i].name, '\0', sizeof(pages.areas[i].name)))
			abort();
	free(pages.areas);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sksm_audit_vma audited = { 0 };
	char *text = malloc(size + 1), *again = malloc(size + 1), *rest = text, *line;
	struct sksm_vma vma;

	memcpy(text, data, size);
	text[size] = '\0';
	memcpy(again, text, size + 1);
	while ((line = strsep(&rest, "\n"))) {
		if (sksm_map_parse_line(line, &vma) && vma.start >= vma.end)
			abort();
		sksm_audit_parse_line(line, &audited);
	}
	parse_for_tools(again);
	free(again);
	free(text);
	return 0;
}
