/* SPDX-License-Identifier: ISC */
#include "session/params.h"

#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/text.h"
#include "pg/msg_out.h"

/* A SELECT has at most 1664 columns. */
enum { PARAMS_PER_SELECT = 1000 };

void params_init(struct params *p)
{
	buf_init(&p->text, PARAMS_BYTES_MAX);
	p->key = 0;
	p->plan_key = 0;
	p->reading_key = 0;
}

void params_finish(struct params *p)
{
	buf_finish(&p->text);
	p->key = 0;
}

bool params_next(const struct params *p, size_t *pos, const char **name,
	const char **value)
{
	const char *text = (const char *)buf_data(&p->text);

	if (*pos >= buf_len(&p->text))
		return false;
	*name = text + *pos;
	*pos += strlen(*name) + 1;
	*value = text + *pos;
	*pos += strlen(*value) + 1;
	return true;
}

const char *params_get(const struct params *p, const char *wanted)
{
	const char *name, *value;
	size_t pos = 0;

	while (params_next(p, &pos, &name, &value)) {
		if (strcasecmp(name, wanted) == 0)
			return value;
	}
	return NULL;
}

/* Both or nothing. */
bool params_add(struct params *p, const char *name, const char *value)
{
	size_t room = PARAMS_BYTES_MAX - buf_len(&p->text);
	size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1;

	if (name_size > room || value_size > room - name_size ||
		buf_reserve(&p->text, name_size + value_size) == NULL)
		return false;
	buf_add_cstr(&p->text, name);
	buf_add_cstr(&p->text, value);
	return true;
}

bool params_set(struct params *p, const char *name, const char *value)
{
	const char *old = params_get(p, name), *each, *its;
	struct params rest;
	size_t pos = 0;
	bool ok = true;

	if (old == NULL)
		return params_add(p, name, value);
	if (strcmp(old, value) == 0)
		return true;
	params_init(&rest);
	while (ok && params_next(p, &pos, &each, &its)) {
		bool same = strcasecmp(each, name) == 0;

		ok = params_add(&rest, each, same ? value : its);
	}
	if (!ok) {
		params_finish(&rest);
		return false;
	}
	rest.key = p->key;
	params_finish(p);
	*p = rest;
	return true;
}

bool params_copy(struct params *to, const struct params *from)
{
	params_finish(to);
	params_init(to);
	buf_add(&to->text, buf_data(&from->text), buf_len(&from->text));
	to->key = from->key;
	to->plan_key = from->plan_key;
	to->reading_key = from->reading_key;
	return buf_ok(&to->text);
}

void params_remove(struct params *p, const char *name)
{
	const char *each, *its;
	struct params rest;
	size_t pos = 0;
	bool ok = true;

	if (params_get(p, name) == NULL)
		return;
	params_init(&rest);
	while (ok && params_next(p, &pos, &each, &its)) {
		if (strcasecmp(each, name) != 0)
			ok = params_add(&rest, each, its);
	}
	/* Without memory it stays: it is applied again, and not lost. */
	if (!ok) {
		params_finish(&rest);
		return;
	}
	rest.key = p->key;
	params_finish(p);
	*p = rest;
}

