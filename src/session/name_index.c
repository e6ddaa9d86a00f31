/* SPDX-License-Identifier: ISC */
#include "session/name_index.h"

#include <stdlib.h>

#include "base/hash.h"

enum { PLACES_MIN = 16, PIECE = 64 };

struct name_place {
	uint64_t hash;
	uint32_t number;                /* plus 1; 0: nobody's */
};

static uint64_t hash_of(const char *name)
{
	char piece[PIECE];
	uint64_t hash = 0;
	size_t len;

	do {
		for (len = 0; len < PIECE && name[len] != '\0'; len++)
			piece[len] = (char)(name[len] >= 'A' && name[len] <= 'Z' ?
					name[len] + ('a' - 'A') : name[len]);
		hash = hash_mix(hash, hash_bytes(piece, len));
		name += len;
	} while (len == PIECE);
	return hash;
}

/* Where it is, or would be. */
static struct name_place *place_of(const struct name_index *index, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & (index->size - 1);

	while (index->places[at].number != 0 && index->places[at].hash != hash)
		at = (at + 1) & (index->size - 1);
	return &index->places[at];
}

static bool grow(struct name_index *index)
{
	struct name_index more = { .size = index->size == 0 ? PLACES_MIN : index->size * 2,
		.count = index->count };

	more.places = calloc(more.size, sizeof(*more.places));
	if (more.places == NULL)
		return false;
	for (uint32_t i = 0; i < index->size; i++) {
		if (index->places[i].number != 0)
			*place_of(&more, index->places[i].hash) = index->places[i];
	}
	free(index->places);
	*index = more;
	return true;
}

bool name_index_add(struct name_index *index, const char *name)
{
	uint64_t hash = hash_of(name);

	if (index->count >= index->size / 2 && !grow(index))
		return false;
	*place_of(index, hash) = (struct name_place){ .hash = hash, .number = ++index->count };
	return true;
}

uint32_t name_index_find(const struct name_index *index, const char *name)
{
	/* The number of nobody's is none. */
	return index->count == 0 ? NAME_INDEX_NONE : place_of(index, hash_of(name))->number - 1;
}

void name_index_finish(struct name_index *index)
{
	free(index->places);
	*index = (struct name_index){ .places = NULL };
}
