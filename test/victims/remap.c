/* SPDX-License-Identifier: MIT */
/*
 * remap [SECONDS [BYTES [memfd|chroot|pids]]]: hold one mapping (memfd: a private one of a file)
 * whose chunks of 64 KiB are in turn the same in every copy of this program and unique, wait, then
 * resize, move and advise it as the one mapping that it is for the program. "remap mistake": what
 * no program may do, and what it finds afterwards. "remap halves": one mapping made in two calls.
 * "chroot": in a directory without /proc. "pids": the next child is the first process of a pid
 * namespace.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "victim.h"

#define CHUNK_PAGES 16u

static unsigned char *memory;
static size_t pages;
static uint64_t unique;

static uint64_t tag_of(size_t page)
{
	return page / CHUNK_PAGES % 2 ? unique + page : 1 + page;
}

static void report(const char *what, bool good)
{
	printf("%s: %s\n", what, good ? "ok" : strerror(errno));
	fflush(stdout);
	if (!good)
		exit(1);
}

static void verify(size_t count)
{
	for (size_t page = 0; page < count; page++)
		if (!page_is(memory + page * PAGE, tag_of(page)))
			wrong("remap", page);
	printf("verified\n");
	fflush(stdout);
}

static bool resize(size_t from, size_t to, int flags)
{
	void *moved;

	/* What succeeds says nothing of errno, whatever it took. */
	errno = E2BIG;
	moved = mremap(memory, from * PAGE, to * PAGE, flags);
	if (moved == MAP_FAILED || errno != E2BIG)
		return false;
	memory = moved;
	return true;
}

/* Mappings of this process that are mergeable, as smaps tells. */
static unsigned int count_marked(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned int marked = 0;
	char line[512];

	if (!smaps)
		die("/proc/self/smaps");
	while (fgets(line, sizeof(line), smaps))
		marked += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " mg") != NULL;
	fclose(smaps);
	return marked;
}

