/* SPDX-License-Identifier: MIT */
/*
 * soak: the program that test/bench/soak watches. Four processes, each with calm memory that all
 * of them have, memory that is calm for 20 s and hot for 10 s in turn, hot memory, and regions
 * that come and go; children that are forked, or forked and exec'd, all the time.
 *
 *	soak --seconds N --seed S [--spoil bytes|fds]
 *
 * What every byte must be follows from the seed and from how far each writer has come. All are
 * checked round after round, and once more at the end. Status 3 where one is wrong. --spoil
 * breaks something half-way, to show that it is found.
 */
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../victims/victim.h"

#define WORKERS 4
#define TICK_MS 20
#define CALM_MS 20000u
#define HOT_MS 10000u
#define CHILDREN_MAX 24
#define VERIFY_PER_TICK 300

/*
 * Pages are written sweep by sweep, in an order of the region's own: those that the sweep has
 * passed have the version @now, the others @before. Version 0 is the content that every process
 * has, the others belong to the process alone.
 */
struct region {
	unsigned char *start;
	size_t pages;		/* a power of two */
	size_t cursor;
	uint64_t id, owner;
	uint64_t before, now, versions;
};

/* What all processes of the program count together. */
static struct shared {
	atomic_ulong verified, written, forked, executed, mapped;
	atomic_bool stop;
} *shared;

enum { CALM, CALM2, PHASE, HOT, COMING, GOING, REGIONS };
enum { SHORT, LONG, EXECUTED };

static struct region regions[REGIONS];
static uint64_t seed = 1, random_state, end_ms, seconds = 60;
static const char *spoil = "";
static unsigned int children;

static uint64_t next_random(void)
{
	return mix(random_state++);
}

static uint64_t tag_of(const struct region *region, uint64_t version, size_t page)
{
	uint64_t tag = mix(seed) ^ mix(region->id);

	if (version)
		tag ^= mix(mix(region->owner + 1) + version);
	return mix(tag) + page + 1;
}

static size_t nth_page(const struct region *region, size_t i)
{
	return (i * 0x9e3779b1u + region->id) & (region->pages - 1);
}

static void check_nth(const struct region *region, size_t i)
{
	uint64_t version = i < region->cursor ? region->now : region->before;
	size_t page = nth_page(region, i);

	if (!page_is(region->start + page * PAGE, tag_of(region, version, page)))
		wrong("soak", page);
	atomic_fetch_add(&shared->verified, 1);
}

static void check_all(const struct region *region)
{
	for (size_t i = 0; region->start && i < region->pages; i++)
		check_nth(region, i);
}

/* Go on with the sweep by up to @count pages. False: it is finished. */
static bool sweep(struct region *region, size_t count)
{
	for (; count && region->cursor < region->pages; count--) {
		size_t page = nth_page(region, region->cursor++);

		page_write(region->start + page * PAGE, tag_of(region, region->now, page));
		atomic_fetch_add(&shared->written, 1);
	}
	return region->cursor < region->pages;
}

static void start_sweep(struct region *region, uint64_t version)
{
	sweep(region, region->pages);
	region->before = region->now;
	region->now = version;
	region->cursor = 0;
}

static void go_on(struct region *region, size_t count)
{
	if (!sweep(region, count))
		start_sweep(region, ++region->versions);
}

static void make_region(struct region *region, uint64_t id, uint64_t owner, size_t mib)
{
	size_t bytes = mib << 20;

	*region = (struct region){ .id = id, .owner = owner, .pages = bytes / PAGE };
	region->start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	if (region->start == MAP_FAILED)
		die("mmap");
	sweep(region, region->pages);
	atomic_fetch_add(&shared->mapped, 1);
}

static void drop_region(struct region *region)
{
	check_all(region);
	if (region->start)
		munmap(region->start, region->pages * PAGE);
	region->start = NULL;
}

/* Calm and hot in turn, each process at another time. */
static void step_phase(struct region *region)
{
	uint64_t shift = mix(seed + region->owner) % (CALM_MS + HOT_MS);
	bool hot = (now_ms() + shift) % (CALM_MS + HOT_MS) >= CALM_MS;

	if (hot) {
		go_on(region, 80);
	} else if (region->now) {
		start_sweep(region, 0);
		sweep(region, region->pages);
	}
}

static void rest(uint64_t ms)
{
	uint64_t end = now_ms() + ms;

	if (end > end_ms)
		end = end_ms;
	while (now_ms() < end && !atomic_load(&shared->stop))
		sleep_ms(TICK_MS);
}

/* In a child: rewrite some pages of the memory it got from its parent; the rest is as it was. */
static void work_in_child(struct region *region, size_t count, uint64_t life_ms)
{
	size_t first = next_random() & (region->pages - 1);
	uint64_t tag = mix(next_random());

	if (count > region->pages - first)
		count = region->pages - first;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < region->pages; i++) {
			size_t page = nth_page(region, i);
			unsigned char *at = region->start + page * PAGE;
			bool ours = page >= first && page < first + count;

			if (ours && !round)
				page_write(at, tag + page);
			if (ours && !page_is(at, tag + page))
				wrong("child", page);
			if (!ours)
				check_nth(region, i);
		}
		if (!round)
			rest(life_ms);
	}
}

static void run_executed(void)
{
	struct region region;

	make_region(&region, CALM, 0, 8);
	rest(6000);
	drop_region(&region);
	exit(0);
}

