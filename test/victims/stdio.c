/* SPDX-License-Identifier: MIT */
/*
 * stdio: with memory to work on, read a stream byte by byte as a program of one thread does, and
 * print whether glibc takes it for one. What it takes otherwise is measured by test/bench/overhead.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>

#include "victim.h"

#define STREAM_BYTES (8u << 20)
/* _IO_FLAGS2_NEED_LOCK of glibc's libio/libio.h: set in all streams by the first pthread_create. */
#define NEEDS_LOCK 128

int main(void)
{
	const size_t bytes = 64 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("stdio", MFD_CLOEXEC);
	FILE *stream;
	uint64_t sum = 0;
	int c;

	if (memory == MAP_FAILED || fd < 0)
		die("memory");
	for (size_t i = 0; i < bytes; i += PAGE)
		page_write(memory + i, 1 + i);
	if (write(fd, memory, STREAM_BYTES) != STREAM_BYTES || lseek(fd, 0, SEEK_SET) != 0)
		die("write");
	sleep_ms(300);
	stream = fdopen(fd, "r");
	while ((c = getc(stream)) != EOF)
		sum = sum * 31 + (unsigned int)c;
	printf("sum %llx, locked %d, single-threaded %d\n", (unsigned long long)sum,
	       (stream->_flags2 & NEEDS_LOCK) != 0, __libc_single_threaded);
	fclose(stream);
	return 0;
}
