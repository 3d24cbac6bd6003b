/* SPDX-License-Identifier: MIT */
/* Words of ours, in a program that may not survive a signal for them. */
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "tracker/sys.h"

#define BIT(number) (1ull << ((number) - 1))

void shim_say(int fd, const char *text, size_t length)
{
	const uint64_t signals = BIT(SIGPIPE) | BIT(SIGXFSZ);
	const struct timespec now = { 0 };
	uint64_t old = 0, pending = 0, ours;
	long result;

	if (sksm_call4(SYS_rt_sigprocmask, SIG_BLOCK, &signals, &old, sizeof(old)))
		return;
	/* One that the program keeps waiting is not ours to take. */
	if (old & signals)
		sksm_call2(SYS_rt_sigpending, &pending, sizeof(pending));
	result = sksm_call3(SYS_write, fd, text, length);
	ours = signals & ~pending;
	if (result == -EPIPE || result == -EFBIG)
		while (sksm_call4(SYS_rt_sigtimedwait, &ours, NULL, &now, sizeof(ours)) == -EINTR)
			;
	sksm_call4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}
