/* SPDX-License-Identifier: ISC */
/*
 * How values, mostly times in microseconds, are distributed: fixed memory, one
 * addition to add, percentiles to within 1/16 of the value.
 *
 * Buckets are log-linear: exact below 16, then 16 to each power of two.
 *
 * Owns:   nothing.
 * Thread: one at a time; the owner's lock.
 * Limits: values above 2^40 count as 2^40 (12 days of microseconds).
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/base.h"

enum {
	HISTOGRAM_STEP_BITS = 4,
	HISTOGRAM_VALUE_BITS = 40,
	HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 2)
		<< HISTOGRAM_STEP_BITS
};

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *, uint64_t value);

/* How many of the values are at most that one, to within its bucket: those of a bucket
 * that reaches further are left out. */
uint64_t histogram_up_to(const struct histogram *, uint64_t value);

/* The least value that so many of 1000 do not exceed (its bucket's upper end, but
 * never more than the greatest value there was); 0 when nothing was added. */
uint64_t histogram_permille(const struct histogram *, uint32_t permille);

#endif
