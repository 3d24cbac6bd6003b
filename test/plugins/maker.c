/* SPDX-License-Identifier: MIT */
/* A library that maps memory for its caller. */
#include <stddef.h>
#include <sys/mman.h>

void *plugin_make(size_t bytes);

static __attribute__((noinline, noclone)) void *plugin_inner(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	__asm__ volatile("" ::: "memory");
	return start;
}

void *plugin_make(size_t bytes)
{
	void *start = plugin_inner(bytes);

	__asm__ volatile("" ::: "memory");
	return start;
}
