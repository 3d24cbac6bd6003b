/* SPDX-License-Identifier: MIT */
/*
 * hold: hold memory of known content, rewrite some of it, check every byte.
 *
 *	hold [--bytes N] [--how mmap|malloc|brk|rawmmap|memfd-private|memfd-shared|file]
 *	     [--content same|zero|unique|repeat] [--seed N] [--huge] [--seconds N]
 *	     [--touch-every MS] [--write-half] [--pidfile PATH]
 *
 * Prints "ready" when the memory is filled. Lines on standard input: "verify" answers "verified"
 * (or the program ends with status 3), "write-half" rewrites every other page and answers
 * "written", "quit" ends it; SIGUSR1 is "verify", SIGUSR2 "write-half". At the end, after
 * --seconds, all is verified once more, with --write-half after writing half.
 */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "victim.h"

static struct {
	size_t bytes;
	const char *how;
	const char *content;
	uint64_t seed;
	bool huge;
	double seconds;
	unsigned int touch_every_ms;
	bool write_half;
	const char *pidfile;
} options = { .bytes = 64 << 20, .how = "mmap", .content = "same", .seed = 1, .seconds = 10 };

static unsigned char *memory;
static size_t pages;
static uint32_t *version;	/* how often each page was rewritten */
static uint64_t round_number;
static volatile sig_atomic_t verify_wanted, write_wanted;

static void on_signal(int signal_number)
{
	if (signal_number == SIGUSR1)
		verify_wanted = 1;
	else
		write_wanted = 1;
}

static uint64_t tag_of(size_t page)
{
	uint64_t index = strcmp(options.content, "repeat") == 0 ? 0 : page;

	/* A rewritten page differs from everything else, in other processes too. */
	if (version[page])
		return mix(mix((uint64_t)getpid()) + page) + version[page];
	if (strcmp(options.content, "zero") == 0)
		return 0;
	return mix(options.seed) + index + 1;
}

static void write_page(size_t page)
{
	version[page]++;
	page_write(memory + page * PAGE, tag_of(page));
}

static void verify(void)
{
	for (size_t page = 0; page < pages; page++)
		if (!page_is(memory + page * PAGE, tag_of(page)))
			wrong(options.how, page);
	printf("verified\n");
	fflush(stdout);
}

static void write_half(void)
{
	for (size_t page = 0; page < pages; page += 2)
		write_page(page);
	printf("written\n");
	fflush(stdout);
}

/* A different sixteenth of the pages each time. */
static void touch(void)
{
	for (size_t page = round_number++ % 16; page < pages; page += 16)
		write_page(page);
}

static void *map_fd(int fd, int flags)
{
	if (fd < 0 || ftruncate(fd, (off_t)options.bytes) < 0)
		die(options.how);
	return mmap(NULL, options.bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static void *map_file(void)
{
	char path[] = "hold-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd >= 0)
		unlink(path);
	return map_fd(fd, MAP_PRIVATE);
}

static void *allocate(void)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *p;

	if (strcmp(options.how, "mmap") == 0)
		return mmap(NULL, options.bytes, prot, flags, -1, 0);
	if (strcmp(options.how, "rawmmap") == 0)
		return (void *)syscall(SYS_mmap, NULL, options.bytes, prot, flags, -1, 0);
	if (strcmp(options.how, "malloc") == 0) {
		p = malloc(options.bytes + PAGE);
		return p ? (void *)(((uintptr_t)p + PAGE - 1) & -PAGE) : MAP_FAILED;
	}
	if (strcmp(options.how, "brk") == 0) {
		p = sbrk((intptr_t)(options.bytes + PAGE));
		return p == (void *)-1 ? p : (void *)(((uintptr_t)p + PAGE - 1) & -PAGE);
	}
	if (strcmp(options.how, "memfd-private") == 0)
		return map_fd(memfd_create("hold", MFD_CLOEXEC), MAP_PRIVATE);
	if (strcmp(options.how, "memfd-shared") == 0)
		return map_fd(memfd_create("hold", MFD_CLOEXEC), MAP_SHARED);
	if (strcmp(options.how, "file") == 0)
		return map_file();
	errno = EINVAL;
	return MAP_FAILED;
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "bytes", 1, NULL, 'b' },	 { "how", 1, NULL, 'h' },
		{ "content", 1, NULL, 'c' },	 { "seed", 1, NULL, 's' },
		{ "huge", 0, NULL, 'H' },	 { "seconds", 1, NULL, 't' },
		{ "touch-every", 1, NULL, 'e' }, { "write-half", 0, NULL, 'w' },
		{ "pidfile", 1, NULL, 'p' },	 { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b': options.bytes = parse_size(optarg) & -PAGE; break;
		case 'h': options.how = optarg; break;
		case 'c': options.content = optarg; break;
		case 's': options.seed = strtoull(optarg, NULL, 0); break;
		case 'H': options.huge = true; break;
		case 't': options.seconds = atof(optarg); break;
		case 'e': options.touch_every_ms = (unsigned int)atoi(optarg); break;
		case 'w': options.write_half = true; break;
		case 'p': options.pidfile = optarg; break;
		default: exit(2);
		}
	}
	if (strcmp(options.content, "unique") == 0)
		options.seed = mix(now_ms()) ^ mix((uint64_t)getpid() << 32);
}

static void write_pidfile(void)
{
	FILE *file = fopen(options.pidfile, "we");

	if (!file || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0)
		die(options.pidfile);
}

/* One line of standard input. False: the end. */
static bool obey(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return true;
	if (strcmp(line, "verify\n") == 0)
		verify();
	else if (strcmp(line, "write-half\n") == 0)
		write_half();
	return strcmp(line, "quit\n") != 0;
}

static void serve(void)
{
	uint64_t end_ms = now_ms() + (uint64_t)(options.seconds * 1000), touched_ms = now_ms();
	struct pollfd input = { .fd = 0, .events = POLLIN };
	bool going = true;

	while (going && now_ms() < end_ms) {
		uint64_t step = end_ms - now_ms();

		if (verify_wanted) {
			verify_wanted = 0;
			verify();
		}
		if (write_wanted) {
			write_wanted = 0;
			write_half();
		}
		if (options.touch_every_ms && now_ms() - touched_ms >= options.touch_every_ms) {
			touched_ms = now_ms();
			touch();
		}
		if (options.touch_every_ms && step > options.touch_every_ms)
			step = options.touch_every_ms;
		if (step > 100)		/* a signal just before poll waits no longer */
			step = 100;
		if (poll(&input, 1, (int)step) > 0) {
			going = obey();
			if (feof(stdin))
				input.fd = -1;
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	setvbuf(stdin, NULL, _IONBF, 0);
	parse_options(argc, argv);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	pages = options.bytes / PAGE;
	version = calloc(pages, sizeof(*version));
	memory = allocate();
	if (!version || memory == MAP_FAILED)
		die(options.how);
	if (options.huge && madvise(memory, options.bytes, MADV_HUGEPAGE) < 0)
		die("MADV_HUGEPAGE");
	for (size_t page = 0; page < pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
	if (options.pidfile)
		write_pidfile();
	printf("ready\n");
	fflush(stdout);
	serve();
	verify();
	if (options.write_half) {
		write_half();
		verify();
	}
	return 0;
}
