/* SPDX-License-Identifier: ISC */
#include "base/histogram.h"

enum { STEPS = 1 << HISTOGRAM_STEP_BITS };

/* Its highest bits say where it belongs: the power of two, and the step in it. */
static uint32_t bucket_of(uint64_t value)
{
	uint32_t power;

	if (value < STEPS)
		return (uint32_t)value;
	if (value >= UINT64_C(1) << HISTOGRAM_VALUE_BITS)
		return HISTOGRAM_BUCKETS - 1;
	power = 63 - (uint32_t)__builtin_clzll(value);
	return ((power - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS) +
		(uint32_t)(value >> (power - HISTOGRAM_STEP_BITS) & (STEPS - 1));
}

/* The greatest value that belongs there. */
static uint64_t bucket_end(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < STEPS)
		return bucket;
	shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
	return ((uint64_t)STEPS + (bucket & (STEPS - 1)) + 1) * (UINT64_C(1) << shift) -
		1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->buckets[bucket_of(value)]++;
}

uint64_t histogram_up_to(const struct histogram *h, uint64_t value)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1 && bucket_end(i) <= value; i++)
		seen += h->buckets[i];
	return seen;
}

uint64_t histogram_permille(const struct histogram *h, uint32_t permille)
{
	uint64_t rank, seen = 0;

	if (h->count == 0)
		return 0;
	rank = (h->count * permille + 999) / 1000;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen > 0)
			return i == HISTOGRAM_BUCKETS - 1
				? h->max
				: u64_min(bucket_end(i), h->max);
	}
	return h->max;
}
