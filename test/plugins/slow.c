/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD behind ours: a setfsuid that takes its time. */
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include "../victims/victim.h"

int setfsuid(uid_t uid)
{
	sleep_ms(1500);
	return (int)syscall(SYS_setfsuid, uid);
}
