/* SPDX-License-Identifier: MIT */
/* maps COUNT: map, write and unmap 2 MiB so many times, with pauses. */
#include <sys/mman.h>

#include "victim.h"

int main(int argc, char **argv)
{
	const size_t bytes = 2 << 20;
	int count = argc > 1 ? atoi(argv[1]) : 1000;

	for (int i = 0; i < count; i++) {
		char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			die("mmap");
		memory[i % bytes] = 1;
		if (munmap(memory, bytes) < 0)
			die("munmap");
		if (i % 10 == 0)
			sleep_ms(1);
	}
	printf("mapped %d times\n", count);
	return 0;
}
