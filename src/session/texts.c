/* SPDX-License-Identifier: ISC */
#include "session/texts.h"

#include <stdlib.h>
#include <string.h>

#include "sql/statement_form.h"

/* Whoever aims at one place has his own texts read anew, no more: this need be quick only. */
static uint64_t hash_of(const uint8_t *text, size_t len)
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
	return hash >> 32;
}

static bool is_it(const struct text *t, const char *its, const void *text, size_t len,
	unsigned flags)
{
	return t->len == len && t->flags == flags && memcmp(its, text, len) == 0;
}

static struct text *find_short(struct texts *texts, const void *text, size_t len,
	unsigned flags)
{
	struct text_short *t = &texts->places[hash_of(text, len) % TEXTS_PLACES];

	if (is_it(&t->known, t->text, text, len, flags))
		return &t->known;
	t->known = (struct text){ .len = (uint16_t)len, .flags = (uint8_t)flags };
	memcpy(t->text, text, len);
	return &t->known;
}

static struct text *find_long(struct texts *texts, const void *text, size_t len,
	unsigned flags)
{
	uint32_t hash = (uint32_t)hash_of(text, len), place = hash % TEXTS_PLACES;
	struct text_long *t = texts->longs[place];

	if (t != NULL && is_it(&t->known, t->text, text, len, flags))
		return &t->known;
	if (texts->seen[place] != hash) {
		texts->seen[place] = hash;
		return NULL;
	}
	t = realloc(t, sizeof(*t) + len);
	if (t == NULL)
		return NULL;
	t->known = (struct text){ .len = (uint16_t)len, .flags = (uint8_t)flags };
	memcpy(t->text, text, len);
	texts->longs[place] = t;
	return &t->known;
}

/* Those that differ in their numbers alone are one. */
static struct text *find_form(struct texts *texts, const void *text, size_t len, unsigned flags)
{
	char room[TEXTS_FORM_MAX];
	struct sql_range form = statement_form(text, len, room);

	if (form.len <= TEXTS_SHORT_MAX)
		return find_short(texts, form.data, form.len, flags);
	return form.data == text ? NULL : find_long(texts, form.data, form.len, flags);
}

static struct text *find(struct texts *texts, const void *text, size_t len, unsigned flags)
{
	struct text *known = NULL;

	/* That one comes as it is again and again is found out more quickly. */
	if (len > TEXTS_SHORT_MAX)
		known = find_long(texts, text, len, flags);
	if (known == NULL && len <= TEXTS_FORM_MAX)
		known = find_form(texts, text, len, flags);
	return known;
}

struct text *texts_find(struct texts *texts, const void *text, size_t len, unsigned flags)
{
	struct text_last *last = &texts->last;
	struct text *known;

	if (len > TEXTS_LEN_MAX || flags > UINT8_MAX)
		return NULL;
	/* A message's text is asked for several times in a row. */
	if (last->known != NULL && last->len == len && last->flags == flags &&
		memcmp(last->text, text, len) == 0)
		return last->known;
	known = find(texts, text, len, flags);
	last->known = len <= sizeof(last->text) ? known : NULL;
	if (last->known == NULL)
		return known;
	last->len = (uint16_t)len;
	last->flags = (uint8_t)flags;
	memcpy(last->text, text, len);
	return known;
}

static unsigned look(const char *text, size_t len)
{
	return TEXT_WAS_LOOKED_AT | statement_may(text, len);
}

unsigned text_may(struct text *known, const void *text, size_t len)
{
	if (known == NULL)
		return look(text, len);
	if (known->may == 0)
		known->may = (uint8_t)look(text, len);
	return known->may;
}

unsigned texts_may(struct texts *texts, const void *text, size_t len, unsigned flags)
{
	return text_may(texts_find(texts, text, len, flags), text, len);
}

void texts_finish(struct texts *texts)
{
	for (size_t i = 0; i < COUNT_OF(texts->longs); i++)
		free(texts->longs[i]);
}
