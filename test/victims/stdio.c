/* SPDX-License-Identifier: MIT */
/*
 * stdio check | time: with memory to work on, read a stream byte by byte as a program of one
 * thread does. "time" prints the microseconds of processor time that it took.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "victim.h"

#define STREAM_BYTES (8u << 20)

int main(int argc, char **argv)
{
	const size_t bytes = 64 << 20;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("stdio", MFD_CLOEXEC);
	struct timespec begin, end;
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
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	while ((c = getc(stream)) != EOF)
		sum = sum * 31 + (unsigned int)c;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	fclose(stream);
	if (argc > 1 && strcmp(argv[1], "time") == 0)
		printf("%ld\n", (end.tv_sec - begin.tv_sec) * 1000000 +
				(end.tv_nsec - begin.tv_nsec) / 1000);
	else
		printf("sum %llx\n", (unsigned long long)sum);
	return 0;
}
