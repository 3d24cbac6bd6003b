/* SPDX-License-Identifier: MIT */
/*
 * What the C workloads share: their arguments, the lines for test/bench/run, and one process that
 * measures and does nothing else while others work. Workers count into shared memory, which no
 * merger touches, and sleep on a futex when they have nothing to do.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <getopt.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../victims/victim.h"

#define WINDOW_NS 500000000ull
#define SUB_BITS 5		/* latencies are counted in steps of 3 % */
#define BUCKETS (36 << SUB_BITS)

enum { IDLE, CALM, HOT, END };

struct shared {
	_Atomic uint32_t command;
	_Atomic uint32_t ready;
	_Atomic uint64_t ops;
	_Atomic uint32_t latency[BUCKETS];
};

/* What workers are told for how long; the phases follow one another again and again. */
struct phase {
	const char *name;	/* NULL: not announced */
	uint32_t command;
	double seconds;
};

static struct shared *shared;
static double seconds = 10, scale = 1;

__attribute__((format(printf, 1, 2))) _Noreturn static inline void usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(2);
}

static inline double parse_positive(const char *name, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0 && value < 1e6))
		usage("--%s: not a positive number: %s", name, text);
	return value;
}

/* Leaves what is no option from argv[optind] on. */
static inline void parse_arguments(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seconds", 1, NULL, 't' }, { "scale", 1, NULL, 's' }, { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 't')
			seconds = parse_positive("seconds", optarg);
		else if (c == 's')
			scale = parse_positive("scale", optarg);
		else
			exit(2);
	}
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline void sleep_until_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static inline unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < 1 << SUB_BITS)
		return (unsigned int)ns;
	shift = 63u - (unsigned int)__builtin_clzll(ns) - SUB_BITS;
	shift = shift > 34 ? 34 : shift;
	ns >>= shift;
	return (shift << SUB_BITS) + (unsigned int)(ns < 2 << SUB_BITS ? ns : (2 << SUB_BITS) - 1);
}

static inline double bucket_ns(unsigned int bucket)
{
	unsigned int shift = bucket >> SUB_BITS;

	if (shift < 2)
		return bucket;
	shift--;
	return ((double)(bucket - (shift << SUB_BITS)) + 0.5) * (double)(1ull << shift);
}

/* --- workers --- */

static inline void end_with_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static inline uint32_t told(void)
{
	return atomic_load_explicit(&shared->command, memory_order_acquire);
}

static inline void sleep_while(uint32_t command)
{
	while (told() == command)
		syscall(SYS_futex, &shared->command, FUTEX_WAIT, command, NULL, NULL, 0);
}

/* Of the count operations the first one's latency stands for all. */
static inline void operate(void (*operation)(void), unsigned int count)
{
	uint64_t begin = now_ns();

	operation();
	atomic_fetch_add_explicit(&shared->latency[bucket_of(now_ns() - begin)], 1,
				  memory_order_relaxed);
	for (unsigned int i = 1; i < count; i++)
		operation();
	atomic_fetch_add_explicit(&shared->ops, count, memory_order_relaxed);
}

static inline uint64_t pick(uint64_t below)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint64_t)(((unsigned __int128)state * below) >> 64);
}

_Noreturn static inline void wrong_byte(const char *where, size_t number)
{
	fprintf(stderr, "pid %d: wrong byte in %s %zu\n", (int)getpid(), where, number);
	exit(1);
}

/* --- the process that measures --- */

static inline void share(int fd)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (shared == MAP_FAILED)
		die("shared memory");
}

static inline void tell(uint32_t command)
{
	atomic_store(&shared->command, command);
	syscall(SYS_futex, &shared->command, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static inline void no_worker_ended(void)
{
	if (waitpid(-1, NULL, WNOHANG) > 0)
		usage("a worker ended early");
}

static inline void wait_ready(unsigned int workers)
{
	while (atomic_load(&shared->ready) < workers) {
		no_worker_ended();
		sleep_ms(10);
	}
	printf("{\"event\":\"ready\"}\n");
	fflush(stdout);
}

static inline void print_window(double length)
{
	uint64_t ops = atomic_exchange(&shared->ops, 0), total = 0, seen = 0;
	static uint32_t count[BUCKETS];
	unsigned int bucket = 0;

	for (unsigned int i = 0; i < BUCKETS; i++)
		total += count[i] = atomic_exchange(&shared->latency[i], 0);
	printf("{\"event\":\"window\",\"seconds\":%.4f,\"ops\":%llu,\"p99_us\":", length,
	       (unsigned long long)ops);
	while (bucket < BUCKETS - 1 && (seen += count[bucket]) * 100 < total * 99)
		bucket++;
	if (total)
		printf("%.3f}\n", bucket_ns(bucket) / 1000);
	else
		printf("null}\n");
	fflush(stdout);
}

static inline void run_phase(const struct phase *phase, uint64_t end)
{
	uint64_t begin = now_ns(), next;

	if (phase->name)
		printf("{\"event\":\"phase\",\"name\":\"%s\"}\n", phase->name);
	fflush(stdout);
	tell(phase->command);
	while (begin < end) {
		next = begin + WINDOW_NS;
		/* No splinter of a window at the end. */
		sleep_until_ns(next + WINDOW_NS / 2 > end ? end : next);
		no_worker_ended();
		next = now_ns();
		print_window((double)(next - begin) / 1e9);
		begin = next;
	}
}

static inline void run_phases(const struct phase *phases, unsigned int count)
{
	uint64_t phase_end = now_ns(), end = phase_end + (uint64_t)(seconds * 1e9);

	for (unsigned int i = 0; phase_end < end; i++) {
		phase_end += (uint64_t)(phases[i % count].seconds * 1e9);
		/* Nor of a phase. */
		if (phase_end > end || end - phase_end < WINDOW_NS / 2)
			phase_end = end;
		run_phase(&phases[i % count], phase_end);
	}
	tell(IDLE);
	printf("{\"event\":\"done\"}\n");
	fflush(stdout);
}

/* The workers verify what they hold and end: the exit status. */
static inline int end_workers(void)
{
	char byte;
	int status, result = 0;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	tell(END);
	while (wait(&status) > 0)
		result |= !WIFEXITED(status) || WEXITSTATUS(status);
	return result;
}

#endif