static bool is_one_of(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if ((name[0] | 0x20) == (names[i][0] | 0x20) && strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

bool params_reading_is_told(const char *name)
{
	static const char *const names[] = { "client_encoding", "standard_conforming_strings",
		"DateStyle", "IntervalStyle", "TimeZone" };

	return is_one_of(names, COUNT_OF(names), name);
}

/* What a text becomes when it is read hangs on these, constants and operators; and on the
 * last three what functions of constants become, when they are taken for constants. */
bool params_shape_reading(const char *name)
{
	static const char *const untold[] = { "timezone_abbreviations", "transform_null_equals",
		"array_nulls", "xmloption", "lc_monetary", "backslash_quote", "bytea_output",
		"extra_float_digits", "quote_all_identifiers" };

	return params_reading_is_told(name) || is_one_of(untold, COUNT_OF(untold), name);
}

/* ... and on these, but PostgreSQL looks again before it uses what it has read. */
static bool shapes_plans(const char *name)
{
	static const char *const names[] = { "search_path", "role", "session_authorization" };

	return params_shape_reading(name) || is_one_of(names, COUNT_OF(names), name);
}

static void seal_plan_key(struct params *p)
{
	const char *name, *value;
	size_t pos = 0;
	uint64_t one;

	p->plan_key = 0;
	p->reading_key = 0;
	while (params_next(p, &pos, &name, &value)) {
		if (!shapes_plans(name))
			continue;
		/* In whatever order they came. */
		one = hash_mix(hash_bytes(name, strlen(name)), hash_bytes(value, strlen(value)));
		p->plan_key += one;
		p->reading_key += params_shape_reading(name) ? one : 0;
	}
}

void params_seal(struct params *p)
{
	seal_plan_key(p);
	params_seal_text(p);
}

void params_seal_text(struct params *p)
{
	p->key = 0;
	if (buf_len(&p->text) == 0)
		return;
	p->key = hash_bytes(buf_data(&p->text), buf_len(&p->text));
	if (p->key == 0)
		p->key = 1;
}

bool params_are_same(const struct params *a, const struct params *b)
{
	size_t len = buf_len(&a->text);

	return len == buf_len(&b->text) &&
		(len == 0 || memcmp(buf_data(&a->text), buf_data(&b->text), len) == 0);
}

uint64_t params_key_without(const struct params *p, const char *without)
{
	const char *name, *value;
	struct params rest;
	uint64_t key;
	size_t pos = 0;

	params_init(&rest);
	while (params_next(p, &pos, &name, &value)) {
		if (strcasecmp(name, without) != 0 && !params_add(&rest, name, value))
			break;
	}
	params_seal(&rest);
	key = rest.key;
	params_finish(&rest);
	return key;
}

/*
 * E'' is understood alike whatever standard_conforming_strings says, and what is
 * not ASCII is written so that client_encoding does not matter: PostgreSQL takes
 * the bytes of a startup packet as they are, too.
 */
void params_add_literal(struct buf *out, const char *text)
{
	buf_add_str(out, "E'");
	for (const char *c = text; *c != '\0'; c++) {
		uint8_t byte = (uint8_t)*c;

		if (byte >= 0x80) {
			char hex[] = "\\x..";

			hex_write(hex + 2, &byte, 1);
			buf_add(out, hex, 4);
			continue;
		}
		if (byte == '\'' || byte == '\\')
			buf_add(out, c, 1);
		buf_add(out, c, 1);
	}
	buf_add_str(out, "'");
}

/* Settings, then the session's user, then the role: each may need the rights that the
 * next takes away; or gives, with role_first. */
static int pass_of(const char *name, bool role_first)
{
	if (strcasecmp(name, "session_authorization") == 0)
		return 1;
	if (strcasecmp(name, "role") == 0)
		return 2;
	return role_first ? 3 : 0;
}

static bool next_of_pass(const struct params *p, bool role_first, int *pass, size_t *pos,
	const char **name, const char **value)
{
	for (; *pass < 4; ++*pass, *pos = 0) {
		while (params_next(p, pos, name, value)) {
			if (pass_of(*name, role_first) == *pass)
				return true;
		}
	}
	return false;
}

void params_write_replay(const struct params *p, bool role_first, const char *reset,
	struct buf *out)
{
	const char *name, *value;
	uint32_t count = 0;
	struct buf sql;
	size_t pos = 0;

	buf_init(&sql, 0);
	if (reset != NULL) {
		buf_add_str(&sql, reset);
		buf_add_str(&sql, "; ");
	}
	for (int pass = 0; next_of_pass(p, role_first, &pass, &pos, &name, &value);) {
		if (count % PARAMS_PER_SELECT != 0)
			buf_add_str(&sql, ", ");
		else
			buf_add_str(&sql, count == 0 ? "SELECT " : "; SELECT ");
		count++;
		buf_add_str(&sql, "pg_catalog.set_config(");
		params_add_literal(&sql, name);
		buf_add_str(&sql, ", ");
		params_add_literal(&sql, value);
		/* The value itself may not exist in the client's encoding. */
		buf_add_str(&sql, ", false) IS NULL");
	}
	buf_add_cstr(&sql, "");
	if (buf_ok(&sql))
		msg_out_query(out, (const char *)buf_data(&sql));
	else
		out->failed = true;
	buf_finish(&sql);
}
