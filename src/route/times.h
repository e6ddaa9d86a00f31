/* SPDX-License-Identifier: ISC */
/*
 * How long things take, for metrics: a histogram with fixed bounds for each worker,
 * summed on reading.
 *
 * Owns:   nothing.
 * Thread: times_add() only by the worker that the block belongs to; reading by any.
 *         Values are atomics of one writer, on cache lines of their own.
 * Limits: what is over the last bound is counted in a last bucket of its own.
 */
#ifndef ROUTE_TIMES_H
#define ROUTE_TIMES_H

#include <stdatomic.h>

#include "base/base.h"

enum { TIMES_BOUNDS = 21 };

/* The greatest time of each bucket but the last. */
extern const uint64_t times_bounds_us[TIMES_BOUNDS];

struct times_block {
	_Alignas(128) _Atomic uint64_t sum_us;
	_Atomic uint64_t counts[TIMES_BOUNDS + 1];
};

/* Of all workers together: times up to each bound, the last for all. */
struct times_sum {
	uint64_t sum_us;
	uint64_t up_to[TIMES_BOUNDS + 1];
};

void times_add(struct times_block *, uint64_t us);

/* Adds up every "stride"th of the blocks. */
void times_read(const struct times_block *, uint32_t count, uint32_t stride,
	struct times_sum *out);

/* The bound of the bucket in which that one of the times lies, if they are in order and
 * each counts as many thousandths; what is over the last one is told as twice that; 0
 * of none. */
uint64_t times_permille(const struct times_sum *, uint32_t permille);

/* Zeroed, on cache lines of their own; NULL: no memory.  To be freed with free(). */
struct times_block *times_create(uint32_t count);

#endif
