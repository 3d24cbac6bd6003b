/* SPDX-License-Identifier: MIT */
/* Our stacks against those of libunwind: the same frames, whatever the code is like. */
#include "unit.h"

#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "tracker/unwind.h"

#define DEEP 64
/* A call that is not the last thing a function does, so that it has a frame. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")
#define NOINLINE __attribute__((noinline, noclone))

static struct sksm_unwind_cache cache;
static const struct sksm_unwinder unwinder = { _dl_find_object, &cache };

struct stack {
	uint64_t ours[DEEP];
	uint64_t theirs[DEEP];
	unsigned int our_count;
	unsigned int their_count;
	uint64_t hash;
};

static struct stack taken;

/* Both look at the frames above this one. */
static NOINLINE void capture(struct stack *stack)
{
	struct sksm_frame frame = SKSM_FRAME_OF_CALLER();
	unw_context_t context;
	unw_cursor_t cursor;
	unw_word_t ip;

	stack->our_count = sksm_unwind(&unwinder, frame, stack->ours, DEEP, &stack->hash);
	stack->their_count = 0;
	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	while (stack->their_count < DEEP && unw_step(&cursor) > 0) {
		unw_get_reg(&cursor, UNW_REG_IP, &ip);
		if (ip)
			stack->theirs[stack->their_count++] = ip;
	}
}

static void compare(const struct stack *stack, unsigned int least)
{
	unsigned int count = stack->our_count;

	cr_assert_geq(count, least, "only %u frames", count);
	cr_assert_eq(count, stack->their_count, "%u frames, libunwind has %u", count,
		     stack->their_count);
	for (unsigned int i = 0; i < count; i++) {
		/* A call is told by where it returns to, what was interrupted by itself. */
		uint64_t off = stack->theirs[i] - stack->ours[i];

		cr_assert(off <= 1, "frame %u is at %lx, libunwind has %lx", i, stack->ours[i],
			  stack->theirs[i]);
	}
}

static NOINLINE void recurse(unsigned int depth)
{
	if (depth)
		recurse(depth - 1);
	else
		capture(&taken);
	KEEP_FRAME();
}

Test(unwind, plain_calls)
{
	recurse(20);
	compare(&taken, 21);
	/* And again from the cache. */
	recurse(20);
	compare(&taken, 21);
}

static NOINLINE void with_alloca(size_t size)
{
	volatile char *p = __builtin_alloca(size);

	p[0] = 1;
	capture(&taken);
	p[size - 1] = 2;
}

Test(unwind, frames_of_variable_size)
{
	for (size_t size = 1; size < 40000; size = size * 3 + 5) {
		with_alloca(size);
		compare(&taken, 3);
	}
}

static NOINLINE void realigned(size_t size)
{
	volatile char wide[256] __attribute__((aligned(128)));
	volatile char *p = __builtin_alloca(size);

	wide[0] = p[0] = 1;
	capture(&taken);
	p[size - 1] = wide[size % 256];
}

Test(unwind, realigned_frames)
{
	for (size_t size = 1; size < 3000; size = size * 2 + 8) {
		realigned(size);
		compare(&taken, 3);
	}
}

static int compare_ints(const void *a, const void *b)
{
	if (!taken.our_count)
		capture(&taken);
	return *(const int *)a - *(const int *)b;
}

Test(unwind, through_the_c_library)
{
	int list[100];

	for (int i = 0; i < 100; i++)
		list[i] = i * 37 % 100;
	qsort(list, 100, sizeof(list[0]), compare_ints);
	compare(&taken, 5);
}

static void *thread_main(void *arg)
{
	recurse(3);
	return NULL;
}

Test(unwind, a_thread)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);
	compare(&taken, 6);
}

static void on_signal(int number)
{
	recurse(2);
}

static NOINLINE void interrupt(void)
{
	raise(SIGUSR1);
	KEEP_FRAME();
}

Test(unwind, through_a_signal_handler)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	interrupt();
	compare(&taken, 7);
}

Test(unwind, on_an_alternate_stack)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_size = 65536 };

	stack.ss_sp = unit_map(stack.ss_size);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	interrupt();
	compare(&taken, 7);
}

/* ---- at instructions where nobody calls: prologues, epilogues, the C library's assembly ---- */

static struct stack sampled;
static unsigned int samples, equal, longer, odd;
/* Where the last one was that we stopped at and libunwind did not. */
static uint64_t stopped_at;

