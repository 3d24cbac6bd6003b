/* SPDX-License-Identifier: MIT */
/* The cheap look against the whole one, on memory that is written, given back and mapped anew. */
#include "rig.h"

#include "tracker/scan.h"

#include <sys/syscall.h>

#define BLOCK_BYTES (512 * PAGE)
#define BLOCKS 6
#define PAGES (BLOCKS * 512)
#define BYTES (PAGES * PAGE)
#define ROUNDS 200

static struct rig rig;
static char *data;
static uint64_t looked;		/* pages that whole looks were asked for */
static unsigned int asked;	/* questions for what is not armed */

static void count_looks(unsigned long request, void *arg)
{
	const struct sksm_pm_scan_arg *scan = arg;

	if (request != SKSM_PAGEMAP_SCAN || scan->flags)
		return;
	if (scan->category_anyof_mask)
		looked += (scan->end - scan->start) / PAGE;
	else
		asked++;
}

/* Whole blocks, so that page tables come and go with them. */
static char *map_blocks(void *at)
{
	char *p = mmap(at, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	return p;
}

static void fill(unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		unit_fill_page(data + i * PAGE, i + 1);
}

static void setup(void)
{
	char *room;

	rig_start(&rig, rig_wp);
	room = mmap(NULL, BYTES + BLOCK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(room, MAP_FAILED);
	data = map_blocks((void *)(((uintptr_t)room + BLOCK_BYTES - 1) & -BLOCK_BYTES));
	fill(0, PAGES);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	inject.before_ioctl = count_looks;
	looked = 0;
	asked = 0;
}

static void teardown(void)
{
	rig_stop(&rig);
}

TestSuite(unarmed, .init = setup, .fini = teardown);

/* 0, or PRESENT (swapped too) with WRITTEN and WPALLOWED, of each page. */
static void spread(uint8_t *ret, const struct sksm_page_region *runs, int n)
{
	for (int i = 0; i < n; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += PAGE)
			ret[(at - (uintptr_t)data) / PAGE] = (uint8_t)(1 |
				(runs[i].categories & SKSM_PAGE_IS_WRITTEN ? 2 : 0) |
				(runs[i].categories & SKSM_PAGE_IS_WPALLOWED ? 4 : 0));
}

static void look(uint8_t *ret, bool whole)
{
	static struct sksm_page_region runs[512];
	uint64_t at = (uintptr_t)data, end = at + BYTES, walked;

	memset(ret, 0, PAGES);
	while (at < end) {
		int n = whole ? sksm_scan_look(&sksm_sys_kernel, rig.tracker->pagemap_fd, at, end, 0,
					       false, runs, 512, &walked) :
			sksm_unarmed_look(rig.tracker, at, end, &walked);

		cr_assert_geq(n, 0);
		cr_assert_gt(walked, at);
		spread(ret, whole ? runs : rig.tracker->runs, n);
		at = walked;
	}
}

static void expect_same(const char *when)
{
	static uint8_t told[PAGES], is[PAGES];

	look(told, false);
	look(is, true);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert_eq(told[i], is[i], "%s: page %u is %u and was told as %u", when, i, is[i],
			     told[i]);
}

Test(unarmed, what_is_armed_is_asked_for_and_not_looked_at)
{
	expect_same("at rest");
	cr_assert_eq(asked, 1);
	cr_assert_eq(looked, BLOCKS, "one page of each block");
	asked = 0;
	looked = 0;
	data[700 * PAGE] ^= 1;
	data[710 * PAGE] ^= 1;
	expect_same("two pages written");
	cr_assert_eq(asked, 1);
	cr_assert_eq(looked, BLOCKS + 11, "those that were named, and what is between");
}

/* What waits to be digested must not be in swap, which only a look at all of it tells. */
Test(unarmed, what_has_something_to_digest_is_looked_at)
{
	rig_block(&rig, data + 2 * BLOCK_BYTES)->undigested = true;
	expect_same("at rest");
	cr_assert_eq(asked, 2);
	cr_assert_eq(looked, 512 + BLOCKS - 1);
}

/* Nothing is named then: there is no page table to find anything in. */
Test(unarmed, blocks_without_a_page_table)
{
	cr_assert_eq(munmap(data + BLOCK_BYTES, 3 * BLOCK_BYTES), 0);
	expect_same("unmapped");
	cr_assert_eq(mmap(data + BLOCK_BYTES, 3 * BLOCK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), data + BLOCK_BYTES);
	expect_same("mapped again");
	data[2 * BLOCK_BYTES] = 1;
	expect_same("and written");
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data + BLOCK_BYTES, 1536, RIG_BIT(UNIQUE)), 0);
	cr_assert_eq(rig_count(&rig, data, 512, RIG_BIT(UNIQUE)), 512);
}

