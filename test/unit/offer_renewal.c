/* SPDX-License-Identifier: MIT */
/* Marks that are taken and given anew, where ksmd's smart scan keeps twins apart. */
#include <fcntl.h>

#include "rig.h"

#define PAGES 2048
#define BYTES (PAGES * PAGE)
/* Runs of so many pages that occur twice, then as many that occur once, over and over. */
#define RUN 64
#define TWINS (PAGES / 2)

static struct rig rig;
static char *data;

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(offer_renewal, .fini = teardown);

static unsigned int content(unsigned int page)
{
	return page / RUN % 2 ? 100000 + page : page / (2 * RUN) * (RUN / 2) + page % RUN / 2 + 1;
}

static void fill(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, content(i));
}

static bool holds(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (!unit_page_holds(data + i * PAGE, content(i)))
			return false;
	return true;
}

/* A ksmd that makes so many scans in each pass, and finds nothing. */
static unsigned int scans, scans_a_pass = 1;
static char settings[] = "/tmp/sksm-unit-XXXXXX", items[] = "/tmp/sksm-unit-XXXXXX";

static ssize_t pread_scans(int fd, void *buf, size_t size, uint64_t offset)
{
	if (fd == rig.tracker->full_scans_fd)
		return snprintf(buf, size, "%u\n", scans += scans_a_pass);
	return inject_sys.pread(fd, buf, size, offset);
}

static int open_ksm(int dir, const char *path, int flags, unsigned int mode)
{
	if (strstr(path, "/mm/ksm/"))
		path = settings;
	else if (strstr(path, "/ksm_stat"))
		path = items;
	return inject_sys.openat(dir, path, flags, mode);
}

static void write_file(char *path, const char *text)
{
	int fd = strstr(path, "XXXXXX") ? mkstemp(path) : open(path, O_WRONLY | O_TRUNC);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Starts with twins, and a ksmd whose two settings, run and smart_scan, read @value. */
static void start_with_scans(const char *value)
{
	static const char *const variables[] = { "SKSM_ENGINE=ksm", NULL };
	static struct sksm_sys sys;	/* used until the teardown */

	write_file(settings, value);
	write_file(items, "ksm_rmap_items 4\nksm_zero_pages 0\n");
	rig_start(&rig, variables);
	if (rig.tracker->probe.error[SKSM_ABLE_KSM])
		unit_skip("the kernel has no KSM");
	data = unit_map(BYTES);
	fill();
	sys = inject_sys;
	sys.pread = pread_scans;
	sys.openat = open_ksm;
	rig.tracker->sys = &sys;
}

static void end_with_scans(void)
{
	unlink(settings);
	unlink(items);
}

static void pass_until_advised(int advice, unsigned int more)
{
	unsigned int before = inject.advised[advice];
	uint64_t end_ms = unit_now_ms() + RIG_DEADLINE_MS;

	while (inject.advised[advice] < before + more && unit_now_ms() < end_ms)
		rig_pass(&rig, 1);
	cr_assert_geq(inject.advised[advice], before + more);
}

/* With smart scan ksmd may never look at two twins in the same scan: the marks are renewed. */
Test(offer_renewal, marks_are_renewed_where_smart_scan_keeps_twins_apart)
{
	unsigned int renewed, first;

	start_with_scans("1");
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(OFFERED), TWINS));
	first = scans;
	pass_until_advised(MADV_UNMERGEABLE, PAGES / RUN / 2);
	cr_assert_geq(scans - first, 11, "not before ksmd had its time");
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(REFUSED)), 0, "they wait on");
	cr_assert_not(unit_is_mergeable(data), "ksmd has to see them without");
	first = scans;
	pass_until_advised(MADV_MERGEABLE, PAGES / RUN / 2);
	cr_assert_geq(scans - first, 2, "and has come by everywhere");
	cr_assert(unit_is_mergeable(data));
	cr_assert_not(unit_is_mergeable(data + RUN * PAGE));
	cr_assert(holds());
	/* Twice; then they wait no longer. */
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(REFUSED), TWINS));
	renewed = inject.advised[MADV_UNMERGEABLE];
	cr_assert_eq(renewed, PAGES / RUN);
	rig_pass(&rig, 50);
	cr_assert_eq(inject.advised[MADV_UNMERGEABLE], renewed);
	cr_assert(unit_is_mergeable(data));
	end_with_scans();
}

/* Nothing else is marked, so ksmd drops the process, and has nobody left to scan. */
Test(offer_renewal, marks_are_renewed_where_there_are_no_more_scans)
{
	start_with_scans("1");
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(OFFERED), TWINS));
	pass_until_advised(MADV_UNMERGEABLE, PAGES / RUN / 2);
	scans_a_pass = 0;
	rig_pass(&rig, 40);
	cr_assert_not(unit_is_mergeable(data), "it has items for pages");
	write_file(items, "ksm_rmap_items 0\nksm_zero_pages 0\n");
	pass_until_advised(MADV_MERGEABLE, PAGES / RUN / 2);
	cr_assert(unit_is_mergeable(data));
	cr_assert(holds());
	end_with_scans();
}

/* More scans than an offer is given, between one pass and the next. */
Test(offer_renewal, marks_are_renewed_where_scans_are_quick)
{
	start_with_scans("1");
	scans_a_pass = 30;
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(OFFERED), TWINS));
	pass_until_advised(MADV_UNMERGEABLE, PAGES / RUN / 2);
	pass_until_advised(MADV_MERGEABLE, PAGES / RUN / 2);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(REFUSED)), 0, "they wait on");
	cr_assert(unit_is_mergeable(data));
	cr_assert(holds());
	end_with_scans();
}

/* A page between them was written, and is armed since: its age goes on. */
Test(offer_renewal, renewing_leaves_armed_pages_alone)
{
	struct sksm_block *block;
	unsigned int page, stamp;

	start_with_scans("1");
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(OFFERED), TWINS));
	scans_a_pass = 0;
	rig.tracker->age_ticks = 200;
	data[5 * PAGE] ^= 1;
	cr_assert(rig_pass_until(&rig, data + 5 * PAGE, 1, RIG_BIT(ARMED), 1));
	block = rig_block(&rig, data + 5 * PAGE);
	page = (uintptr_t)(data + 5 * PAGE) / PAGE % SKSM_BLOCK_PAGES;
	stamp = block->stamp[page];
	scans_a_pass = 1;
	pass_until_advised(MADV_UNMERGEABLE, PAGES / RUN / 2);
	cr_assert_eq(rig_state(&rig, data + 5 * PAGE), SKSM_PAGE_ARMED);
	cr_assert_eq(block->stamp[page], stamp);
	end_with_scans();
}

Test(offer_renewal, without_smart_scan_nothing_is_renewed)
{
	start_with_scans("0");
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(REFUSED), TWINS));
	cr_assert_eq(inject.advised[MADV_UNMERGEABLE], 0);
	end_with_scans();
}
