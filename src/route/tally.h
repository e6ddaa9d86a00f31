/* SPDX-License-Identifier: ISC */
/*
 * What a workload counts beside its queries, and a host of its servers' ends: a block
 * for each worker, summed on reading.  Which number is what is session's to say
 * (session/tally.h).
 *
 * Owns:   nothing.
 * Thread: tally_add() only by the worker that the block belongs to; reading by any.
 *         Values are atomics of one writer, on cache lines of their own.
 */
#ifndef ROUTE_TALLY_H
#define ROUTE_TALLY_H

#include <stdatomic.h>

#include "base/base.h"

enum { TALLIES_MAX = 80 };

struct tally_block {
	_Alignas(128) _Atomic uint64_t values[TALLIES_MAX];
};

static inline void tally_add(struct tally_block *b, uint32_t which)
{
	uint64_t value = atomic_load_explicit(&b->values[which], memory_order_relaxed);

	atomic_store_explicit(&b->values[which], value + 1, memory_order_relaxed);
}

static inline uint64_t tally_sum(const struct tally_block *blocks, uint32_t count, uint32_t which)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += atomic_load_explicit(&blocks[i].values[which], memory_order_relaxed);
	return sum;
}

/* Zeroed; NULL: no memory.  To be freed with free(). */
struct tally_block *tally_create(uint32_t count);

#endif
