/* SPDX-License-Identifier: MIT */
/*
 * errnos: call the memory mapping functions with good and bad arguments of every kind, and print
 * what they return. Addresses are not printed, so two runs print the same.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "victim.h"

#define SENTINEL 4242	/* errno before each call: success must not change it */

static void show(const char *what, bool good)
{
	int error = errno;

	if (good)
		printf("%s: ok%s\n", what, error == SENTINEL ? "" : ", errno changed");
	else
		printf("%s: %s\n", what, strerrorname_np(error));
}

static void *show_map(const char *what, void *p)
{
	show(what, p != MAP_FAILED);
	if (p != MAP_FAILED && ((uintptr_t)p & (PAGE - 1)))
		printf("%s: unaligned result\n", what);
	return p;
}

#define MAP(...) (errno = SENTINEL, show_map("mmap(" #__VA_ARGS__ ")", mmap(__VA_ARGS__)))
#define MAP64(...) (errno = SENTINEL, show_map("mmap64(" #__VA_ARGS__ ")", mmap64(__VA_ARGS__)))
#define REMAP(...) (errno = SENTINEL, show_map("mremap(" #__VA_ARGS__ ")", mremap(__VA_ARGS__)))
#define UNMAP(...) (errno = SENTINEL, show("munmap(" #__VA_ARGS__ ")", munmap(__VA_ARGS__) == 0))

enum { RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS, BIG = 4 << 20 };

static void anonymous(void)
{
	void *p, *q;

	MAP(NULL, 0, RW, ANON, -1, 0);
	MAP(NULL, SIZE_MAX, RW, ANON, -1, 0);
	MAP(NULL, SIZE_MAX - PAGE, RW, ANON, -1, 0);
	MAP(NULL, 1ul << 47, RW, ANON | MAP_NORESERVE, -1, 0);
	MAP(NULL, BIG, RW, 0, -1, 0);
	MAP(NULL, BIG, RW, MAP_ANONYMOUS, -1, 0);
	MAP(NULL, BIG, RW, MAP_PRIVATE, -1, 0);
	MAP(NULL, BIG, RW, ANON | MAP_SHARED, -1, 0);
	MAP(NULL, BIG, RW, ANON, -1, 1);
	MAP(NULL, BIG, RW, ANON, 12345, 0);
	MAP(NULL, BIG, RW, ANON, -1, 123 * PAGE);
	MAP(NULL, BIG, ~0, ANON, -1, 0);
	MAP((void *)1, BIG, RW, ANON | MAP_FIXED, -1, 0);
	MAP((void *)(1ul << 63), BIG, RW, ANON | MAP_FIXED, -1, 0);
	MAP(NULL, BIG, RW, ANON | MAP_HUGETLB, -1, 0);
	MAP(NULL, BIG, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_SYNC, -1, 0);
	p = MAP(NULL, BIG + 1, RW, ANON, -1, 0);
	q = MAP((char *)p + PAGE, BIG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	q = MAP(p, BIG, RW, ANON, -1, 0);
	printf("a hint that is taken moves: %d\n", p != q);
	q = MAP(p, BIG, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);
	printf("MAP_FIXED stays: %d\n", p == q);
	UNMAP(p, BIG + PAGE);
	p = MAP64(NULL, BIG, RW, ANON | MAP_POPULATE, -1, 0);
	page_write(p, 5);
	MAP64(NULL, BIG, RW, ANON, -1, 1);
	MAP64(NULL, 0, RW, ANON, -1, 0);
	MAP64(NULL, BIG, RW, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0);
	printf("still there: %d\n", page_is(p, 5));
	UNMAP(p, BIG);
}

/* Since 6.11 a descriptor needs no name. */
static void nameless(int fd)
{
	const char *volatile none = NULL;
	struct statx st;

	errno = SENTINEL;
	show("statx without a name", statx(fd, none, AT_EMPTY_PATH, STATX_SIZE, &st) == 0);
}

static void descriptors(void)
{
	int reads = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), ends[2];
	int writes = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int memory = memfd_create("errnos", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (pipe2(ends, O_CLOEXEC) < 0 || ftruncate(memory, BIG) < 0)
		die("descriptors");
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, reads, 0);
	MAP(NULL, BIG, RW, MAP_PRIVATE, reads, 0);
	MAP(NULL, BIG, RW, MAP_SHARED, reads, 0);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, writes, 0);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, directory, 0);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, ends[0], 0);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, 12345, 0);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, reads, 1);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, reads, -4096);
	MAP(NULL, BIG, PROT_READ, MAP_PRIVATE, reads, 1ll << 62);
	MAP64(NULL, BIG, RW, MAP_PRIVATE, memory, 1ll << 40);
	p = MAP(NULL, BIG, RW, MAP_SHARED, memory, 0);
	UNMAP(p, BIG);
	p = MAP(NULL, BIG, RW, MAP_PRIVATE, memory, 0);
	UNMAP(p, BIG);
	if (fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) < 0)
		die("F_SEAL_WRITE");
	MAP(NULL, BIG, RW, MAP_SHARED, memory, 0);
	MAP(NULL, BIG, RW, MAP_PRIVATE, memory, 0);
	nameless(reads);
	close(reads);
	close(writes);
	close(directory);
	close(memory);
	close(ends[0]);
	close(ends[1]);
}

