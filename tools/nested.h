/* SPDX-License-Identifier: MIT */
/*
 * Processes in pid namespaces below ours. A record holds the pid as its process sees itself; for
 * one in a container that shares our SKSM_DIR, we know it by another.
 */
#ifndef SKSM_NESTED_H
#define SKSM_NESTED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sksm_nested_pid {
	pid_t outer;	/* ours */
	pid_t inner;	/* its own */
};

struct sksm_nested {
	struct sksm_nested_pid *list;
	size_t count;
};

/* Has one of them this pid in its own namespace? */
bool sksm_nested_has(const struct sksm_nested *nested, pid_t inner);

/* Look through /proc once; usually there are none. 0 or -errno. */
int sksm_nested_read(struct sksm_nested *ret);

void sksm_nested_fini(struct sksm_nested *nested);

#endif