/* Resize and move what came over a fork. */
static int work_in_child(size_t bytes)
{
	size_t quarter = pages / 4;
	void *target;

	report("grow in a child", resize(pages, pages + quarter, MREMAP_MAYMOVE));
	verify(pages);
	report("shrink in a child", resize(pages + quarter, pages, 0));
	target = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	target = mremap(memory, bytes, 2 * bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	report("move and grow in a child", target != MAP_FAILED);
	memory = target;
	verify(pages);
	for (size_t page = pages; page < 2 * pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
	verify(2 * pages);
	/* Something in the way of growing in place. */
	target = mmap(memory + 2 * bytes, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		      MAP_FIXED_NOREPLACE, -1, 0);
	report("grow elsewhere in a child", resize(2 * pages, 3 * pages, MREMAP_MAYMOVE));
	verify(2 * pages);
	target = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	target = mremap(memory, 3 * bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	report("move and shrink in a child", target != MAP_FAILED);
	memory = target;
	verify(pages);
	return 0;
}

/* Moves to a fixed address that no kernel makes: everything stays, at the target too. */
static void refuse(size_t bytes)
{
	unsigned char *target = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int move = MREMAP_MAYMOVE | MREMAP_FIXED;
	const struct {
		const char *what;
		size_t more;
		int flags;
		unsigned char *target;
	} mistakes[] = {
		{ "move, but stay", 0, MREMAP_FIXED, target },
		{ "move onto itself", 0, move, memory },
		{ "move by a page", 0, move, memory + PAGE },
		{ "move down onto itself", bytes, move, memory - PAGE },
		{ "move by a byte", 0, move, target + 1 },
		{ "move and grow, but keep", PAGE, move | MREMAP_DONTUNMAP, target },
		{ "move over the end", 0, move, (unsigned char *)(1ul << 47) - 2 * PAGE },
	};

	if (target == MAP_FAILED)
		die("mmap");
	for (size_t at = 0; at < 2 * bytes; at += PAGE)
		page_write(target + at, at);
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		errno = 0;
		void *moved = mremap(memory, bytes, bytes + mistakes[i].more, mistakes[i].flags,
				     mistakes[i].target);
		int error = errno;

		report(mistakes[i].what, moved == MAP_FAILED && error == EINVAL);
	}
	verify(pages);
	for (size_t at = 0; at < 2 * bytes; at += PAGE)
		if (!page_is(target + at, at))
			wrong("target", at / PAGE);
	munmap(target, 2 * bytes);
}

/* May no descriptor be opened? */
static void fill_table(bool is_full)
{
	static struct rlimit before;
	struct rlimit limit;

	if (is_full)
		getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	if (is_full)
		limit.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What is in the way of whoever needs a process, a descriptor or a map for it. */
static void grow_in_want(const char *what, size_t bytes)
{
	pid_t pid;
	int status = -1;

	if (strcmp(what, "chroot") == 0 && chroot(".") < 0)
		die("chroot");
	if (strcmp(what, "pids") == 0 && unshare(CLONE_NEWPID) < 0)
		die("unshare");
	report(what, resize(pages, pages + bytes / PAGE / 4, MREMAP_MAYMOVE));
	verify(pages);
	report("shrink", resize(pages + bytes / PAGE / 4, pages, 0));
	pid = fork();
	if (!pid)
		_exit(strcmp(what, "pids") == 0 && getpid() != 1);
	report("child", waitpid(pid, &status, 0) == pid && status == 0);
}

static void fork_and_wait(size_t bytes)
{
	pid_t pid = fork();
	int status = -1;

	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(work_in_child(bytes));
	report("child", waitpid(pid, &status, 0) == pid && status == 0);
}

/* Two mappings of different protection taken for one. */
static int make_mistake(void)
{
	size_t bytes = 32 << 20;
	void *moved;

	pages = bytes / PAGE;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
	/* The second half is of one content, which offers would take. */
	for (size_t page = pages / 2; page < pages; page++)
		page_write(memory + page * PAGE, 1);
	sleep_ms(500);
	if (mprotect(memory, bytes / 2, PROT_READ) < 0)
		die("mprotect");
	sleep_ms(50);
	errno = 0;
	moved = mremap(memory, bytes, 2 * bytes, MREMAP_MAYMOVE);
	printf("over two mappings: %s\n", moved == MAP_FAILED ? strerror(errno) : "ok");
	printf("marked: %u\n", count_marked());
	errno = E2BIG;
	moved = mremap(memory, bytes / 2, bytes, MREMAP_MAYMOVE);
	printf("over one: %s, %s\n", moved == MAP_FAILED ? "failed" : "ok", strerror(errno));
	return 0;
}

/* One mapping, made in two calls: the upper half first. */
static int move_halves(void)
{
	size_t bytes = 16 << 20;
	unsigned char *target;

	pages = bytes / PAGE;
	target = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (target == MAP_FAILED || memory == MAP_FAILED)
		die("mmap");
	if (mmap(memory + bytes / 2, bytes / 2, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	for (size_t page = pages / 2; page < pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
	sleep_ms(500);
	if (mmap(memory, bytes / 2, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < pages / 2; page++)
		page_write(memory + page * PAGE, tag_of(page));
	target = mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	report("move in halves", target != MAP_FAILED);
	memory = target;
	verify(pages);
	return 0;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	size_t bytes = argc > 2 ? parse_size(argv[2]) : 32 << 20;
	int fd = -1, anonymous = MAP_ANONYMOUS;
	void *target;

	if (argc > 1 && strcmp(argv[1], "mistake") == 0)
		return make_mistake();
	if (argc > 1 && strcmp(argv[1], "halves") == 0)
		return move_halves();
	pages = bytes / PAGE;
	unique = mix(now_ms() ^ (uint64_t)getpid() << 40);
	if (argc > 3 && strcmp(argv[3], "memfd") == 0) {
		/* As large as it grows. */
		fd = memfd_create("remap", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)(3 * bytes)) < 0)
			die("memfd_create");
		anonymous = 0;
	}
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | anonymous, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < pages; page++)
		page_write(memory + page * PAGE, tag_of(page));
	printf("ready\n");
	fflush(stdout);
	sleep_ms((unsigned int)(seconds * 1000));

	refuse(bytes);
	if (fd < 0 && argc > 3) {
		grow_in_want(argv[3], bytes);
		return 0;
	}
	fill_table(true);
	report("grow with a full table", resize(pages, pages + 1, MREMAP_MAYMOVE));
	verify(pages);
	report("shrink", resize(pages + 1, pages, 0));
	fill_table(false);
	fork_and_wait(bytes);
	report("grow", resize(pages, pages * 2, MREMAP_MAYMOVE));
	verify(pages);
	sleep_ms((unsigned int)(seconds * 500));
	report("shrink", resize(pages * 2, pages, 0));
	verify(pages);
	target = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	target = mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	report("move", target != MAP_FAILED);
	if (target != MAP_FAILED)
		memory = target;
	verify(pages);
	sleep_ms((unsigned int)(seconds * 500));
	target = mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	report("move, keeping the mapping", target != MAP_FAILED);
	if (target != MAP_FAILED)
		memory = target;
	verify(pages);
	report("msync", msync(memory, bytes, MS_ASYNC) == 0);
	report("mlock", mlock(memory, bytes) == 0);
	report("munlock", munlock(memory, bytes) == 0);
	report("mprotect", mprotect(memory, bytes, PROT_READ) == 0);
	verify(pages);
	report("munmap", munmap(memory, bytes) == 0);
	return 0;
}
