/* SPDX-License-Identifier: ISC */
#include "route/tally.h"

#include <stdlib.h>
#include <string.h>

struct tally_block *tally_create(uint32_t count)
{
	struct tally_block *blocks = aligned_alloc(128, (size_t)count * sizeof(*blocks));

	if (blocks != NULL)
		memset(blocks, 0, (size_t)count * sizeof(*blocks));
	return blocks;
}
