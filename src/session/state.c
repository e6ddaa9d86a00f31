/* SPDX-License-Identifier: ISC */
#include "session/state.h"

#include <string.h>
#include <strings.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/state_priv.h"
#include "session/state_reading.h"
#include "sql/statement.h"
#include "sql/statement_may.h"

void touched_init(struct touched *t)
{
	*t = (struct touched){ .count = 0 };
	buf_init(&t->names, 0);
	buf_init(&t->places, 0);
}

void touched_finish(struct touched *t)
{
	buf_finish(&t->names);
	buf_finish(&t->places);
	name_index_finish(&t->index);
	touched_init(t);
}

bool touched_may(const char *text, size_t len)
{
	return (statement_may(text, len) & STATEMENT_MAY_SET) != 0;
}

/* Its entry, what was done and the name. */
static char *entry_at(const struct touched *t, uint32_t number)
{
	const uint32_t *places = (const uint32_t *)(const void *)buf_data(&t->places);

	return (char *)buf_data(&t->names) + places[number];
}

/* ... or NULL. */
static char *find_name(const struct touched *t, const char *name)
{
	uint32_t number = name_index_find(&t->index, name);

	return number == NAME_INDEX_NONE ? NULL : entry_at(t, number);
}

/* False: there are too many, or there is no memory. */
static bool add_name(struct touched *t, const char *name, char what)
{
	uint32_t place = (uint32_t)buf_len(&t->names);

	if (t->count == STATE_NAMES_MAX)
		return false;
	t->has_sets = t->has_sets || what == WAS_SET;
	buf_add_u8(&t->names, (uint8_t)what);
	buf_add_cstr(&t->names, name);
	buf_add(&t->places, &place, sizeof(place));
	if (!buf_ok(&t->names) || !buf_ok(&t->places) || !name_index_add(&t->index, name)) {
		/* They are not of one length any more: there is no next one. */
		t->names.failed = true;
		return false;
	}
	t->count++;
	return true;
}

