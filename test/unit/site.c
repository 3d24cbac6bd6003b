/* SPDX-License-Identifier: MIT */
/* The log of what happened to mappings, and the ranges that are made of it. */
#include "unit.h"

#include <pthread.h>
#include <sys/wait.h>

#include "tracker/site.h"

#define BASE 0x100000000ull
#define PAGES 256

static struct sksm_sites *sites;
static struct sksm_arena arena;
static uint32_t pid;

static void setup(void)
{
	unit_make_arena(&arena, &sksm_sys_kernel, 64 * MIB);
	sites = mmap(NULL, sizeof(*sites), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	cr_assert_neq(sites, MAP_FAILED);
	pid = (uint32_t)getpid();
}

static void teardown(void)
{
	munmap(sites, sizeof(*sites));
	sksm_arena_fini(&arena);
}

TestSuite(site, .init = setup, .fini = teardown);

/* In pages from BASE. */
static void note(unsigned int from, unsigned int to, uint64_t stack)
{
	sksm_site_note(sites, pid, sksm_site_ticket(sites), BASE + from * PAGE, BASE + to * PAGE,
		       stack);
}

static void move(unsigned int from, unsigned int from_end, unsigned int to, unsigned int to_end)
{
	sksm_site_note_move(sites, pid, sksm_site_ticket(sites), BASE + from * PAGE,
			    BASE + from_end * PAGE, BASE + to * PAGE, BASE + to_end * PAGE);
}

static void collect(void)
{
	sksm_site_collect(sites, &arena);
}

/* "0-4:1 8-12:2": pages and stacks. */
static void expect(const char *expected)
{
	const struct sksm_site_range *range;
	unsigned int count;
	char text[512] = "";

	collect();
	range = sksm_site_ranges(sites, &count);
	for (unsigned int i = 0; i < count; i++)
		sprintf(text + strlen(text), "%s%lu-%lu:%lu", i ? " " : "",
			(unsigned long)((range[i].start - BASE) / PAGE),
			(unsigned long)((range[i].end - BASE) / PAGE),
			(unsigned long)range[i].stack);
	cr_assert_str_eq(text, expected);
}

Test(site, mapped_and_unmapped)
{
	note(0, 8, 1);
	note(16, 24, 2);
	expect("0-8:1 16-24:2");
	note(2, 4, 0);
	expect("0-2:1 4-8:1 16-24:2");
	note(0, 24, 0);
	expect("");
}

Test(site, mapped_over)
{
	note(0, 16, 1);
	note(4, 8, 2);
	expect("0-4:1 4-8:2 8-16:1");
	note(0, 16, 3);
	expect("0-16:3");
	/* Shorter at the same place, both in the log still. */
	note(32, 48, 4);
	note(32, 36, 5);
	expect("0-16:3 32-36:5 36-48:4");
}

Test(site, the_same_place_takes_one_entry)
{
	for (int i = 0; i < 100000; i++) {
		note(0, 8, 1);
		note(0, 8, 0);
	}
	note(0, 8, 2);
	cr_assert_eq(sites->lost, 0);
	expect("0-8:2");
}

Test(site, moved)
{
	note(0, 8, 1);
	collect();
	move(0, 8, 32, 40);
	expect("32-40:1");
	/* Grown as it moves, and in place. */
	move(32, 40, 64, 80);
	expect("64-72:1 72-80:1");
	move(64, 80, 64, 96);
	expect("64-72:1 72-80:1 80-96:1");
	/* Shrunk. */
	move(64, 96, 128, 132);
	expect("128-132:1");
	/* Of nobody knows whom. */
	move(200, 208, 128, 136);
	expect("");
}

Test(site, moved_before_it_was_collected)
{
	note(0, 8, 1);
	move(0, 8, 32, 40);
	note(0, 8, 2);
	expect("0-8:2 32-40:1");
}

Test(site, moved_in_pieces)
{
	note(0, 4, 1);
	note(6, 8, 2);
	collect();
	move(0, 8, 100, 108);
	expect("100-104:1 106-108:2");
}

Test(site, pruned_by_what_is_mapped)
{
	struct sksm_ranges mapped = { 0 };

	note(0, 16, 1);
	note(32, 40, 2);
	collect();
	sksm_ranges_append(&mapped, &arena, BASE + 2 * PAGE, BASE + 4 * PAGE);
	sksm_ranges_append(&mapped, &arena, BASE + 8 * PAGE, BASE + 33 * PAGE);
	sksm_site_prune(sites, &mapped);
	expect("2-4:1 8-16:1 32-33:2");
}

Test(site, a_full_log_loses_and_counts)
{
	for (unsigned int i = 0; i < 4 * SKSM_SITE_EVENTS; i++)
		note(i * 2, i * 2 + 1, 1);
	cr_assert_gt(sites->lost, 2 * SKSM_SITE_EVENTS);
	collect();
	/* And there is room again. */
	sites->lost = 0;
	note(1u << 20, (1u << 20) + 1, 7);
	cr_assert_eq(sites->lost, 0);
}

/* Random events against a picture of what is mapped, page by page. */
Test(site, model)
{
	uint64_t owner[PAGES] = { 0 }, seed = 7;

	for (int round = 0; round < 20000; round++) {
		unsigned int from = (unsigned int)(unit_random(&seed) % PAGES);
		unsigned int size = (unsigned int)(unit_random(&seed) % 32) + 1;
		unsigned int to = from + size < PAGES ? from + size : PAGES;
		uint64_t stack = unit_random(&seed) % 3 ? unit_random(&seed) % 5 + 1 : 0;
		const struct sksm_site_range *range;
		uint64_t found[PAGES] = { 0 };
		unsigned int count;

		note(from, to, stack);
		for (unsigned int i = from; i < to; i++)
			owner[i] = stack;
		if (round % 4)
			continue;
		collect();
		range = sksm_site_ranges(sites, &count);
		for (unsigned int i = 0; i < count; i++) {
			cr_assert_lt(range[i].start, range[i].end);
			cr_assert(!i || range[i - 1].end <= range[i].start);
			for (uint64_t at = range[i].start; at < range[i].end; at += PAGE)
				found[(at - BASE) / PAGE] = range[i].stack;
		}
		cr_assert_arr_eq(found, owner, sizeof(owner));
	}
	cr_assert_eq(sites->lost, 0);
}

/* A fork in the middle of a hook leaves an entry that nobody will finish. */
Test(site, half_written_in_the_parent)
{
	for (unsigned int i = 0; i < SKSM_SITE_EVENTS; i++)
		sites->events[i].state = (pid + 1) * 2ull + 1;
	note(0, 8, 1);
	cr_assert_eq(sites->lost, 0);
	expect("0-8:1");
	/* In the same process it is another thread's. */
	for (unsigned int i = 0; i < SKSM_SITE_EVENTS; i++)
		sites->events[i].state = pid * 2ull + 1;
	note(16, 20, 2);
	cr_assert_eq(sites->lost, 1);
}

Test(site, a_child_goes_on_from_what_its_parent_knew)
{
	pid_t child;
	int status;

	note(0, 8, 1);
	collect();
	note(16, 24, 2);
	child = fork();
	if (!child) {
		const struct sksm_site_range *range;
		unsigned int count;

		pid = (uint32_t)getpid();
		note(32, 40, 3);
		collect();
		range = sksm_site_ranges(sites, &count);
		_exit(count != 3 || range[0].stack != 1 || range[1].stack != 2 ||
		      range[2].stack != 3);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	expect("0-8:1 16-24:2");
}

static void *note_many(void *arg)
{
	unsigned int base = (unsigned int)(uintptr_t)arg * 64;

	for (unsigned int i = 0; i < 50000; i++) {
		note(base + i % 16, base + i % 16 + 4, i % 7);
		note(base, base + 32, 0);
	}
	note(base, base + 8, base + 1);
	return NULL;
}

Test(site, many_threads)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, note_many, (void *)i);
	for (int i = 0; i < 2000; i++)
		collect();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect("0-8:1 64-72:65 128-136:129 192-200:193");
}

