/* SPDX-License-Identifier: MIT */
#include "inject.h"
#include "unit.h"

#include <sys/syscall.h>

#include "tracker/audit.h"

static const char *const smaps[] = {
	"7f0000000000-7f0000200000 rw-p 00000000 00:00 0 ",
	"Size:               2048 kB",
	"KernelPageSize:        4 kB",
	"Rss:                1024 kB",
	"Pss:                 512 kB",
	"Pss_Dirty:           500 kB",
	"Shared_Clean:          4 kB",
	"Shared_Dirty:        600 kB",
	"Private_Dirty:       420 kB",
	"Anonymous:          1024 kB",
	"KSM:                 604 kB",
	"THPeligible:           0",
};

/* The mapping above, and then @flags. */
static struct sksm_audit_vma parse(const char *flags)
{
	struct sksm_audit_vma vma;

	memset(&vma, 0x5a, sizeof(vma));
	for (size_t i = 0; i < sizeof(smaps) / sizeof(smaps[0]); i++)
		cr_assert_not(sksm_audit_parse_line(smaps[i], &vma));
	cr_assert(sksm_audit_parse_line(flags, &vma));
	return vma;
}

Test(audit, lines_of_a_mapping)
{
	struct sksm_audit_vma vma = parse("VmFlags: rd wr mr mw me ac sd ");

	cr_assert_eq(vma.start, 0x7f0000000000);
	cr_assert_eq(vma.end, 0x7f0000200000);
	cr_assert_eq(vma.rss, 1024 << 10);
	cr_assert_eq(vma.pss, 512 << 10, "Pss_Dirty is something else");
	cr_assert_eq(vma.shared, 604 << 10);
	cr_assert_eq(vma.ksm, 604 << 10);
	cr_assert(vma.has_ksm);
	cr_assert_not(vma.mergeable);
	cr_assert_not(vma.sensitive);
}

Test(audit, flags)
{
	static const struct { const char *flags; bool mergeable; bool sensitive; } lines[] = {
		{ "VmFlags:", false, false },
		{ "VmFlags: ", false, false },
		{ "VmFlags: mg", true, false },
		{ "VmFlags: rd wr mg", true, false },
		{ "VmFlags: rd wr mg ", true, false },
		{ "VmFlags: rd lo ", false, true },
		{ "VmFlags: lo", false, true },
		{ "VmFlags: rd dd sd", false, true },
		{ "VmFlags: wf rd", false, true },
		{ "VmFlags: io", false, true },
		{ "VmFlags: pf", false, true },
		{ "VmFlags: rd mg dd", true, true },
		/* Two letters of neighbours are no flag, nor is the start of a longer word. */
		{ "VmFlags: rl od xmg mgx lox xlo", false, false },
		{ "VmFlags: sd sf ac dc um uw", false, false },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct sksm_audit_vma vma = parse(lines[i].flags);

		cr_assert_eq(vma.mergeable, lines[i].mergeable, "%s", lines[i].flags);
		cr_assert_eq(vma.sensitive, lines[i].sensitive, "%s", lines[i].flags);
	}
}

Test(audit, a_new_mapping_starts_anew)
{
	struct sksm_audit_vma vma = parse("VmFlags: mg lo");

	cr_assert_not(sksm_audit_parse_line("1000-3000 r--p 00000000 00:00 0", &vma));
	cr_assert_eq(vma.start, 0x1000);
	cr_assert_eq(vma.rss + vma.pss + vma.shared + vma.ksm, 0);
	cr_assert_not(vma.has_ksm);
	cr_assert(sksm_audit_parse_line("VmFlags: rd", &vma));
	cr_assert_not(vma.mergeable);
	cr_assert_not(vma.sensitive);
}

Test(audit, odd_lines_are_not_taken_in)
{
	struct sksm_audit_vma vma = parse("VmFlags: rd"), before = vma;

	cr_assert_not(sksm_audit_parse_line("", &vma));
	cr_assert_not(sksm_audit_parse_line("no line of smaps", &vma));
	cr_assert_not(sksm_audit_parse_line("Zzz: 4 kB", &vma));
	cr_assert_not(sksm_audit_parse_line("Rss", &vma));
	cr_assert_not(sksm_audit_parse_line("Rss:", &vma));
	cr_assert_eq(memcmp(&vma, &before, sizeof(vma)), 0);
}

