/* SPDX-License-Identifier: MIT */
#ifndef SHIM_LEADER_H
#define SHIM_LEADER_H

#include <stdbool.h>

/* Files of /proc, in the descriptor table of our thread; negative where they cannot be opened. */
struct shim_leader {
	int self_fd;
	int task_fd;
	int statm_fd;
};

void shim_leader_open(struct shim_leader *ret);
void shim_leader_close(struct shim_leader *leader);

/*
 * Are we the last thread, but for a leader that has exited? Then *ret_status is what the leader
 * passed to exit. The status of the thread that ends last is that of the process (since 5.17).
 */
bool shim_leader_is_gone(const struct shim_leader *leader, int *ret_status);

/*
 * Did the leader change its user by a bare system call, which set*id hooks do not see? The
 * effective ids always; real and saved ones too where looked at @closely, which costs more.
 */
bool shim_leader_has_other_ids(const struct shim_leader *leader, bool closely);

#endif
