/* SPDX-License-Identifier: MIT */
/*
 * How short the machine is of CPUs and of memory: pressure stall information, since 4.20.
 */
#ifndef SKSM_PRESSURE_H
#define SKSM_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct sksm_sys;

struct sksm_pressure {
	const struct sksm_sys *sys;
	int cpu_fd;		/* or -errno: no such files, or not for us */
	int memory_fd;
	uint64_t next_ns;	/* not read again before */
	unsigned int cpu_percent;	/* of the last 10 s some task had to wait */
	unsigned int memory_percent;
};

void sksm_pressure_open(struct sksm_pressure *pressure, const struct sksm_sys *sys);
void sksm_pressure_close(struct sksm_pressure *pressure);

/* Read anew where the last reading is older than 4 s. */
void sksm_pressure_update(struct sksm_pressure *pressure, uint64_t now_ns);

/* Memory is short: merging is worth more. */
static inline bool sksm_pressure_memory(const struct sksm_pressure *pressure)
{
	return pressure->memory_percent >= 10;
}

/* CPUs are short, and memory is not: merging is worth less. */
static inline bool sksm_pressure_cpu(const struct sksm_pressure *pressure)
{
	return pressure->cpu_percent >= 60 && !sksm_pressure_memory(pressure);
}

/* How much of a budget of @percent to use: where CPUs are short, half of it does. */
static inline unsigned int sksm_pressure_share(const struct sksm_pressure *pressure,
					       unsigned int percent)
{
	return sksm_pressure_cpu(pressure) ? (percent + 1) / 2 : percent;
}

#endif