bool touched_is_of_transaction(const char *name)
{
	static const char *const names[] = { "transaction_isolation", "transaction_read_only",
		"transaction_deferrable" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Names that PostgreSQL had before (map_old_guc_names[] in guc.c). */
static const char *name_now(const char *name)
{
	return strcasecmp(name, "sort_mem") == 0 ? "work_mem" :
		strcasecmp(name, "vacuum_mem") == 0 ? "maintenance_work_mem" :
						       name;
}

void touched_add(struct touched *t, const char *name, char what)
{
	char *old;

	name = name_now(name);
	t->changes++;
	if (name[0] == '\0') {
		t->unknown = true;
		return;
	}
	if (strcasecmp(name, "seed") == 0) {
		t->closes = true;
		return;
	}
	if (touched_is_of_transaction(name))
		return;
	t->has_resets = t->has_resets || what == WAS_RESET;
	old = find_name(t, name);
	if (old != NULL) {
		*old = *old == what ? what : WAS_BOTH;
		return;
	}
	if (!add_name(t, name, what))
		t->unknown = t->is_too_much = true;
}

void touched_reset_all(struct touched *t)
{
	char *at = (char *)buf_data(&t->names);

	t->changes++;
	t->all = true;
	t->has_resets = true;
	/* It may stand in a text thousands of times. */
	if (!t->has_sets)
		return;
	t->has_sets = false;
	for (uint32_t i = 0; i < t->count; i++) {
		*at = *at == WAS_RESET ? WAS_RESET : WAS_BOTH;
		at += strlen(at) + 1;
	}
}

enum touched_as touched_as(const struct touched *t, const char *name)
{
	const char *entry = find_name(t, name_now(name));

	if (entry == NULL && (t->of_view || t->resets_any))
		return TOUCHED_BOTH;
	if (entry == NULL)
		return t->all ? TOUCHED_RESET : TOUCHED_NOT;
	switch (*entry) {
	case WAS_SET:
		return TOUCHED_SET;
	case WAS_RESET:
		return TOUCHED_RESET;
	default:
		return TOUCHED_BOTH;
	}
}

void touched_set_again(struct touched *t, const char *name)
{
	touched_add(t, name, WAS_SET);
}

void touched_bound_null(struct touched *t)
{
	char *at = (char *)buf_data(&t->names);

	if (!t->awaits_values)
		return;
	t->changes++;
	t->has_resets = true;
	t->resets_local = t->resets_local || t->awaits_local;
	t->resets_any = t->resets_any || t->unknown;
	/* A text may do so thousands of times. */
	if (!t->has_sets)
		return;
	t->has_sets = false;
	for (uint32_t i = 0; i < t->count; i++) {
		*at = *at == WAS_SET ? WAS_BOTH : *at;
		at += strlen(at) + 1;
	}
}

/* Whoever becomes somebody else has no role any more, also if that is undone
 * (SetSessionAuthorization() in miscinit.c). */
static void add_role(struct touched *t, const struct statement *s)
{
	if ((s->kind == SQL_SET || s->kind == SQL_RESET) &&
		strcmp(s->name, "session_authorization") == 0)
		touched_add(t, "role", WAS_SET);
}

static void add_statement(struct touched *t, const struct statement *s)
{
	add_role(t, s);
	t->cuts = t->cuts || state_reading_cuts_by(s);
	switch ((int)s->kind) {
	case SQL_SET:
		if ((s->flags & SQL_LOCAL) == 0)
			touched_add(t, s->name, s->value == SQL_VALUE_DEFAULT ? WAS_RESET : WAS_SET);
		break;
	case SQL_RESET:
		touched_add(t, s->name, WAS_RESET);
		break;
	case SQL_SET_CHARACTERISTICS:
		touched_add(t, "default_transaction_isolation", WAS_SET);
		touched_add(t, "default_transaction_read_only", WAS_SET);
		touched_add(t, "default_transaction_deferrable", WAS_SET);
		break;
	case SQL_RESET_ALL:
	case SQL_DISCARD_ALL:
		touched_reset_all(t);
		break;
	case SQL_LOAD:
		t->closes = true;
		break;
	case SQL_UNKNOWN:
		t->unknown = true;
		if (s->value == SQL_VALUE_UNREAD && (s->flags & SQL_LOCAL) == 0)
			t->is_lost = true;
		break;
	default:
		break;
	}
	if ((s->flags & SQL_CALLS_SET_CONFIG) != 0)
		touched_add_calls(t, s);
	/* What stands in front of it in the text, perhaps. */
	if (touched_gives_null(s))
		touched_bound_null(t);
	if ((s->flags & SQL_CALLS_SETSEED) != 0)
		t->closes = true;
	/* A value of NULL resets (set_config_by_name()). */
	if ((s->flags & SQL_UPDATES_SETTINGS) != 0)
		t->of_view = t->has_resets = true;
	if ((s->flags & SQL_UNSURE) != 0)
		t->unknown = true;
	if ((s->flags & (SQL_UPDATES_SETTINGS | SQL_UNSURE)) != 0 || s->kind == SQL_UNKNOWN)
		t->changes++;
}

static bool is_tagged_set(const struct statement *s)
{
	return s->kind == SQL_SET || s->kind == SQL_SET_CHARACTERISTICS ||
		s->kind == SQL_SET_TRANSACTION || s->kind == SQL_RESET ||
		s->kind == SQL_RESET_ALL;
}

enum touched_reading touched_text(struct touched *t, const char *text, size_t len,
	unsigned flags)
{
	enum touched_reading reading = READING_STAYS, one;
	struct statement_reader reader;
	struct statement s;

	bool was_unknown = t->unknown;

	t->seen = true;
	t->cuts = t->runs = t->unknown = t->is_set = false;
	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		add_statement(t, &s);
		t->is_set = is_tagged_set(&s);
		one = state_reading_of(&s);
		if (one > reading)
			reading = one;
		t->runs = t->runs || (reading != READING_STAYS && state_reading_runs(&s));
	}
	if (reader.lexer.unsure) {
		t->unknown = true;
		t->changes++;
	}
	t->runs = t->runs || t->unknown;
	t->cuts = t->cuts || t->unknown;
	t->unknown = t->unknown || was_unknown;
	return reader.lexer.unsure ? READING_IS_UNSURE : reading;
}

void touched_bound(struct touched *t)
{
	if (t->is_set)
		t->bound_sets++;
	else
		t->bound_calls++;
}

void touched_ran(struct touched *t, bool is_set)
{
	uint32_t *bound = is_set ? &t->bound_sets : &t->bound_calls;

	*bound -= *bound > 0;
}

/* --- asking ------------------------------------------------------------------------------ */

void touched_each(const struct touched *t, const struct params *now,
	void (*f)(const char *name, char what, void *), void *arg)
{
	const char *name, *value, *entry;
	size_t pos = 0;

	for (uint32_t i = 0; i < t->count; i++) {
		entry = entry_at(t, i);
		f(entry + 1, *entry, arg);
	}
	while (t->all && params_next(now, &pos, &name, &value)) {
		if (find_name(t, name) == NULL)
			f(name, WAS_RESET, arg);
	}
}

static void count_name(const char *name, char what, void *arg)
{
	uint32_t *count = arg;

	(void)name;
	*count += what == WAS_BOTH ? 2 : 1;
}

static void count_one(const char *name, char what, void *arg)
{
	uint32_t *count = arg;

	(void)name;
	(void)what;
	*count += 1;
}

uint32_t touched_count(const struct touched *t, const struct params *now)
{
	uint32_t count = 0;

	touched_each(t, now, count_one, &count);
	return count;
}

uint32_t touched_columns(const struct touched *t, const struct params *now)
{
	uint32_t count = 0;

	touched_each(t, now, t->has_errors ? count_one : count_name, &count);
	return count;
}

bool touched_has_question(const struct touched *t, const struct params *now)
{
	return t->of_view || touched_columns(t, now) > 0;
}

/* These two are in no view, as is a variable of somebody's own. */
static bool is_of_user(const char *name)
{
	return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

struct question {
	struct buf *sql;
	bool recodes;
	bool has_begun;
};

/* The view takes a millisecond each time, and there may be hundreds of names. */
#define VIEW                                                                             \
	"WITH pgtandem AS MATERIALIZED (SELECT pg_catalog.lower(name) AS of, source "    \
	"FROM pg_catalog.pg_settings) "

static void ask_view(struct buf *sql, const char *name)
{
	buf_add_str(sql, " FROM pgtandem WHERE of OPERATOR(pg_catalog.=) pg_catalog.lower(");
	params_add_literal(sql, name);
	buf_add_str(sql, "))");
}

static void begin_column(struct question *q)
{
	buf_add_str(q->sql, q->has_begun ? ", " : "SELECT ");
	q->has_begun = true;
}

/* In the client's encoding it may not exist, and would not be what is set again, which is
 * not recoded (params_add_literal()). */
static void ask_value(struct question *q, const char *name)
{
	if (q->recodes)
		buf_add_str(q->sql, "pg_catalog.encode(pg_catalog.convert_to(");
	buf_add_str(q->sql, "pg_catalog.current_setting(");
	params_add_literal(q->sql, name);
	buf_add_str(q->sql, ", true)");
	if (q->recodes)
		buf_add_str(q->sql, ", pg_catalog.getdatabaseencoding()), 'hex')");
}

/* NULL when nobody has set it: what was refused is neither kept nor looked at, which may be
 * refused, too. */
static void ask_if_set(const char *name, char what, void *arg)
{
	struct question *q = arg;

	(void)what;
	begin_column(q);
	buf_add_str(q->sql, "(SELECT CASE WHEN pg_catalog.max(source) "
			     "OPERATOR(pg_catalog.=) 'session'");
	if (is_of_user(name) || strchr(name, '.') != NULL)
		buf_add_str(q->sql, " OR pg_catalog.count(*) OPERATOR(pg_catalog.=) 0");
	buf_add_str(q->sql, " THEN ");
	ask_value(q, name);
	buf_add_str(q->sql, " END");
	ask_view(q->sql, name);
}

static void ask_name(const char *name, char what, void *arg)
{
	struct question *q = arg;

	begin_column(q);
	ask_value(q, name);
	if (what != WAS_BOTH)
		return;
	buf_add_str(q->sql, ", (SELECT source");
	ask_view(q->sql, name);
}

/* Role, session_authorization and variables of somebody's own are not in the view. */
#define NAMES                                                                            \
	"SELECT pg_catalog.string_agg(name, ',') FROM pg_catalog.pg_settings WHERE "     \
	"source OPERATOR(pg_catalog.=) 'session'"

void touched_ask(const struct touched *t, const struct params *now, struct buf *sql)
{
	struct question q = { .sql = sql, .recodes = t->recodes };

	if (t->of_view) {
		buf_add_cstr(sql, NAMES);
		return;
	}
	/* Its column beside the value. */
	if (t->has_errors || touched_columns(t, now) > touched_count(t, now))
		buf_add_str(sql, VIEW);
	touched_each(t, now, t->has_errors ? ask_if_set : ask_name, &q);
	buf_add_cstr(sql, "");
}

/* --- the answer ---------------------------------------------------------------------------- */

static void add_names(struct touched *t, const char *at, size_t len)
{
	char name[STATEMENT_NAME_SIZE];

	while (len > 0) {
		const char *comma = memchr(at, ',', len);
		size_t size = comma == NULL ? len : (size_t)(comma - at);

		if (size >= sizeof(name) || memchr(at, '\0', size) != NULL) {
			t->unknown = true;
			return;
		}
		memcpy(name, at, size);
		name[size] = '\0';
		touched_add(t, name, WAS_BOTH);
		size += comma == NULL ? 0 : 1;
		at += size;
		len -= size;
	}
}

bool touched_names(struct touched *t, const struct params *now, const struct frame *row)
{
	const char *name, *value;
	const uint8_t *bytes;
	struct wire_in in;
	uint32_t len;
	size_t pos = 0;

	wire_init(&in, row->body, row->available);
	if (wire_u16(&in) != 1)
		return false;
	len = wire_u32(&in);
	bytes = len == UINT32_MAX ? NULL : wire_bytes(&in, len);
	if (!wire_done(&in))
		return false;
	/* And those that were reset. */
	while (params_next(now, &pos, &name, &value)) {
		if (!is_of_user(name))
			touched_add(t, name, WAS_BOTH);
	}
	if (bytes != NULL)
		add_names(t, (const char *)bytes, len);
	t->of_view = false;
	t->has_more = true;
	return true;
}
