/* SPDX-License-Identifier: ISC */
/*
 * Latencies, counted in buckets: 64 for each power of two, so that what is read out of
 * them is within 1.6 % of what went in.
 */
#include "drive.h"

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift;

	if (ns < 2 * HISTOGRAM_SUB)
		return (uint32_t)ns;
	shift = 57 - (uint32_t)__builtin_clzll(ns);
	return (shift + 1) * HISTOGRAM_SUB + (uint32_t)(ns >> shift) - HISTOGRAM_SUB;
}

static uint64_t middle_of(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < 2 * HISTOGRAM_SUB)
		return bucket;
	shift = bucket / HISTOGRAM_SUB - 1;
	return ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift) +
		(UINT64_C(1) << shift) / 2;
}

void histogram_add(struct histogram *h, int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;

	h->buckets[bucket_of(value)]++;
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

double histogram_percentile_us(const struct histogram *h, double part)
{
	uint64_t wanted = (uint64_t)((double)h->count * part), seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += h->buckets[i];
		if (seen > wanted)
			return (double)(middle_of(i) < h->max ? middle_of(i) : h->max) /
				1e3;
	}
	return (double)h->max / 1e3;
}
