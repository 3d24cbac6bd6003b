/* SPDX-License-Identifier: MIT */
#include "pressure.h"

#include <fcntl.h>
#include <string.h>

#include "sys.h"

/* The kernel brings its averages up to date every 2 s (kernel/sched/psi.c). */
#define PERIOD_NS 4000000000ull

void sksm_pressure_open(struct sksm_pressure *pressure, const struct sksm_sys *sys)
{
	*pressure = (struct sksm_pressure){
		.sys = sys,
		.cpu_fd = sys->openat(AT_FDCWD, "/proc/pressure/cpu", O_RDONLY | O_CLOEXEC, 0),
		.memory_fd = sys->openat(AT_FDCWD, "/proc/pressure/memory",
					 O_RDONLY | O_CLOEXEC, 0),
	};
}

void sksm_pressure_close(struct sksm_pressure *pressure)
{
	if (pressure->cpu_fd >= 0)
		pressure->sys->close(pressure->cpu_fd);
	if (pressure->memory_fd >= 0)
		pressure->sys->close(pressure->memory_fd);
}

/* "some avg10=12.34 ...": 12; 0 where there is no telling. */
static unsigned int read_some(const struct sksm_sys *sys, int fd)
{
	static const char head[] = "some avg10=";
	unsigned int percent = 0;
	char text[32];
	ssize_t n = fd < 0 ? -1 : sys->pread(fd, text, sizeof(text) - 1, 0);

	if (n <= (ssize_t)sizeof(head) || memcmp(text, head, sizeof(head) - 1))
		return 0;
	text[n] = '\0';
	for (const char *p = text + sizeof(head) - 1; *p >= '0' && *p <= '9'; p++)
		percent = percent * 10 + (unsigned int)(*p - '0');
	return percent < 100 ? percent : 100;
}

void sksm_pressure_update(struct sksm_pressure *pressure, uint64_t now_ns)
{
	if (now_ns < pressure->next_ns)
		return;
	pressure->next_ns = now_ns + PERIOD_NS;
	pressure->cpu_percent = read_some(pressure->sys, pressure->cpu_fd);
	pressure->memory_percent = read_some(pressure->sys, pressure->memory_fd);
}