static bool covers(const struct sksm_ranges *ranges, const char *start, size_t bytes)
{
	for (unsigned int i = 0; i < ranges->count; i++)
		if (ranges->list[i].start <= (uintptr_t)start &&
		    ranges->list[i].end >= (uintptr_t)start + bytes)
			return true;
	return false;
}

static bool audit_is_sensitive(const char *start, size_t bytes)
{
	struct sksm_audit audit = { 0 };
	struct sksm_arena arena;
	bool result;

	inject_reset();
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
	cr_assert_eq(sksm_audit_run(&audit, &inject_sys, &arena), 0);
	cr_assert_gt(audit.done_ns, 0);
	result = covers(&audit.sensitive, start, bytes);
	cr_assert_eq(result, sksm_ranges_overlap(&audit.sensitive, (uintptr_t)start,
						 (uintptr_t)start + bytes));
	sksm_audit_fini(&audit, &arena);
	sksm_arena_fini(&arena);
	return result;
}

Test(audit, this_process)
{
	char *p = unit_map(4 * MIB);

	cr_assert_not(audit_is_sensitive(p, 4 * MIB));
	cr_assert_eq(madvise(p + MIB, MIB, MADV_DONTDUMP), 0);
	cr_assert(audit_is_sensitive(p + MIB, MIB));
	cr_assert_not(audit_is_sensitive(p, MIB));
	cr_assert_not(audit_is_sensitive(p + 2 * MIB, MIB));
	cr_assert_eq(madvise(p + MIB, MIB, MADV_DODUMP), 0);
	cr_assert_eq(madvise(p + 2 * MIB, MIB, MADV_WIPEONFORK), 0);
	cr_assert(audit_is_sensitive(p + 2 * MIB, MIB));
	cr_assert_not(audit_is_sensitive(p + MIB, MIB));
	/* By number: sanitizers make mlock() do nothing. */
	if (syscall(SYS_mlock, p + 3 * MIB, 64 << 10) == 0)
		cr_assert(audit_is_sensitive(p + 3 * MIB, 64 << 10));
}

Test(audit, mergeable_marks)
{
	struct sksm_audit audit = { 0 };
	struct sksm_arena arena;
	char *p = unit_map(4 * MIB);

	if (madvise(p + MIB, MIB, MADV_MERGEABLE))
		unit_skip("the kernel has no KSM");
	inject_reset();
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
	cr_assert_eq(sksm_audit_run(&audit, &inject_sys, &arena), 0);
	cr_assert(covers(&audit.mergeable, p + MIB, MIB));
	cr_assert_not(sksm_ranges_overlap(&audit.mergeable, (uintptr_t)p, (uintptr_t)p + MIB));
	/* Twice: the first result is freed. */
	cr_assert_eq(madvise(p + MIB, MIB, MADV_UNMERGEABLE), 0);
	cr_assert_eq(sksm_audit_run(&audit, &inject_sys, &arena), 0);
	cr_assert_not(covers(&audit.mergeable, p + MIB, MIB));
	sksm_audit_fini(&audit, &arena);
	sksm_arena_fini(&arena);
}

static void expect_unchanged(enum inject_op op, unsigned int nth, int error, int want)
{
	struct sksm_audit audit = { .merged_bytes = 1, .done_ns = 2, .cost_ns = 3 }, before;
	unsigned int fds = unit_count_fds();
	struct sksm_arena arena;

	inject_reset();
	unit_make_arena(&arena, &inject_sys, 64 * MIB);
	before = audit;
	inject_arm(op, nth, error, true);
	cr_assert_eq(sksm_audit_run(&audit, &inject_sys, &arena), want);
	cr_assert_gt(inject.failed, 0);
	cr_assert_eq(memcmp(&audit, &before, sizeof(audit)), 0);
	cr_assert_eq(unit_count_fds(), fds);
	inject_reset();
	sksm_arena_fini(&arena);
}

Test(audit, a_failure_leaves_the_last_one)
{
	expect_unchanged(INJECT_OPENAT, 1, EMFILE, -EMFILE);
	expect_unchanged(INJECT_MPROTECT, 1, ENOMEM, -ENOMEM);
	expect_unchanged(INJECT_READ, 1, ESRCH, -ESRCH);
	expect_unchanged(INJECT_READ, 2, EIO, -EIO);
}
