/* SPDX-License-Identifier: MIT */
/*
 * An allocator for LD_PRELOAD that maps inside malloc and calloc, and waits there too: large blocks
 * are mappings of their own, small ones are never reused. What calls back into malloc from there
 * is found by a thread's own flag.
 */
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "../victims/victim.h"

#define CHUNK (2ul << 20)
#define LARGE (256ul << 10)

struct head {
	size_t bytes;		/* of the mapping; 0: a piece of a chunk */
	size_t usable;
	size_t back;		/* from the block to the begin of the mapping */
	size_t pad;
};

static __thread bool inside __attribute__((tls_model("initial-exec")));
static unsigned char *chunk;
static size_t chunk_used;
static char lock;

static unsigned char *map(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	/* Growth is looked at by calls that wait; here too. */
	poll(NULL, 0, 0);
	prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void *place(unsigned char *start, size_t align, size_t size, size_t bytes)
{
	uintptr_t block = ((uintptr_t)start + sizeof(struct head) + align - 1) & -align;
	struct head *head = (struct head *)block - 1;

	head->bytes = bytes;
	head->usable = size;
	head->back = block - (uintptr_t)start;
	return (void *)block;
}

static void *take_piece(size_t align, size_t size)
{
	size_t need = size + align + sizeof(struct head);
	unsigned char *start = NULL;

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		;
	if (!chunk || chunk_used + need > CHUNK) {
		chunk = map(CHUNK);
		chunk_used = 0;
	}
	if (chunk)
		start = chunk + chunk_used;
	chunk_used += (need + 15) & ~15ul;
	__atomic_clear(&lock, __ATOMIC_RELEASE);
	return start ? place(start, align, size, 0) : NULL;
}

static void *allocate(size_t align, size_t size)
{
	size_t bytes = (size + align + sizeof(struct head) + PAGE - 1) & -PAGE;
	unsigned char *start;

	if (align < 16)
		align = 16;
	if (size > SIZE_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	/* A hook that allocates would come back here, and wait for the lock for ever. */
	if (inside)
		abort();
	inside = true;
	if (size < LARGE) {
		start = take_piece(align, size);
		inside = false;
		return start;
	}
	start = map(bytes);
	inside = false;
	return start ? place(start, align, size, bytes) : NULL;
}

void *malloc(size_t size)
{
	return allocate(16, size);
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return allocate(16, bytes);	/* fresh mappings are zeros */
}

void free(void *block)
{
	const struct head *head = (struct head *)block - 1;
	int error = errno;

	if (block && head->bytes)
		munmap((unsigned char *)block - head->back, head->bytes);
	errno = error;
}

void *realloc(void *block, size_t size)
{
	const struct head *head = (struct head *)block - 1;
	void *fresh = allocate(16, size);

	if (fresh && block) {
		memcpy(fresh, block, head->usable < size ? head->usable : size);
		free(block);
	}
	return fresh;
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size)
{
	return allocate(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return allocate(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	*ret = allocate(align, size);
	return *ret ? 0 : ENOMEM;
}
