/* SPDX-License-Identifier: ISC */
/*
 * What the settings of a client have become: the answer to touched_ask().
 *
 * Both lists are written anew in one go, in the order that they had, as there may be
 * thousands of settings.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "pg/frame.h"
#include "pg/wire.h"
#include "session/state_priv.h"

/* Of one name. */
struct told_value {
	uint32_t at;                    /* in "values" */
	char what;
	bool exists, has_source, is_of_session;
	bool is_used;
};

struct answer {
	const struct touched *touched;
	const struct params *start;
	const char *login;
	struct wire_in in;
	struct told_value *told;        /* in the order of touched_each() */
	uint32_t read, written;
	struct buf values;
	struct name_index starts;       /* of "start", from its first use on */
	const char **start_values;
	struct params now, there;
	bool ok;
};

/* --- the row ----------------------------------------------------------------------------- */

static bool add_value(struct answer *a, const uint8_t *bytes, size_t len)
{
	bool is_hex = a->touched->recodes;
	uint8_t *to;

	if (is_hex && len % 2 != 0)
		return false;
	len = is_hex ? len / 2 : len;
	to = len < PARAMS_BYTES_MAX ? buf_reserve(&a->values, len + 1) : NULL;
	if (to == NULL || (is_hex && !hex_read(to, (const char *)bytes, len)))
		return false;
	if (!is_hex)
		memcpy(to, bytes, len);
	to[len] = '\0';
	buf_commit(&a->values, len + 1);
	return memchr(to, '\0', len) == NULL;
}

/* The next column; NULL: it is null, or there is none. */
static const uint8_t *take_column(struct answer *a, uint32_t *len)
{
	*len = wire_u32(&a->in);
	return *len == UINT32_MAX || !wire_ok(&a->in) ? NULL : wire_bytes(&a->in, *len);
}

static void take_answer(const char *name, char what, void *arg)
{
	struct answer *a = arg;
	struct told_value *told = &a->told[a->read++];
	const uint8_t *bytes;
	uint32_t len;

	(void)name;
	bytes = take_column(a, &len);
	*told = (struct told_value){ .at = (uint32_t)buf_len(&a->values),
		.what = what,
		.exists = bytes != NULL };
	a->ok = a->ok && wire_ok(&a->in) && (bytes == NULL || add_value(a, bytes, len));
	if (what != WAS_BOTH || a->touched->has_errors)
		return;
	bytes = take_column(a, &len);
	told->has_source = bytes != NULL && len > 0;
	told->is_of_session = told->has_source && len == strlen("session") &&
		memcmp(bytes, "session", len) == 0;
}

/* --- what it means ------------------------------------------------------------------------ */

/* Does it stand as somebody set it?  old: what it was before, or NULL. */
static bool is_set(const struct answer *a, const struct told_value *told, const char *name,
	const char *value, const char *old)
{
	if (!told->exists)
		return false;
	switch (told->what) {
	case WAS_SET:
		return true;
	case WAS_RESET:
		/* The old value all the same: rolled back. */
		return old != NULL && strcmp(old, value) == 0;
	default:
		if (a->touched->has_errors && strchr(name, '.') == NULL)
			return true;
		/* A variable of somebody's own is in no view, and empty when it was reset. */
		return told->has_source ? told->is_of_session : value[0] != '\0';
	}
}

/* What a new session has without anybody's SET. */
static bool is_nothing(const struct answer *a, const char *name, const char *value)
{
	if (strcasecmp(name, "role") == 0)
		return strcmp(value, "none") == 0;
	if (strcasecmp(name, "session_authorization") == 0)
		return strcmp(value, a->login) == 0;
	/* What is left of a variable of somebody's own that was reset. */
	return value[0] == '\0' && strchr(name, '.') != NULL;
}

static bool index_start(struct answer *a)
{
	const char *name, *value;
	uint32_t count = 0;
	size_t pos = 0;

	while (params_next(a->start, &pos, &name, &value))
		count++;
	a->start_values = calloc(count + 1, sizeof(*a->start_values));
	if (a->start_values == NULL)
		return false;
	for (count = 0, pos = 0; params_next(a->start, &pos, &name, &value); count++) {
		a->start_values[count] = value;
		if (!name_index_add(&a->starts, name))
			return false;
	}
	return true;
}

/* What RESET goes back to, or NULL. */
static const char *start_value(struct answer *a, const char *name)
{
	uint32_t number;

	if (a->start_values == NULL)
		a->ok = index_start(a) && a->ok;
	number = name_index_find(&a->starts, name);
	return number == NAME_INDEX_NONE ? NULL : a->start_values[number];
}

static void put(struct answer *a, struct params *to, const char *name, const char *value)
{
	a->ok = a->ok && params_add(to, name, value);
}

static void write_one(struct answer *a, struct told_value *told, const char *name,
	const char *old)
{
	const char *value = NULL;

	told->is_used = true;
	if (told->exists)
		value = (const char *)buf_data(&a->values) + told->at;
	if (!is_set(a, told, name, value, old)) {
		/* It had it no more, and is empty: the router would have set it again.  Or it
		 * never was on this server, where nothing has run that names it. */
		if (old == NULL && (value == NULL ? strchr(name, '.') != NULL : value[0] == '\0'))
			return;
		value = start_value(a, name);
		if (value != NULL)
			put(a, &a->now, name, value);
	} else if (!is_nothing(a, name, value)) {
		put(a, &a->now, name, value);
		put(a, &a->there, name, value);
	}
}

/* It was not there before. */
static void write_new(const char *name, char what, void *arg)
{
	struct answer *a = arg;
	struct told_value *told = &a->told[a->written++];

	(void)what;
	if (!told->is_used)
		write_one(a, told, name, NULL);
}

static void write_all(struct answer *a, const struct params *before)
{
	const struct touched *t = a->touched;
	const char *name, *value;
	uint32_t others = t->count;
	size_t pos = 0;

	while (params_next(before, &pos, &name, &value)) {
		uint32_t number = name_index_find(&t->index, name);

		if (number == NAME_INDEX_NONE && t->all)
			number = others++;
		if (number != NAME_INDEX_NONE) {
			write_one(a, &a->told[number], name, value);
			continue;
		}
		put(a, &a->now, name, value);
		put(a, &a->there, name, value);
	}
	touched_each(t, before, write_new, a);
}

bool touched_answer(const struct touched *t, const struct params *start, const char *login,
	const struct frame *row, struct params *now, struct params *there)
{
	struct answer a = { .touched = t, .start = start, .login = login };

	params_init(&a.now);
	params_init(&a.there);
	buf_init(&a.values, 0);
	wire_init(&a.in, row->body, row->available);
	a.told = calloc(touched_count(t, now) + 1, sizeof(*a.told));
	a.ok = a.told != NULL && wire_u16(&a.in) == touched_columns(t, now);
	if (a.ok)
		touched_each(t, now, take_answer, &a);
	a.ok = a.ok && wire_done(&a.in);
	if (a.ok)
		write_all(&a, now);
	if (a.ok) {
		params_finish(now);
		params_finish(there);
		*now = a.now;
		*there = a.there;
		params_seal(now);
		params_seal(there);
	} else {
		params_finish(&a.now);
		params_finish(&a.there);
	}
	name_index_finish(&a.starts);
	buf_finish(&a.values);
	free(a.start_values);
	free(a.told);
	return a.ok;
}
