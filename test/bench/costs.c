/* SPDX-License-Identifier: MIT */
/*
 * costs: what the kernel operations cost that the policy rests on (docs/policy.md).
 *
 *	costs [--json] [--mib N] [--repetitions N]
 *
 * Each row is the median over the repetitions, in ns per 4 KiB page unless the row says otherwise.
 * The last rows switch ksmd on: as root, one at a time on a machine, and they put the settings
 * back. Whoever holds the lock already sets SKSM_TEST_LOCKED, as test/lib.sh does.
 */
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "costs_ops.h"
#include "costs_ksm.h"

#define REPETITIONS_MAX 99

static const struct row {
	const char *key;
	const char *what;
	const char *brief;
	double (*measure)(void);
	bool root;
} rows[] = {
	{ "scan_unarmed", "PAGEMAP_SCAN for what is not armed, armed", "1-3", scan_unarmed, false },
	{ "scan", "PAGEMAP_SCAN, armed and unwritten", "1-3", scan, false },
	{ "scan_file", "the same, asked for PAGE_IS_FILE", "45", scan_file, false },
	{ "arm", "arming", "34-40", arm, false },
	{ "write_armed", "first write to an armed page", "880-1050", write_armed, false },
	{ "write_unarmed", "write to an unarmed page", "16", write_unarmed, false },
	{ "read", "reading a page, cold", "190", read_cold, false },
	{ "digest", "digest of a page, cold", "-", digest_direct, false },
	{ "digest_16", "copy and digest, 16 pages a call, cold", "-", digest_16, false },
	{ "digest_1", "copy and digest, one page a call, cold", "-", digest_1, false },
	{ "pagemap", "pagemap entry", "27-40", entries, false },
	{ "map_query", "PROCMAP_QUERY, per mapping", "500", map_query, false },
	{ "mark", "MADV_MERGEABLE, per call of 16 pages", "3000", mark_call, false },
	{ "unmark", "MADV_UNMERGEABLE, per call of 16 pages", "5000", unmark_call, false },
	{ "wake", "one sleep and wake-up, CPU time", "-", wake, false },
	{ "read_entry", "pread of 8 bytes in tmpfs, per call", "-", read_entry, false },
	{ "read_bucket", "pread of 128 bytes in tmpfs, per call", "-", read_bucket, false },
	{ "write_entry", "pwrite of 8 bytes in tmpfs, per call", "-", write_entry, false },
	{ "merge", "ksmd per merged page, its scans included", "10000", ksm_merge, true },
	{ "ksmd_scan", "ksmd per scan of an unmerged page", "-", ksm_scan, true },
	{ "cow", "write to a merged page", "5000", ksm_cow, true },
	{ "unmerge", "MADV_UNMERGEABLE, per merged page", "-", ksm_unmerge, true },
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Values in order in @ret, the median in the middle. False where the operation fails. */
static bool run_row(const struct row *row, int repetitions, double ret[REPETITIONS_MAX])
{
	for (int i = 0; i < repetitions; i++) {
		ret[i] = row->measure();
		if (isnan(ret[i]))
			return false;
	}
	qsort(ret, (size_t)repetitions, sizeof(*ret), compare);
	return true;
}

static void show(struct json_object *list, const struct row *row, const char *missing,
		 const double *values, int repetitions)
{
	struct json_object *object;

	if (!list) {
		if (missing)
			printf("%-42s %9s %9s  left out: %s\n", row->what, "-", row->brief,
			       missing);
		else
			printf("%-42s %9.1f %9s  %.1f to %.1f\n", row->what,
			       values[repetitions / 2], row->brief, values[0],
			       values[repetitions - 1]);
		fflush(stdout);
		return;
	}
	object = json_object_new_object();
	json_object_object_add(object, "key", json_object_new_string(row->key));
	json_object_object_add(object, "what", json_object_new_string(row->what));
	json_object_object_add(object, "brief_ns", json_object_new_string(row->brief));
	json_object_object_add(object, "left_out",
			       missing ? json_object_new_string(missing) : NULL);
	if (!missing) {
		json_object_object_add(object, "ns",
				       json_object_new_double(values[repetitions / 2]));
		json_object_object_add(object, "least", json_object_new_double(values[0]));
		json_object_object_add(object, "most",
				       json_object_new_double(values[repetitions - 1]));
	}
	json_object_array_add(list, object);
}

static void prepare(size_t mib)
{
	uint8_t key[SKSM_KEY_BYTES] = { 1 };

	bytes = mib << 20;
	pages = bytes / PAGE;
	memory = mmap(NULL, bytes + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		err(1, "%zu MiB", mib);
	memory = (char *)(((uintptr_t)memory + BLOCK - 1) & -BLOCK);
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	fill(memory, pages);
	uffd = sksm_scan_open_uffd(sys);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (uffd < 0 || pagemap < 0 ||
	    sksm_scan_register(sys, uffd, (uintptr_t)memory, (uintptr_t)memory + bytes))
		errx(1, "this kernel tracks no writes (Linux 6.7 is needed)");
	file = memfd_create("costs", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, 4 << 20) || fallocate(file, 0, 0, 4 << 20))
		err(1, "memfd");
	sksm_digester_init(&digester, key);
}

static int run_all(struct json_object *list, int repetitions)
{
	double values[REPETITIONS_MAX];
	const char *obstacle = ksm_obstacle();
	int failed = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *missing = rows[i].root ? obstacle : NULL;

		if (!missing && !run_row(&rows[i], repetitions, values)) {
			missing = "it fails here";
			failed = 1;
		}
		show(list, &rows[i], missing, values, repetitions);
	}
	return failed;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "json", 0, NULL, 'j' }, { "mib", 1, NULL, 'm' },
					       { "repetitions", 1, NULL, 'r' }, { 0 } };
	struct json_object *list = NULL;
	int c, mib = 64, repetitions = 7, failed;
	struct utsname host = { 0 };

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j': list = json_object_new_array(); break;
		case 'm': mib = atoi(optarg) & ~1; break;
		case 'r': repetitions = atoi(optarg); break;
		default: return 2;
		}
	}
	if (mib < 2 || mib > 65536 || repetitions < 1 || repetitions > REPETITIONS_MAX)
		errx(2, "--mib 2 to 65536, --repetitions 1 to %d", REPETITIONS_MAX);
	uname(&host);
	prepare((size_t)mib);
	if (!list)
		printf("Linux %s %s, %d MiB, median of %d, ns a page\n%-42s %9s %9s  range\n",
		       host.release, host.machine, mib, repetitions, "", "measured", "brief");
	failed = run_all(list, repetitions);
	if (list)
		puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
	return failed;
}