static void execute(void)
{
	char seed_text[24];

	snprintf(seed_text, sizeof(seed_text), "%lu", (unsigned long)seed);
	execl("/proc/self/exe", "soak", "--child", "--seed", seed_text, (char *)NULL);
	die("execl");
}

static void run_child(int kind)
{
	struct region own;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_state = mix(random_state ^ (uint64_t)getpid());
	if (kind == EXECUTED)
		execute();
	if (kind == SHORT) {
		work_in_child(&regions[next_random() % REGIONS], 32, next_random() % 80);
		if (next_random() & 1)
			_exit(0);
		exit(0);
	}
	make_region(&own, COMING, (uint64_t)getpid(), 4);
	work_in_child(&regions[CALM], 512, 20000);
	drop_region(&own);
	for (int i = 0; i < REGIONS; i++)
		if (i != CALM)
			check_all(&regions[i]);
	exit(0);
}

static void start_child(int kind)
{
	pid_t pid;

	if (children >= CHILDREN_MAX)
		return;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		run_child(kind);
	children++;
	atomic_fetch_add(kind == EXECUTED ? &shared->executed : &shared->forked, 1);
}

static void reap(int flags)
{
	pid_t pid;
	int status;

	while (children && (pid = waitpid(-1, &status, flags)) > 0) {
		children--;
		if (!status)
			continue;
		fprintf(stderr, "soak: child %d ended with status %#x\n", (int)pid, status);
		exit(3);
	}
}

static void break_something(uint64_t tick)
{
	if (tick < seconds * 1000 / TICK_MS / 2)
		return;
	if (!strcmp(spoil, "bytes"))
		regions[CALM].start[PAGE * 100 + 7] ^= 1;
	if (!strcmp(spoil, "fds") && tick % 50 == 0 && dup(0) < 0)
		die("dup");
}

static void verify_some(void)
{
	static size_t at;
	static unsigned int which;

	for (int i = 0; i < VERIFY_PER_TICK; i++) {
		if (at >= regions[which].pages) {
			which = (which + 1) % REGIONS;
			at = 0;
		}
		check_nth(&regions[which], at++);
	}
}

static void step(uint64_t tick, uint64_t worker)
{
	step_phase(&regions[PHASE]);
	go_on(&regions[HOT], 40);
	verify_some();
	if (tick % 400 == worker * 50 || tick % 400 == worker * 50 + 200) {
		int which = tick % 400 < 200 ? COMING : GOING;

		drop_region(&regions[which]);
		make_region(&regions[which], (uint64_t)which, worker, 1u << next_random() % 3);
	}
	if (tick % 25 == worker * 6)
		start_child(SHORT);
	if (tick % 250 == worker * 60)
		start_child(EXECUTED);
	/* Not without a pause: what fork shares is not offered while it is shared. */
	if (tick % 1500 == 350 + worker * 375)
		start_child(LONG);
	reap(WNOHANG);
	if (*spoil && worker == 0)
		break_something(tick);
}

static void run_worker(uint64_t worker)
{
	static const size_t mib[REGIONS] = { 32, 32, 8, 8, 2, 4 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_state = mix(seed + worker);
	for (uint64_t i = 0; i < REGIONS; i++)
		make_region(&regions[i], i, worker, mib[i]);
	for (uint64_t tick = 0; now_ms() < end_ms && !atomic_load(&shared->stop); tick++) {
		step(tick, worker);
		sleep_ms(TICK_MS);
	}
	reap(0);
	for (int i = 0; i < REGIONS; i++)
		drop_region(&regions[i]);
	exit(0);
}

static void on_signal(int number)
{
	atomic_store(&shared->stop, true);
}

static void parse_options(int argc, char **argv, bool *ret_child)
{
	static const struct option longs[] = { { "seconds", 1, NULL, 't' },
					       { "seed", 1, NULL, 's' },
					       { "spoil", 1, NULL, 'b' },
					       { "child", 0, NULL, 'c' },
					       { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 't': seconds = strtoull(optarg, NULL, 0); break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'b': spoil = optarg; break;
		case 'c': *ret_child = true; break;
		default: exit(2);
		}
	}
}

static void tell(void)
{
	printf("{\"verified_pages\": %lu, \"written_pages\": %lu, \"forked\": %lu, "
	       "\"executed\": %lu, \"mapped\": %lu}\n", atomic_load(&shared->verified),
	       atomic_load(&shared->written), atomic_load(&shared->forked),
	       atomic_load(&shared->executed), atomic_load(&shared->mapped));
}

int main(int argc, char **argv)
{
	int status, result = 0;
	bool child = false;
	pid_t pid;

	parse_options(argc, argv, &child);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	end_ms = now_ms() + seconds * 1000;
	if (child)
		run_executed();
	printf("workers");
	fflush(stdout);
	for (uint64_t worker = 0; worker < WORKERS; worker++) {
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid)
			run_worker(worker);
		printf(" %d", (int)pid);
		fflush(stdout);
	}
	printf("\n");
	fflush(stdout);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	while ((pid = wait(&status)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid < 0 || !status)
			continue;
		fprintf(stderr, "soak: worker %d ended with status %#x\n", (int)pid, status);
		atomic_store(&shared->stop, true);
		result = 3;
	}
	tell();
	return result;
}
