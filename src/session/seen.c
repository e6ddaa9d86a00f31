/* SPDX-License-Identifier: ISC */
#include "session/seen.h"

static struct seen_place *place_of(struct seen *seen, uint64_t hash)
{
	struct seen_place *place = &seen->places[hash % SEEN_PLACES];
	uint32_t mark = (uint32_t)(hash >> 32);

	if (place->mark != mark)
		*place = (struct seen_place){ .mark = mark };
	return place;
}

uint32_t seen_again(struct seen *seen, uint64_t hash)
{
	struct seen_place *place = place_of(seen, hash);

	if (place->is_barred)
		return 0;
	if (place->count < SEEN_MOST)
		place->count++;
	return place->count;
}

void seen_bar(struct seen *seen, uint64_t hash)
{
	place_of(seen, hash)->is_barred = true;
}
