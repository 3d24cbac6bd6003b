/* SPDX-License-Identifier: MIT */
/* What passes see of memory that comes, goes, moves and is written. */
#include "rig.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>

#define PAGES 2048
#define BYTES (PAGES * PAGE)

static struct rig rig;
static char *data;

static void setup(void)
{
	rig_start(&rig, rig_wp);
	data = unit_map(BYTES);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
}

static void teardown(void)
{
	cr_assert(rig_blocks_consistent(&rig.tracker->blocks));
	rig_stop(&rig);
}

TestSuite(look, .init = setup, .fini = teardown);

static void expect_content(unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		cr_assert(unit_page_holds(data + i * PAGE, i + 1), "page %u", i);
}

Test(look, a_quiet_process_costs_no_faults)
{
	cr_assert_eq(rig.tracker->counters.writes_seen, 0);
	rig_pass(&rig, 20);
	cr_assert_eq(rig.tracker->counters.writes_seen, 0);
	cr_assert_eq(rig.tracker->counters.cow_breaks, 0);
	cr_assert_eq(rig.tracker->counters.resident, BYTES);
	cr_assert_eq(rig.tracker->counters.armed, BYTES);
	expect_content(0, PAGES);
}

Test(look, a_written_page_goes_loose_and_comes_back)
{
	uint64_t before, writes;

	before = sksm_block_digest(rig_block(&rig, data + 700 * PAGE), 700 % SKSM_BLOCK_PAGES);
	data[700 * PAGE] ^= 1;
	writes = rig.tracker->counters.writes_seen;
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_state(&rig, data + 700 * PAGE), SKSM_PAGE_LOOSE);
	cr_assert_eq(rig.tracker->counters.writes_seen, writes + 1);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(UNIQUE)), PAGES - 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	cr_assert_neq(sksm_block_digest(rig_block(&rig, data + 700 * PAGE), 700 % SKSM_BLOCK_PAGES),
		      before, "digested anew");
	cr_assert_eq(rig.tracker->counters.cow_breaks, 0);
}

Test(look, a_write_by_the_kernel_is_a_write)
{
	int fd = open("/dev/zero", O_RDONLY);

	cr_assert_eq(read(fd, data + 9 * PAGE, 2 * PAGE), (ssize_t)(2 * PAGE));
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_state(&rig, data + 9 * PAGE), SKSM_PAGE_LOOSE);
	cr_assert_eq(rig_state(&rig, data + 10 * PAGE), SKSM_PAGE_LOOSE);
	cr_assert_eq(rig.tracker->counters.writes_seen, 2);
}

Test(look, pages_that_were_given_back_are_gone)
{
	cr_assert_eq(madvise(data + 100 * PAGE, 600 * PAGE, MADV_DONTNEED), 0);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data + 100 * PAGE, 600, RIG_BIT(NONE)), 600);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(UNIQUE)), PAGES - 600);
	cr_assert_eq(rig.tracker->counters.writes_seen, 0, "nothing was written");
	cr_assert_eq(rig.tracker->counters.resident, BYTES - 600 * PAGE);
	/* Reading them makes zero pages, which take no memory; or pages of their own. */
	for (unsigned int i = 100; i < 700; i++)
		cr_assert_eq(*(volatile char *)(data + i * PAGE), 0);
	rig_pass(&rig, 3);
	cr_assert_eq(rig_count(&rig, data + 100 * PAGE, 600, RIG_BIT(NONE)),
		     unit_reads_zero_page() ? 600 : 0);
	for (unsigned int i = 100; i < 700; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	expect_content(0, PAGES);
}

Test(look, unmapped_and_mapped_again)
{
	cr_assert_eq(munmap(data, BYTES), 0);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(NONE)), PAGES);
	cr_assert_null(rig_block(&rig, data));
	cr_assert_eq(mmap(data, BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), data);
	for (unsigned int i = 0; i < PAGES; i++)
		unit_fill_page(data + i * PAGE, i + 1);
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	expect_content(0, PAGES);
}

/* Between two passes, so that the map looks as before: only the scan can tell. */
Test(look, mapped_over_between_two_passes)
{
	cr_assert_eq(mmap(data + 512 * PAGE, 1024 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), data + 512 * PAGE);
	madvise(data + 512 * PAGE, 1024 * PAGE, MADV_NOHUGEPAGE);
	for (unsigned int i = 512; i < 1536; i++)
		unit_fill_page(data + i * PAGE, 10000 + i);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data + 512 * PAGE, 1024, RIG_DIGESTED), 0,
		     "nothing is believed of what was there");
	cr_assert(rig_pass_until(&rig, data, PAGES, RIG_BIT(UNIQUE), PAGES));
	/* It is registered again: a write is seen. */
	data[600 * PAGE] ^= 1;
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_state(&rig, data + 600 * PAGE), SKSM_PAGE_LOOSE);
	expect_content(0, 512);
	expect_content(1536, PAGES);
}

Test(look, moved_by_mremap)
{
	char *room = unit_map(BYTES);

	cr_assert_eq(mremap(data, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, room), room);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(NONE)), PAGES);
	cr_assert(rig_pass_until(&rig, room, PAGES, RIG_BIT(UNIQUE), PAGES));
	data = room;
	expect_content(0, PAGES);
	data[PAGE] ^= 1;
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig_state(&rig, data + PAGE), SKSM_PAGE_LOOSE);
}

Test(look, a_hole_in_the_middle)
{
	cr_assert_eq(munmap(data + 600 * PAGE, 10 * PAGE), 0);
	sksm_tracker_pass(rig.tracker);
	/* Below the hole less is left than the threshold, above it more. */
	cr_assert_eq(rig_count(&rig, data, 610, RIG_BIT(NONE)), 610);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(UNIQUE)), PAGES - 610);
	expect_content(0, 600);
	expect_content(610, PAGES);
}

/* A terabyte of nothing is no work and no memory of ours. */
Test(look, sparse_memory)
{
	const size_t bytes = 1ul << 40;
	uint64_t used = rig.tracker->arena.used_bytes;
	char *sparse = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sparse == MAP_FAILED)
		unit_skip("no terabyte of addresses");
	madvise(sparse, bytes, MADV_NOHUGEPAGE);
	for (unsigned int i = 0; i < 16; i++)
		sparse[i * (bytes / 16) + 5] = (char)(i + 1);
	for (unsigned int i = 0; i < 16; i++)
		cr_assert(rig_pass_until(&rig, sparse + i * (bytes / 16), 1, RIG_DIGESTED, 1));
	cr_assert_lt(rig.tracker->arena.used_bytes, used + MIB);
	cr_assert_eq(rig.tracker->counters.tracked, bytes + BYTES);
	cr_assert_eq(munmap(sparse, bytes), 0);
	sksm_tracker_pass(rig.tracker);
	cr_assert_eq(rig.tracker->counters.tracked, BYTES);
}

/* A program that has a userfaultfd of its own on a range keeps it. */
Test(look, the_programs_own_userfaultfd)
{
	char *theirs = unit_map(BYTES);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ioctl(fd, UFFDIO_API, &api), 0);
	memset(theirs, 1, BYTES);
	reg.range.start = (uintptr_t)theirs;
	reg.range.len = BYTES;
	cr_assert_eq(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	rig_pass(&rig, 5);
	cr_assert_eq(rig_count(&rig, theirs, PAGES, RIG_BIT(NONE) | RIG_BIT(LOOSE)), PAGES);
	cr_assert_eq(rig_count(&rig, data, PAGES, RIG_BIT(UNIQUE)), PAGES);
	memset(theirs, 2, BYTES);
	close(fd);
}