/* The look may have passed what came before it. */
Test(site, later_than_the_look)
{
	const uint64_t next = sites->sequence + 6;

	note(0, 8, 1);
	sksm_site_note(sites, pid, next, BASE + 4 * PAGE, BASE + 12 * PAGE, 0);
	note(16, 24, 2);
	expect("0-8:1 16-24:2");
	sites->sequence = next;
	note(32, 40, 3);
	expect("0-4:1 16-24:2 32-40:3");
}

static uintptr_t returns_to;

static __attribute__((noinline, noclone)) uint64_t stack_of(const struct sksm_unwinder *unwinder,
							     unsigned int frames)
{
	struct sksm_frame frame = SKSM_FRAME_OF_CALLER();

	returns_to = (uintptr_t)__builtin_return_address(0);
	return sksm_site_stack(sites, unwinder, frame, frames, pid);
}

Test(site, stacks_are_kept_once)
{
	const struct sksm_unwinder unwinder = { _dl_find_object, &sites->cache };
	volatile int rounds = 3;
	uint64_t id[4], offset;
	uintptr_t first;
	struct sksm_site_stack *stack;
	Dl_info info;

	for (int i = 0; i < rounds; i++)
		id[i] = stack_of(&unwinder, 4);
	first = returns_to;
	id[3] = stack_of(&unwinder, 4);
	cr_assert_neq(id[0], 0);
	cr_assert_eq(id[0], id[1]);
	cr_assert_eq(id[0], id[2]);
	cr_assert_neq(id[0], id[3]);
	stack = sksm_site_get(sites, id[0]);
	cr_assert_eq(stack->count, 4);
	/* This function, as the file of this program counts. */
	offset = sksm_site_frame_offset(stack->frame[0]);
	dladdr((void *)stack_of, &info);
	cr_assert_eq(sites->modules[sksm_site_frame_module(stack->frame[0])].base,
		     (uintptr_t)info.dli_fbase);
	cr_assert_eq((uintptr_t)info.dli_fbase + offset, first - 1);
	cr_assert_gt(sites->modules[sksm_site_frame_module(stack->frame[0])].build_id_bytes, 0);
}

/* @depth tells stacks apart: each bit chooses one of two calls. */
static __attribute__((noinline, noclone)) uint64_t stack_by_bits(
	const struct sksm_unwinder *unwinder, unsigned int bits, unsigned int depth)
{
	uint64_t id;

	if (!depth) {
		id = stack_of(unwinder, 24);
	} else if (bits & 1) {
		id = stack_by_bits(unwinder, bits >> 1, depth - 1);
		__asm__ volatile("nop");
	} else {
		id = stack_by_bits(unwinder, bits >> 1, depth - 1);
		__asm__ volatile("nop; nop");
	}
	return id;
}

Test(site, more_stacks_than_there_is_room_for)
{
	const struct sksm_unwinder unwinder = { _dl_find_object, &sites->cache };
	unsigned int none = 0;
	uint64_t first = 0;

	for (unsigned int i = 0; i <= 4096; i++) {
		uint64_t id = stack_by_bits(&unwinder, i % 4096, 12);

		none += !id;
		first = i ? first : id;
		/* What was known before is known still. */
		if (i == 4096)
			cr_assert_eq(id, first);
	}
	cr_assert_gt(none, 0);
	cr_assert_eq(sites->lost, none);
}
