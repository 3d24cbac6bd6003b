/* SPDX-License-Identifier: MIT */
/*
 * ownuffd [MS]: a program that serves its own page faults: it registers all of a mapping for
 * missing pages after having used it for a while, resolves them in a thread, and the same again
 * with write protection. Prints what each step returned.
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

static unsigned char *memory;
static int uffd;
static unsigned int served;

static void *serve(void *argument)
{
	static unsigned char content[PAGE] __attribute__((aligned(4096)));
	struct uffd_msg message;

	for (;;) {
		struct pollfd ready = { .fd = uffd, .events = POLLIN };
		struct uffdio_copy copy = { .src = (uintptr_t)content, .len = PAGE };
		struct uffdio_writeprotect unprotect = { .range.len = PAGE };

		if (poll(&ready, 1, 500) <= 0)
			return argument;
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

	return ioctl(uffd, UFFDIO_REGISTER, &range);
}

int main(int argc, char **argv)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_writeprotect protect = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	pthread_t thread;

	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (unsigned int i = 0; i < PAGES; i++)
		page_write(memory + i * PAGE, 1 + i);
	sleep_ms(argc > 1 ? (unsigned int)atoi(argv[1]) : 500);

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0)
		die("userfaultfd");
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
	pthread_join(thread, NULL);
	printf("served %u faults of %u, verified\n", served, PAGES);
	return 0;
}