static void unmapping(void)
{
	char *p = MAP(NULL, BIG, RW, ANON, -1, 0);

	UNMAP(p, 0);
	UNMAP(p + 1, PAGE);
	UNMAP(p, SIZE_MAX);
	UNMAP(NULL, PAGE);
	UNMAP((void *)(1ul << 63), PAGE);
	UNMAP(p + PAGE, 1);
	page_write(p, 1);
	page_write(p + 2 * PAGE, 2);
	UNMAP(p, BIG);
	UNMAP(p, BIG);
}

static void remapping(void)
{
	char *p = MAP(NULL, BIG, RW, ANON, -1, 0), *q;

	page_write(p, 7);
	REMAP(p + 1, BIG, BIG * 2, MREMAP_MAYMOVE);
	REMAP(p, BIG, 0, MREMAP_MAYMOVE);
	REMAP(p, 0, BIG, MREMAP_MAYMOVE);
	REMAP(p, BIG, BIG, ~0);
	REMAP(p, BIG, BIG, MREMAP_FIXED, p + BIG);
	REMAP(p, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE);
	REMAP(p, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1);
	REMAP(p, BIG, BIG, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(1ul << 63));
	REMAP(p, BIG, 2 * BIG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	REMAP(p, SIZE_MAX, BIG, MREMAP_MAYMOVE);
	REMAP(p, BIG, SIZE_MAX, MREMAP_MAYMOVE);
	REMAP(p, BIG, 1ul << 47, MREMAP_MAYMOVE);
	REMAP((void *)(PAGE * 16), BIG, 2 * BIG, MREMAP_MAYMOVE);
	printf("still there: %d\n", page_is(p, 7));
	p = REMAP(p, BIG, BIG / 2, 0);
	q = MAP(p + BIG / 2, PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0);
	REMAP(p, BIG / 2, BIG, 0);
	REMAP(p, BIG / 2 + PAGE, BIG, MREMAP_MAYMOVE);
	p = REMAP(p, BIG / 2, 2 * BIG, MREMAP_MAYMOVE);
	printf("moved with its content: %d\n", page_is(p, 7) && page_is(p + BIG, 0));
	UNMAP(q, PAGE);
	q = REMAP(p, 2 * BIG, 2 * BIG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	printf("moved, emptied: %d\n", page_is(q, 7) && page_is(p, 0));
	UNMAP(p, 2 * BIG);
	UNMAP(q, 2 * BIG);
}

static void limits(void)
{
	struct rlimit old, none = { 0, 0 }, space;

	getrlimit(RLIMIT_AS, &old);
	space = (struct rlimit){ 1 << 20, old.rlim_max };
	setrlimit(RLIMIT_AS, &space);
	MAP(NULL, BIG, RW, ANON, -1, 0);
	MAP64(NULL, BIG, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	setrlimit(RLIMIT_AS, &old);
	getrlimit(RLIMIT_DATA, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_DATA, &none);
	MAP(NULL, BIG, RW, ANON, -1, 0);
	MAP(NULL, BIG, PROT_READ, ANON, -1, 0);
	setrlimit(RLIMIT_DATA, &old);
	MAP(NULL, BIG, RW, ANON | MAP_LOCKED, -1, 0);
}

int main(void)
{
	anonymous();
	descriptors();
	unmapping();
	remapping();
	limits();
	return 0;
}
