/* SPDX-License-Identifier: MIT */
/* What becomes of armed memory when its mapping forks, moves, goes, or has another owner. */
#include "scan_fixture.h"

TestSuite(scan_life, .init = scan_setup);

/* Trap 5 */
Test(scan_life, fork)
{
	char *p = make_armed();
	pid_t pid = fork();

	if (pid == 0) {
		memset(p, 0x55, PAGES * PAGE);
		_exit(p[0] != 0x55);
	}
	cr_assert_eq(child_status(pid), 0);
	cr_assert_eq(count_written(p, PAGES), 0, "the child's writes are not the parent's");
	for (unsigned int i = 0; i < PAGES; i++)
		cr_assert(unit_page_holds(p + i * PAGE, i + 1));
	/* The parent's own first write after fork is. */
	p[3 * PAGE] ^= 1;
	cr_assert_eq(count_written(p, PAGES), 1);

	pid = fork();
	if (pid == 0) {
		close(pagemap_fd);
		pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		_exit((categories(p) & SKSM_PAGE_IS_WPALLOWED) != 0);
	}
	cr_assert_eq(child_status(pid), 0, "the child has no registration");
	cr_assert(categories(p) & SKSM_PAGE_IS_WPALLOWED);
}

/* Trap 6 */
Test(scan_life, mremap)
{
	char *p = make_armed(), *moved, *room;

	cr_assert(categories(p) & SKSM_PAGE_IS_WPALLOWED);
	room = mmap(NULL, 4 * PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	moved = mremap(p, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	cr_assert_eq(moved, room);
	cr_assert_not(categories(moved) & SKSM_PAGE_IS_WPALLOWED, "a move loses the registration");
	cr_assert_eq(arm(moved, PAGES * PAGE, 0), 0, "what is not registered is skipped");
	watch(moved, PAGES * PAGE);
	cr_assert_eq(arm(moved, PAGES * PAGE, 0), PAGES);
	/* Shrinking and growing where it is keeps it. */
	cr_assert_eq(mremap(moved, PAGES * PAGE, 8 * PAGE, 0), moved);
	cr_assert_eq(munmap(room + PAGES * PAGE, 3 * PAGES * PAGE), 0);
	cr_assert_eq(mremap(moved, 8 * PAGE, 16 * PAGE, 0), moved);
	cr_assert(categories(moved) & SKSM_PAGE_IS_WPALLOWED);
	moved[12 * PAGE] = 1;
	cr_assert(categories(moved + 12 * PAGE) & SKSM_PAGE_IS_WPALLOWED);
	for (unsigned int i = 0; i < 8; i++)
		cr_assert(unit_page_holds(moved + i * PAGE, i + 1));
}

Test(scan_life, map_fixed_over_an_armed_range)
{
	char *p = make_armed();

	cr_assert_eq(mmap(p + 8 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p + 8 * PAGE);
	memset(p + 8 * PAGE, 1, 8 * PAGE);
	cr_assert(categories(p + 7 * PAGE) & SKSM_PAGE_IS_WPALLOWED);
	cr_assert_not(categories(p + 8 * PAGE) & SKSM_PAGE_IS_WPALLOWED);
	cr_assert_eq(arm(p, PAGES * PAGE, 0), 0);
	/* Registering again what is registered in part is harmless. */
	watch(p, PAGES * PAGE);
	cr_assert_eq(arm(p, PAGES * PAGE, 0), 8);
	cr_assert_eq(count_written(p, PAGES), 0);
}

/* Trap 7 */
Test(scan_life, another_userfaultfd_wins)
{
	char *p = unit_map(PAGES * PAGE);
	int other = sksm_scan_open_uffd(&inject_sys);

	cr_assert_geq(other, 0);
	cr_assert_eq(sksm_scan_register(&inject_sys, other, (uintptr_t)p,
					(uintptr_t)p + PAGES * PAGE), 0);
	cr_assert_eq(sksm_scan_register(&inject_sys, uffd, (uintptr_t)p,
					(uintptr_t)p + PAGES * PAGE), -EBUSY);
	cr_assert_eq(sksm_scan_unregister(&inject_sys, other, (uintptr_t)p,
					  (uintptr_t)p + PAGES * PAGE), 0);
	watch(p, PAGES * PAGE);
}

Test(scan_life, what_cannot_be_registered_says_so)
{
	char *p = unit_map(PAGES * PAGE);

	munmap(p, PAGES * PAGE);
	cr_assert_lt(sksm_scan_register(&inject_sys, uffd, (uintptr_t)p,
					(uintptr_t)p + PAGES * PAGE), 0);
	cr_assert_eq(sksm_scan_register(&inject_sys, -1, 0, PAGE), -EBADF);
}

Test(scan_life, unregistering_and_closing_end_the_protection)
{
	char *p = make_armed();

	cr_assert_eq(sksm_scan_unregister(&inject_sys, uffd, (uintptr_t)p,
					  (uintptr_t)p + PAGES * PAGE), 0);
	cr_assert_not(categories(p) & SKSM_PAGE_IS_WPALLOWED);
	p[0] ^= 1;
	watch(p, PAGES * PAGE);
	cr_assert_gt(arm(p, PAGES * PAGE, 0), 0);
	close(uffd);
	cr_assert_not(categories(p) & SKSM_PAGE_IS_WPALLOWED);
	memset(p, 1, PAGES * PAGE);
}
