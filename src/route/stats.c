/* SPDX-License-Identifier: ISC */
#include "route/stats.h"

#include <string.h>

const char *const stat_columns[STAT_COUNT] = {
#define STAT(field, column, help) [STAT_##field] = (column),
#include "stats.def"
#undef STAT
};

void stats_sum(const struct stats_block *blocks, uint32_t count, uint64_t out[STAT_COUNT])
{
	memset(out, 0, STAT_COUNT * sizeof(out[0]));
	for (uint32_t i = 0; i < count; i++) {
		for (size_t k = 0; k < STAT_COUNT; k++)
			out[k] += atomic_load_explicit(&blocks[i].values[k],
				memory_order_relaxed);
	}
}
