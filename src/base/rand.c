/* SPDX-License-Identifier: ISC */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *to, size_t len)
{
	uint8_t *pos = to;

	while (len > 0) {
		ssize_t got = getrandom(pos, len, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		pos += got;
		len -= (size_t)got;
	}
}

void rand_small_init(struct rand_small *r, uint64_t seed)
{
	r->state = seed == 0 ? UINT64_C(0x9e3779b97f4a7c15) : seed;
}

uint64_t rand_small_next(struct rand_small *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64_C(2685821657736338717);
}

uint64_t rand_small_below(struct rand_small *r, uint64_t limit)
{
	return limit == 0 ? 0 : rand_small_next(r) % limit;
}
