/* SPDX-License-Identifier: ISC */
#include "session/texts.h"

#include <string.h>

/* Whoever aims at one place has his own texts read anew, no more: this need be quick only. */
static uint32_t place_of(const uint8_t *text, size_t len)
{
	uint64_t hash = len, word;

	for (; len >= sizeof(word); len -= sizeof(word), text += sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	word = 0;
	memcpy(&word, text, len);
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32) % TEXTS_PLACES;
}

struct text *texts_find(struct texts *texts, const void *text, size_t len, unsigned flags)
{
	struct text *t;

	if (len > TEXTS_LEN_MAX || flags > UINT8_MAX)
		return NULL;
	t = &texts->places[place_of(text, len)];
	if (t->len == len && t->flags == flags && memcmp(t->text, text, len) == 0)
		return t;
	*t = (struct text){ .len = (uint16_t)len, .flags = (uint8_t)flags };
	memcpy(t->text, text, len);
	return t;
}
