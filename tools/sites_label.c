/* SPDX-License-Identifier: MIT */
/* Call sites in words. */
#include "sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

/* So many functions make a label, unless it comes to where the program began. */
#define LABEL_FUNCTIONS 4

static const char *const owner_names[SKSM_OWNERS] = {
	[SKSM_OWNER_UNKNOWN] = "unknown",
	[SKSM_OWNER_SITE] = "site",
	[SKSM_OWNER_HEAP] = "heap",
	[SKSM_OWNER_ARENA] = "malloc arena",
	[SKSM_OWNER_STACK] = "thread stack",
	[SKSM_OWNER_LIBRARY] = "library data",
	[SKSM_OWNER_FILE] = "file",
	[SKSM_OWNER_MEMFD] = "memfd",
};

static const char *const tally_keys[SKSM_TALLIES] = {
	[SKSM_TALLY_TRACKED] = "tracked",
	[SKSM_TALLY_RESIDENT] = "resident",
	[SKSM_TALLY_INVARIANT] = "invariant",
	[SKSM_TALLY_DUPLICATE] = "duplicate",
	[SKSM_TALLY_OFFERED] = "offered",
	[SKSM_TALLY_MERGED] = "merged",
	[SKSM_TALLY_ZERO] = "zero",
	[SKSM_TALLY_SAVED] = "saved",
	[SKSM_TALLY_WRITES] = "writes_seen",
	[SKSM_TALLY_BREAKS] = "cow_breaks",
	[SKSM_TALLY_LIVED_MS] = "cow_breaks_lived_ms",
};

const char *sksm_sites_owner_name(enum sksm_owner owner)
{
	return owner_names[owner];
}

const char *sksm_sites_tally_key(enum sksm_tally tally)
{
	return tally_keys[tally];
}

int sksm_sites_tally_find(const char *name)
{
	int i;

	for (i = 0; i < SKSM_TALLIES; i++)
		if (!strcasecmp(name, tally_keys[i]))
			return i;
	if (!strcasecmp(name, "undone"))
		return SKSM_TALLY_BREAKS;
	return strcasecmp(name, "writes") ? -1 : SKSM_TALLY_WRITES;
}

const struct sksm_symbols *sksm_sites_symbols(struct sksm_site_report *report, size_t number)
{
	struct sksm_place_site *site = &report->sites[number];
	size_t i;

	if (site->symbols)
		return site->symbols;
	site->symbols = calloc(site->frame_count + 1, sizeof(*site->symbols));
	for (i = 0; site->symbols && i < site->frame_count; i++) {
		const struct sksm_place_frame *frame = &site->frames[i];

		if (frame->module < report->module_count)
			sksm_symbol_find(&report->modules[frame->module], frame->address,
					 &site->symbols[i]);
	}
	return site->symbols;
}

const struct sksm_place_row *sksm_sites_find(const struct sksm_site_report *report, size_t process,
					     uint64_t address)
{
	const struct sksm_place_row *rows = report->by_mapping.list;
	size_t low = 0, high = report->by_mapping.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows[middle].process < process ||
		    (rows[middle].process == process && rows[middle].end <= address))
			low = middle + 1;
		else
			high = middle;
	}
	return low < report->by_mapping.count && rows[low].process == process &&
	       rows[low].start <= address ? &rows[low] : NULL;
}

void sksm_sites_print_name(FILE *out, const char *name)
{
	static const char *const brackets[] = { "(anonymous namespace)", "operator()" };

	while (*name) {
		size_t length = 1, i;

		for (i = 0; i < sizeof(brackets) / sizeof(brackets[0]); i++)
			if (!strncmp(name, brackets[i], strlen(brackets[i])))
				length = strlen(brackets[i]);
		if (*name == '(' && length == 1)
			return;
		fwrite(name, 1, length, out);
		name += length;
	}
}

/* A label under way. */
struct label {
	FILE *out;
	struct sksm_site_report *report;
	unsigned int printed;	/* functions */
	uint64_t module;	/* that was named last; UINT64_MAX: none */
};

/* "victim+0x1234"; "+0x1200" in the module that was just named. */
static void print_place(struct label *label, const struct sksm_place_frame *frame)
{
	char place[300] = "?";

	if (frame->module < label->report->module_count)
		sksm_symbol_place(&label->report->modules[frame->module], frame->address, place,
				  sizeof(place));
	if (frame->module == label->module && strrchr(place, '+'))
		fputs(strrchr(place, '+'), label->out);
	else
		fputs(place, label->out);
	label->module = frame->module;
}

/* "fill (victim.c:12)"; the line is that of the first function alone. */
static void print_function(struct label *label, const struct sksm_place_frame *frame,
			   const struct sksm_symbol *symbol)
{
	const char *base;

	fputs(label->printed ? " < " : "", label->out);
	if (!symbol || !symbol->function) {
		print_place(label, frame);
	} else {
		sksm_sites_print_name(label->out, symbol->function);
		base = symbol->file ? strrchr(symbol->file, '/') : NULL;
		base = base ? base + 1 : symbol->file;
		if (!label->printed && base && symbol->line)
			fprintf(label->out, " (%s:%u)", base, symbol->line);
		label->module = UINT64_MAX;
	}
	label->printed++;
}

static bool is_beginning(const char *function)
{
	return function && (!strcmp(function, "main") || !strcmp(function, "start_thread"));
}

static void print_label(FILE *out, struct sksm_site_report *report, size_t number)
{
	const struct sksm_symbols *symbols = sksm_sites_symbols(report, number);
	const struct sksm_place_site *site = &report->sites[number];
	struct label label = { .out = out, .report = report, .module = UINT64_MAX };
	size_t i, j;

	if (site->owner != SKSM_OWNER_SITE || !symbols) {
		fprintf(out, "[%s]", owner_names[site->owner]);
		return;
	}
	for (i = 0; i < site->frame_count; i++) {
		size_t count = symbols[i].count ? symbols[i].count : 1;

		for (j = 0; j < count; j++) {
			if (label.printed == LABEL_FUNCTIONS) {
				fputs(" < ...", out);
				return;
			}
			print_function(&label, &site->frames[i],
				       symbols[i].count ? &symbols[i].list[j] : NULL);
			if (symbols[i].count && is_beginning(symbols[i].list[j].function))
				return;
		}
	}
}

const char *sksm_sites_label(struct sksm_site_report *report, size_t number)
{
	struct sksm_place_site *site = &report->sites[number];
	size_t size;
	FILE *out;

	if (site->label)
		return site->label;
	out = open_memstream(&site->label, &size);
	if (out) {
		print_label(out, report, number);
		fclose(out);
	}
	return site->label ? site->label : "?";
}