/* The part that is registered is named as a hole, by some kernels; the rest is not. */
Test(unarmed, a_block_that_is_mapped_anew_in_two_steps)
{
	char *block = data + 2 * BLOCK_BYTES;

	cr_assert_eq(munmap(block, 100 * PAGE), 0);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(munmap(block, BLOCK_BYTES), 0);
	cr_assert_eq(mmap(block, BLOCK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), block);
	sksm_tracker_pass(rig.tracker);
	expect_same("mapped anew");
	rig_pass(&rig, 1);
	cr_assert_eq(rig_count(&rig, block, 512, RIG_BIT(NONE)), 512);
}

/* What is copied from a file, given back, and read again is the file's. */
Test(unarmed, pages_of_a_file_that_are_armed)
{
	char *file = data + 2 * BLOCK_BYTES;
	int fd = (int)syscall(SYS_memfd_create, "unarmed", 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(2 * BLOCK_BYTES)), 0);
	cr_assert_eq(mmap(file, 2 * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			  0), file);
	fill(1024, 2048);
	cr_assert(rig_pass_until(&rig, file, 1024, RIG_BIT(UNIQUE), 1024));
	cr_assert_eq(madvise(file, 100 * PAGE, MADV_DONTNEED), 0);
	for (unsigned int i = 0; i < 100; i++)
		cr_assert_eq(*(volatile char *)(file + i * PAGE), 0);
	rig_pass(&rig, 2);
	cr_assert_eq(rig_count(&rig, file, 100, RIG_BIT(NONE)), 100);
	cr_assert_eq(rig_count(&rig, file, 1024, RIG_BIT(UNIQUE)), 924);
	close(fd);
}

static void unmap_between(unsigned long request, void *arg)
{
	const struct sksm_pm_scan_arg *scan = arg;

	count_looks(request, arg);
	if (request == SKSM_PAGEMAP_SCAN && !scan->flags && scan->category_anyof_mask) {
		inject.before_ioctl = count_looks;
		munmap(data, BLOCK_BYTES);
	}
}

Test(unarmed, unmapped_between_the_question_and_the_look)
{
	static uint8_t told[PAGES];

	inject.before_ioctl = unmap_between;
	look(told, false);
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert_eq(told[i], i < 512 ? 0 : 5, "page %u", i);
}

static void change(uint64_t *seed)
{
	unsigned int from = (unsigned int)(unit_random(seed) % PAGES);
	unsigned int most = unit_random(seed) % 4 ? 40 : 1500;
	unsigned int to = from + 1 + (unsigned int)(unit_random(seed) % most);
	char *start = data + from * PAGE;

	if (to > PAGES)
		to = PAGES;
	switch (unit_random(seed) % 5) {
	case 0:
	case 1:
		fill(from, to);
		break;
	case 2:
		for (unsigned int i = from; i < to; i += 1 + unit_random(seed) % 90)
			data[i * PAGE] ^= 1;
		break;
	case 3:
		cr_assert_eq(madvise(start, (to - from) * PAGE, MADV_DONTNEED), 0);
		break;
	default:
		cr_assert_eq(mmap(start, (to - from) * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), start);
		madvise(start, (to - from) * PAGE, MADV_NOHUGEPAGE);
		if (unit_random(seed) % 2)
			fill(from, to);
	}
}

Test(unarmed, whatever_happens)
{
	uint64_t seed = 20261128;
	unsigned int settled = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		char when[32];

		snprintf(when, sizeof(when), "round %u", round);
		for (unsigned int i = 0; i <= round % 3; i++)
			change(&seed);
		/* What was unmapped and mapped is registered by the next pass. */
		asked = 0;
		expect_same(when);
		settled += asked;
		rig_pass(&rig, 1 + round % 4);
		expect_same(when);
	}
	cr_assert_gt(settled, ROUNDS / 4, "most of the memory was armed then");
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
}
