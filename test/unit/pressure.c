/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "tracker/pressure.h"
#include "tracker/sys.h"

static const char *text;
static unsigned int reads;

static ssize_t say(int fd, void *buf, size_t size, uint64_t offset)
{
	size_t length = strlen(text);

	reads++;
	cr_assert_eq(offset, 0);
	if (length > size)
		length = size;
	memcpy(buf, text, length);
	return (ssize_t)length;
}

/* What is understood of a file that says @said. */
static unsigned int understand(const char *said)
{
	struct sksm_sys sys = sksm_sys_kernel;
	struct sksm_pressure pressure;

	text = said;
	sys.pread = say;
	sksm_pressure_open(&pressure, &sys);
	/* Where this kernel has no such files, any descriptor does. */
	if (pressure.cpu_fd < 0)
		pressure.cpu_fd = dup(0);
	sksm_pressure_update(&pressure, 1);
	sksm_pressure_close(&pressure);
	return pressure.cpu_percent;
}

Test(pressure, parsing)
{
	cr_assert_eq(understand("some avg10=12.34 avg60=1.00 avg300=0.10 total=1\n"), 12);
	cr_assert_eq(understand("some avg10=0.99 avg60=1.00 avg300=0.10 total=1\n"), 0);
	cr_assert_eq(understand("some avg10=100.00 avg60=1.00 avg300=0.10 total=1\n"), 100);
	cr_assert_eq(understand("some avg10=4294967400 and so on"), 100);
	cr_assert_eq(understand("full avg10=50.00 avg60=1.00 avg300=0.10 total=1\n"), 0);
	cr_assert_eq(understand("some avg10="), 0);
	cr_assert_eq(understand(""), 0);
}

Test(pressure, read_now_and_then)
{
	struct sksm_sys sys = sksm_sys_kernel;
	struct sksm_pressure pressure;

	text = "some avg10=70.00 avg60=1.00 avg300=0.10 total=1\n";
	sys.pread = say;
	sksm_pressure_open(&pressure, &sys);
	pressure.cpu_fd = pressure.cpu_fd < 0 ? dup(0) : pressure.cpu_fd;
	pressure.memory_fd = pressure.memory_fd < 0 ? dup(0) : pressure.memory_fd;
	sksm_pressure_update(&pressure, 5000000000);
	cr_assert_eq(reads, 2);
	sksm_pressure_update(&pressure, 8000000000);
	cr_assert_eq(reads, 2);
	sksm_pressure_update(&pressure, 9000000000);
	cr_assert_eq(reads, 4);
	/* Short of both: memory has the say. */
	cr_assert(sksm_pressure_memory(&pressure));
	cr_assert_not(sksm_pressure_cpu(&pressure));
	pressure.memory_percent = 9;
	cr_assert_not(sksm_pressure_memory(&pressure));
	cr_assert(sksm_pressure_cpu(&pressure));
	sksm_pressure_close(&pressure);
}
