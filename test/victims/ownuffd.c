/* SPDX-License-Identifier: MIT */
/*
 * ownuffd [MS [raw|copy|half]]: a program that serves its own page faults: it registers all of a
 * mapping for missing pages after having used it for a while, resolves them in a thread, and the
 * same again with write protection. Prints what each step returned. "raw" registers by the
 * function syscall(). "copy" has used the mapping for contents of which every other chunk repeats,
 * and resolves faults by copies of 2 MiB, which the kernel makes within one mapping only. "half"
 * registers half of the mapping, by a request that is a negative int, and takes all of it out
 * again.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "victim.h"

#define PAGES 4096u
#define CHUNK_PAGES 16u
#define COPY (2ul << 20)

static unsigned char *memory;
static int uffd;
static unsigned int served;
static bool is_raw;
static volatile bool is_over;

static void *serve(void *argument)
{
	static unsigned char content[PAGE] __attribute__((aligned(4096)));
	struct uffd_msg message;

	for (;;) {
		struct pollfd ready = { .fd = uffd, .events = POLLIN };
		struct uffdio_copy copy = { .src = (uintptr_t)content, .len = PAGE };
		struct uffdio_writeprotect unprotect = { .range.len = PAGE };

		if (poll(&ready, 1, 100) <= 0) {
			if (is_over)
				return argument;
			continue;
		}
		if (read(uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		served++;
		copy.dst = message.arg.pagefault.address & -PAGE;
		unprotect.range.start = copy.dst;
		if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			if (ioctl(uffd, UFFDIO_WRITEPROTECT, &unprotect) < 0)
				die("UFFDIO_WRITEPROTECT");
			continue;
		}
		page_write(content, 1 + (copy.dst - (uintptr_t)memory) / PAGE);
		if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
			die("UFFDIO_COPY");
	}
}

static void show(const char *what, int result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
	if (result < 0)
		exit(1);
}

static int register_all(uint64_t mode)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)memory, PAGES * PAGE }, .mode = mode
	};

	if (is_raw)
		return (int)syscall(SYS_ioctl, uffd, UFFDIO_REGISTER, &range);
	return ioctl(uffd, UFFDIO_REGISTER, &range);
}

/* Every other chunk is the same as all others of its kind. */
static void use_in_chunks(unsigned int ms)
{
	for (unsigned int i = 0; i < PAGES; i++)
		page_write(memory + i * PAGE, i / CHUNK_PAGES % 2 ? mix(i) | 1 : 1 + i % 4);
	sleep_ms(ms);
}

static void copy_all(void)
{
	unsigned char *content = mmap(NULL, COPY, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t at = 0; at < PAGES * PAGE; at += COPY) {
		struct uffdio_copy copy = { .dst = (uintptr_t)memory + at,
					    .src = (uintptr_t)content, .len = COPY };

		for (unsigned int i = 0; i < COPY / PAGE; i++)
			page_write(content + i * PAGE, 1 + at / PAGE + i);
		if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
			die("UFFDIO_COPY of 2 MiB");
	}
}

static void run_copies(void)
{
	show("register", register_all(UFFDIO_REGISTER_MODE_MISSING));
	show("forget", madvise(memory, PAGES * PAGE, MADV_DONTNEED));
	copy_all();
	for (unsigned int i = 0; i < PAGES; i++)
		if (!page_is(memory + i * PAGE, 1 + i))
			wrong("ownuffd", i);
	printf("verified\n");
}

static void run_half(void)
{
	struct uffdio_register half = {
		.range = { (uintptr_t)memory, PAGES / 2 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP
	};
	struct uffdio_range all = { (uintptr_t)memory, PAGES * PAGE };
	int request = (int)UFFDIO_REGISTER;

	show("register half", ioctl(uffd, request, &half));
	sleep_ms(200);
	show("unregister all", ioctl(uffd, UFFDIO_UNREGISTER, &all));
	for (unsigned int i = 0; i < PAGES; i++)
		if (!page_is(memory + i * PAGE, 1 + i))
			wrong("ownuffd", i);
	printf("verified\n");
}

int main(int argc, char **argv)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_writeprotect protect = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	unsigned int ms = argc > 1 ? (unsigned int)atoi(argv[1]) : 500;
	bool is_copy = argc > 2 && strcmp(argv[2], "copy") == 0;
	pthread_t thread;

	is_raw = argc > 2 && strcmp(argv[2], "raw") == 0;
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int i = 0; i < PAGES; i++)
		page_write(memory + i * PAGE, 1 + i);
	if (is_copy)
		use_in_chunks(ms);
	else
		sleep_ms(ms);

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
		die("userfaultfd");
	if (is_copy) {
		run_copies();
		return 0;
	}
	if (argc > 2 && strcmp(argv[2], "half") == 0) {
		run_half();
		return 0;
	}
	show("register", register_all(UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
	if (pthread_create(&thread, NULL, serve, NULL) != 0)
		die("pthread_create");
	show("forget", madvise(memory, PAGES * PAGE / 2, MADV_DONTNEED));
	protect.range.start = (uintptr_t)memory + PAGES / 2 * PAGE;
	protect.range.len = PAGES / 2 * PAGE;
	show("protect", ioctl(uffd, UFFDIO_WRITEPROTECT, &protect));
	for (unsigned int i = PAGES / 2; i < PAGES; i++)
		page_write(memory + i * PAGE, 1 + i);
	for (unsigned int i = 0; i < PAGES; i++)
		if (!page_is(memory + i * PAGE, 1 + i))
			wrong("ownuffd", i);
	is_over = true;
	pthread_join(thread, NULL);
	printf("served %u faults of %u, verified\n", served, PAGES);
	return 0;
}
