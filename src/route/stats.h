/* SPDX-License-Identifier: ISC */
/*
 * Counters of one database: a block for each worker, summed on reading.
 *
 * Owns:   the blocks.
 * Thread: stats_add() only by the worker that the block belongs to; reading by
 *         any.  Values are atomics of one writer, so a sum is never torn.
 */
#ifndef ROUTE_STATS_H
#define ROUTE_STATS_H

#include <stdatomic.h>

#include "base/base.h"

enum stats_field {
#define STAT(field, column, help) STAT_##field,
#include "stats.def"
#undef STAT
	STAT_COUNT
};

extern const char *const stat_columns[STAT_COUNT];

/* One worker's; on cache lines of its own. */
struct stats_block {
	_Alignas(128) _Atomic uint64_t values[STAT_COUNT];
};

static inline void stats_add(struct stats_block *b, enum stats_field which, uint64_t more)
{
	uint64_t value = atomic_load_explicit(&b->values[which], memory_order_relaxed);

	atomic_store_explicit(&b->values[which], value + more, memory_order_relaxed);
}

void stats_sum(const struct stats_block *blocks, uint32_t count, uint64_t out[STAT_COUNT]);

#endif
