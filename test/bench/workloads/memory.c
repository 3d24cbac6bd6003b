/* SPDX-License-Identifier: MIT */
/*
 * memory MODE [--seconds N] [--scale F]: plain anonymous memory under one access pattern.
 *
 *	unique		random lines are read; no two pages are equal
 *	random		random words are written everywhere; no two pages are equal
 *	idle		four processes hold the same and sleep
 *	phases		two processes hold the same; it is read for 20 s, then both rewrite all of
 *			it once a second for 10 s and hold the same again
 *	huge-calm	as unique, in huge pages
 *	huge-hot	as random, in huge pages
 */
#include "workload.h"

#define HUGE_PAGE (2ul << 20)
#define LINE 64ul
#define SAMPLE_EVERY 64

struct mode {
	const char *name;
	unsigned int processes;
	size_t mib;		/* of each */
	bool huge;
	bool twins;		/* the processes hold the same */
	uint32_t command;
};

static const struct mode modes[] = {
	{ "unique", 1, 512, false, false, CALM },
	{ "random", 1, 512, false, false, HOT },
	{ "idle", 4, 256, false, true, IDLE },
	{ "phases", 2, 256, false, true, CALM },
	{ "huge-calm", 1, 512, true, false, CALM },
	{ "huge-hot", 1, 512, true, false, HOT },
};

static const struct mode *mode;
static unsigned int worker;
static unsigned char *memory;
static size_t pages;
static uint32_t *rounds;	/* how often each page was written */
static volatile uint64_t checksum;

/* Of the mode phases: each hot phase visits every page hot_rounds times, whatever the pace was. */
static struct phase phases[2];
static uint64_t hot_rounds, visits, hot_begin_ns;

static uint64_t tag_of(size_t page)
{
	return mix(mode->twins ? 1 : worker + 2) + page + 1;
}

/* What the nth write to a page does to it depends on nothing else. */
static void write_round(uint64_t *words, size_t page, uint32_t round)
{
	uint64_t random = mix(tag_of(page) ^ (uint64_t)round << 32);

	words[random % PAGE_WORDS] = random;
}

static void write_page(size_t page)
{
	write_round((uint64_t *)(memory + page * PAGE), page, ++rounds[page]);
}

static void write_random(void)
{
	write_page(pick(pages));
}

static void read_random(void)
{
	const uint64_t *line = (uint64_t *)(memory + pick(pages * PAGE / LINE) * LINE);
	uint64_t sum = 0;

	for (unsigned int i = 0; i < LINE / sizeof(*line); i++)
		sum += line[i];
	checksum += sum;
}

/* A prime larger than the number of pages steps through all of them without order. */
static void visit(void)
{
	write_page(visits % pages * 2654435761 % pages);
	visits++;
}

static void write_at_a_pace(void)
{
	double period = phases[1].seconds / (double)hot_rounds;
	uint64_t due;

	if (!visits)
		hot_begin_ns = now_ns();
	if (visits >= hot_rounds * pages) {
		sleep_while(HOT);
		return;
	}
	due = (uint64_t)((double)(now_ns() - hot_begin_ns) / 1e9 / period * (double)pages);
	if (visits > due) {
		sleep_ms(1);
		return;
	}
	if (visits + SAMPLE_EVERY > hot_rounds * pages)
		operate(visit, (unsigned int)(hot_rounds * pages - visits));
	else
		operate(visit, SAMPLE_EVERY);
}

/* Both processes are to hold the same when a hot phase is over. */
static void finish_rounds(void)
{
	while (visits && visits < hot_rounds * pages)
		visit();
	visits = 0;
}

static void obey(void)
{
	for (;;) {
		uint32_t command = told();

		if (command != HOT)
			finish_rounds();
		if (command == END)
			return;
		if (command == HOT && mode->twins)
			write_at_a_pace();
		else if (command == HOT)
			operate(write_random, SAMPLE_EVERY);
		else if (command == CALM && worker == 0)
			operate(read_random, SAMPLE_EVERY);
		else
			sleep_while(command);
	}
}

static void fill(void)
{
	size_t bytes = pages * PAGE;

	memory = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rounds = calloc(pages, sizeof(*rounds));
	if (memory == MAP_FAILED || !rounds)
		die("memory");
	memory = (unsigned char *)(((uintptr_t)memory + HUGE_PAGE - 1) & -HUGE_PAGE);
	if (mode->huge && madvise(memory, bytes, MADV_HUGEPAGE) < 0)
		die("MADV_HUGEPAGE");
	for (size_t page = 0; page < pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
}

static void verify(void)
{
	static uint64_t expected[PAGE_WORDS];

	for (size_t page = 0; page < pages; page++) {
		page_write(expected, tag_of(page));
		for (uint32_t round = 1; round <= rounds[page]; round++)
			write_round(expected, page, round);
		if (memcmp(memory + page * PAGE, expected, PAGE) != 0)
			wrong_byte("page", page);
	}
}

/* Before anything is filled, so that no page is shared by the fork. */
static void start_worker(void)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		return;
	end_with_parent(parent);
	fill();
	atomic_fetch_add(&shared->ready, 1);
	obey();
	verify();
	exit(0);
}

/* The number of phases. */
static unsigned int plan(void)
{
	double cycle = seconds < 30 ? seconds : 30;

	if (!mode->twins || mode->command == IDLE) {
		phases[0] = (struct phase){ NULL, mode->command, seconds };
		return 1;
	}
	phases[0] = (struct phase){ "calm", CALM, cycle * 2 / 3 };
	phases[1] = (struct phase){ "hot", HOT, cycle / 3 };
	hot_rounds = cycle / 3 < 1.5 ? 1 : (uint64_t)(cycle / 3 + 0.5);
	return 2;
}

static void choose(int argc, char **argv)
{
	parse_arguments(argc, argv);
	if (optind != argc - 1)
		usage("usage: memory unique|random|idle|phases|huge-calm|huge-hot "
		      "[--seconds N] [--scale F]");
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(modes[i].name, argv[optind]) == 0)
			mode = &modes[i];
	if (!mode)
		usage("no such mode: %s", argv[optind]);
}

int main(int argc, char **argv)
{
	unsigned int phase_count;

	choose(argc, argv);
	phase_count = plan();
	pages = (size_t)((double)mode->mib * scale * 256);
	if (!pages)
		usage("--scale: too small");
	share(-1);
	for (worker = 0; worker < mode->processes; worker++)
		start_worker();
	wait_ready(mode->processes);
	run_phases(phases, phase_count);
	return end_workers();
}
