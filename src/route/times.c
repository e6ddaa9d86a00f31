/* SPDX-License-Identifier: ISC */
#include "route/times.h"

#include <stdlib.h>
#include <string.h>

/* From what a local round trip takes to what somebody has given up on. */
const uint64_t times_bounds_us[TIMES_BOUNDS] = { 50, 100, 250, 500, 1000, 2500, 5000,
	10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
	30000000, 60000000, 300000000, 3600000000 };

static void bump(_Atomic uint64_t *value, uint64_t more)
{
	atomic_store_explicit(value,
		atomic_load_explicit(value, memory_order_relaxed) + more,
		memory_order_relaxed);
}

void times_add(struct times_block *b, uint64_t us)
{
	uint32_t bucket = 0;

	while (bucket < TIMES_BOUNDS && us > times_bounds_us[bucket])
		bucket++;
	bump(&b->sum_us, us);
	bump(&b->counts[bucket], 1);
}

void times_read(const struct times_block *blocks, uint32_t count, uint32_t stride,
	struct times_sum *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < count; i++) {
		const struct times_block *b = &blocks[(size_t)i * stride];

		out->sum_us += atomic_load_explicit(&b->sum_us, memory_order_relaxed);
		for (uint32_t k = 0; k <= TIMES_BOUNDS; k++)
			out->up_to[k] += atomic_load_explicit(
				&b->counts[k], memory_order_relaxed);
	}
	for (uint32_t k = 1; k <= TIMES_BOUNDS; k++)
		out->up_to[k] += out->up_to[k - 1];
}

uint64_t times_permille(const struct times_sum *times, uint32_t permille)
{
	uint64_t count = times->up_to[TIMES_BOUNDS];
	/* The first one whose rank is no lower. */
	uint64_t rank = (count * permille + 999) / 1000;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < TIMES_BOUNDS; i++) {
		if (times->up_to[i] >= rank)
			return times_bounds_us[i];
	}
	return 2 * times_bounds_us[TIMES_BOUNDS - 1];
}

struct times_block *times_create(uint32_t count)
{
	struct times_block *blocks =
		aligned_alloc(128, (count == 0 ? 1 : count) * sizeof(*blocks));

	if (blocks != NULL)
		memset(blocks, 0, (count == 0 ? 1 : count) * sizeof(*blocks));
	return blocks;
}