static void on_tick(int number)
{
	capture(&sampled);
	samples++;
	for (unsigned int i = 0; i < sampled.our_count && i < sampled.their_count; i++)
		if (sampled.theirs[i] - sampled.ours[i] > 1) {
			odd++;
			return;
		}
	/* Where there are no rules that we follow we stop; libunwind guesses. */
	equal += sampled.our_count == sampled.their_count;
	if (sampled.our_count < sampled.their_count && sampled.our_count)
		stopped_at = sampled.ours[sampled.our_count - 1];
	longer += sampled.our_count > sampled.their_count;
}

static NOINLINE void work(unsigned int round)
{
	char text[64], *end;
	int list[64];

	for (int i = 0; i < 64; i++)
		list[i] = (int)(round * 7919u + (unsigned int)i * 104729u) % 1000;
	qsort(list, 64, sizeof(list[0]), compare_ints);
	snprintf(text, sizeof(text), "%g %d %s", round / 3.0, list[5], "text");
	cr_assert(strtod(text, &end) >= 0);
	end = strdup(text);
	memmove(end, end + 1, strlen(end));
	free(end);
	getenv("NOBODY");
	localtime(&(time_t){ round });
}

Test(unwind, at_any_instruction)
{
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { 0 };
	uint64_t end_ms = unit_now_ms() + 10000;
	/* test/wait.lib.sh: emulated */
	unsigned int percent = getenv("SKSM_TEST_SLOW") ? 90 : 98;
	Dl_info stop = { 0 };

	capture(&taken);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned int i = 0; samples < 3000 && unit_now_ms() < end_ms; i++)
		work(i);
	setitimer(ITIMER_REAL, &never, NULL);
	cr_assert_geq(samples, 100);
	cr_assert_eq(odd + longer, 0, "of %u stacks %u differ, %u are longer", samples, odd,
		     longer);
	dladdr((void *)stopped_at, &stop);
	/*
	 * The rule of a PLT entry is an expression, which we do not follow: no hook is called from
	 * there. An emulated CPU takes signals at jumps, so there too: some 6 % under QEMU, 1 % else.
	 */
	cr_assert_geq(equal * 100, samples * percent, "of %u stacks %u are equal, the last other at %s+%zx",
		      samples, equal, stop.dli_fname, stopped_at - (uintptr_t)stop.dli_fbase);
}

Test(unwind, no_more_than_asked_for)
{
	uint64_t pcs[3] = { 0, 0, 7 }, hash;
	struct sksm_frame frame;

	recurse(5);
	frame = (struct sksm_frame){ .pc = taken.ours[0] + 1, .sp = (uintptr_t)&frame };
	cr_assert_eq(sksm_unwind(&unwinder, frame, pcs, 1, &hash), 1);
	cr_assert_eq(pcs[0], taken.ours[0]);
	cr_assert_eq(pcs[2], 7);
}

Test(unwind, equal_stacks_have_one_hash)
{
	volatile int rounds = 2;	/* so that the loop is one */
	uint64_t hash[3];

	for (int i = 0; i < rounds; i++) {
		recurse(5);
		hash[i] = taken.hash;
	}
	recurse(6);
	hash[2] = taken.hash;
	cr_assert_eq(hash[0], hash[1]);
	cr_assert_neq(hash[0], hash[2]);
}

/* A wrong stack or frame pointer: an end, not a crash. */
Test(unwind, garbage_is_not_followed)
{
	char *page = unit_map(2 * PAGE);
	uint64_t pcs[DEEP], hash, seed = 1;
	struct sksm_frame frame;

	munmap(page + PAGE, PAGE);
	recurse(10);
	for (int i = 0; i < 200000; i++) {
		uint64_t *words = (uint64_t *)page;

		frame.pc = taken.ours[unit_random(&seed) % taken.our_count] + 1;
		frame.sp = (uintptr_t)page + PAGE - unit_random(&seed) % 64 * 8;
		frame.bp = i % 3 ? (uintptr_t)page + unit_random(&seed) % (2 * PAGE) :
			   unit_random(&seed);
		for (int j = 0; j < 8; j++)
			words[unit_random(&seed) % 512] =
				taken.ours[unit_random(&seed) % taken.our_count] + 1;
		for (int j = 0; j < 8; j++)
			words[448 + unit_random(&seed) % 64] = (uintptr_t)page +
				unit_random(&seed) % (2 * PAGE) / 8 * 8;
		cr_assert_leq(sksm_unwind(&unwinder, frame, pcs, DEEP, &hash), DEEP);
	}
}
