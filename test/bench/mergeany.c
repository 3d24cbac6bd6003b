/* SPDX-License-Identifier: MIT */
/*
 * mergeany COMMAND [ARG...]: run a command whose memory is all MADV_MERGEABLE, as systemd's
 * MemoryKSM= does it. The kernel hands the mark on through fork and, since 6.6, through exec.
 */
#include <err.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#define EXIT_OWN 125

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(EXIT_OWN, "usage: mergeany COMMAND [ARG...]");
	if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0))
		err(EXIT_OWN, "PR_SET_MEMORY_MERGE");
	execvp(argv[1], argv + 1);
	err(EXIT_OWN, "%s", argv[1]);
}
