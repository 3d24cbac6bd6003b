/* SPDX-License-Identifier: MIT */
/*
 * How much there is for ksmd to do: the offered, not yet merged memory of living processes, as
 * their records say.
 */
#ifndef SKSM_DEMAND_H
#define SKSM_DEMAND_H

#include <stdint.h>

#include "nested.h"
#include "places.h"

struct sksm_demand {
	uint64_t pending_bytes;	/* waiting for ksmd */
	uint64_t hurried_bytes;	/* of those, what somebody waits for */
	uint64_t offered_bytes;	/* those, and what is merged already */
	unsigned int living;	/* records of processes that live */
};

/*
 * Look at the records of @places whose processes live, here or as one of @nested, and that were
 * updated not too long ago: a stopped process asks for nothing. What is pending counts where the
 * record was updated after @served_ns (CLOCK_BOOTTIME: when ksmd last had all the scans that it can
 * use).
 */
void sksm_demand_look(const struct sksm_places *places, const struct sksm_nested *nested,
		      uint64_t served_ns, struct sksm_demand *ret);

#endif
