/* SPDX-License-Identifier: ISC */
#include "session/state.h"

#include <string.h>
#include <strings.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/state_reading.h"
#include "sql/statement.h"
#include "sql/statement_may.h"

void touched_init(struct touched *t)
{
	*t = (struct touched){ .count = 0 };
	buf_init(&t->names, 0);
}

void touched_finish(struct touched *t)
{
	buf_finish(&t->names);
	touched_init(t);
}

bool touched_may(const char *text, size_t len)
{
	return (statement_may(text, len) & STATEMENT_MAY_SET) != 0;
}

/* What was done to a setting in this lease.  What it is after both only the server can
 * tell: either may have been rolled back. */
enum { WAS_SET = 's', WAS_RESET = 'r', WAS_BOTH = 'b' };

/* Its entry, or NULL. */
static char *find_name(const struct touched *t, const char *name)
{
	char *at = (char *)buf_data(&t->names);

	for (uint32_t i = 0; i < t->count; i++) {
		if (strcasecmp(at + 1, name) == 0)
			return at;
		at += strlen(at) + 1;
	}
	return NULL;
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

static void add(struct touched *t, const char *name, char what)
{
	char *old;

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
	if (t->count < STATE_NAMES_MAX) {
		buf_add_u8(&t->names, (uint8_t)what);
		buf_add_cstr(&t->names, name);
	}
	if (buf_ok(&t->names) && t->count < STATE_NAMES_MAX)
		t->count++;
	else
		t->unknown = t->is_too_much = true;
}

void touched_reset_all(struct touched *t)
{
	char *at = (char *)buf_data(&t->names);

	t->all = true;
	t->has_resets = true;
	for (uint32_t i = 0; i < t->count; i++) {
		*at = *at == WAS_RESET ? WAS_RESET : WAS_BOTH;
		at += strlen(at) + 1;
	}
}

enum touched_as touched_as(const struct touched *t, const char *name)
{
	const char *entry = find_name(t, name);

	if (entry == NULL)
		return t->all ? TOUCHED_RESET : t->of_view ? TOUCHED_BOTH : TOUCHED_NOT;
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
	add(t, name, WAS_SET);
}

void touched_called(struct touched *t, const char *name)
{
	add(t, name, strchr(name, '.') != NULL ? WAS_SET : WAS_BOTH);
}

/* A parameter as text; false: it is not known.  *is_null: it is NULL. */
static bool take_param(const struct touched *t, uint32_t number, char *to, size_t size,
	bool *is_null)
{
	const uint8_t *bytes = NULL;
	struct wire_in in;
	uint32_t count, len = 0;

	wire_init(&in, t->bind, t->bind_len);
	count = wire_u16(&in);
	(void)wire_bytes(&in, 2 * (size_t)count);
	count = wire_u16(&in);
	if (!wire_ok(&in) || number == 0 || number > count)
		return false;
	for (uint32_t i = 0; i < number; i++) {
		len = wire_u32(&in);
		bytes = len == UINT32_MAX ? NULL : wire_bytes(&in, len);
	}
	*is_null = len == UINT32_MAX;
	if (!wire_ok(&in) || *is_null)
		return wire_ok(&in);
	if (len >= size || memchr(bytes, '\0', len) != NULL)
		return false;
	memcpy(to, bytes, len);
	to[len] = '\0';
	return true;
}

/* If it was local it is to be as before, which the source tells; a variable of somebody's
 * own is empty then. */
static char set_or_local(const struct sql_call_argument *is_local, const char *name)
{
	return is_local->kind == SQL_ARGUMENT_BOOL || strchr(name, '.') != NULL ? WAS_SET :
										  WAS_BOTH;
}

static void add_call(struct touched *t, const struct sql_call *call, unsigned flags)
{
	const struct sql_call_argument *name = &call->arguments[0];
	const struct sql_call_argument *is_local = &call->arguments[2];
	bool is_kept = is_local->kind != SQL_ARGUMENT_BOOL || !is_local->is_true;
	bool is_null = name->kind == SQL_ARGUMENT_NULL, is_known = is_null;
	char text[STATEMENT_NAME_SIZE];

	if (name->kind == SQL_ARGUMENT_PARAM)
		is_known = t->bind != NULL &&
			take_param(t, name->param, text, sizeof(text), &is_null);
	else if (!is_null)
		is_known = state_reading_says(name, flags, text);
	if (is_known && is_null)
		return;
	t->cuts = t->cuts || !is_known || state_reading_cuts(text);
	if (is_kept && is_known)
		add(t, text, set_or_local(is_local, text));
	else if (is_kept)
		t->unknown = t->is_lost = true;
}

static void add_calls(struct touched *t, const struct statement *s)
{
	struct statement_calls calls;
	struct sql_call call;
	bool any = false;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		add_call(t, &call, s->lexer_flags);
		any = true;
	}
	if (!any)
		t->unknown = true;
}

/* Whoever becomes somebody else has no role any more, also if that is undone
 * (SetSessionAuthorization() in miscinit.c). */
static void add_role(struct touched *t, const struct statement *s)
{
	if ((s->kind == SQL_SET || s->kind == SQL_RESET) &&
		strcmp(s->name, "session_authorization") == 0)
		add(t, "role", WAS_SET);
}

static void add_statement(struct touched *t, const struct statement *s)
{
	add_role(t, s);
	t->cuts = t->cuts || state_reading_cuts_by(s);
	switch ((int)s->kind) {
	case SQL_SET:
		if ((s->flags & SQL_LOCAL) == 0)
			add(t, s->name, s->value == SQL_VALUE_DEFAULT ? WAS_RESET : WAS_SET);
		break;
	case SQL_RESET:
		add(t, s->name, WAS_RESET);
		break;
	case SQL_SET_CHARACTERISTICS:
		add(t, "default_transaction_isolation", WAS_SET);
		add(t, "default_transaction_read_only", WAS_SET);
		add(t, "default_transaction_deferrable", WAS_SET);
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
		break;
	default:
		break;
	}
	if ((s->flags & SQL_CALLS_SET_CONFIG) != 0)
		add_calls(t, s);
	if ((s->flags & SQL_CALLS_SETSEED) != 0)
		t->closes = true;
	/* A value of NULL resets (set_config_by_name()). */
	if ((s->flags & SQL_UPDATES_SETTINGS) != 0)
		t->of_view = t->has_resets = true;
	if ((s->flags & SQL_UNSURE) != 0)
		t->unknown = true;
}

enum touched_reading touched_text(struct touched *t, const char *text, size_t len,
	unsigned flags)
{
	enum touched_reading reading = READING_STAYS, one;
	struct statement_reader reader;
	struct statement s;

	bool was_unknown = t->unknown;

	t->seen = true;
	t->cuts = t->unknown = false;
	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		add_statement(t, &s);
		one = state_reading_of(&s);
		if (one > reading)
			reading = one;
	}
	if (reader.lexer.unsure)
		t->unknown = true;
	t->cuts = t->cuts || t->unknown;
	t->unknown = t->unknown || was_unknown;
	return reader.lexer.unsure ? READING_IS_UNSURE : reading;
}

/* --- asking ------------------------------------------------------------------------------ */

/* Calls f for each name that is to be asked for: those that were touched, and with "all"
 * those that the client has. */
static void each_name(const struct touched *t, const struct params *now,
	void (*f)(const char *name, char what, void *), void *arg)
{
	const char *at = (const char *)buf_data(&t->names), *name, *value;
	size_t pos = 0;

	for (uint32_t i = 0; i < t->count; i++) {
		f(at + 1, *at, arg);
		at += strlen(at) + 1;
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

static uint32_t count_names(const struct touched *t, const struct params *now)
{
	uint32_t count = 0;

	each_name(t, now, t->has_errors ? count_one : count_name, &count);
	return count;
}

bool touched_has_question(const struct touched *t, const struct params *now)
{
	return t->of_view || count_names(t, now) > 0;
}

/* These two are in no view, as is a variable of somebody's own. */
static bool is_of_user(const char *name)
{
	return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

struct question {
	struct buf *sql;
	bool recodes;
};

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
	buf_add_str(q->sql, buf_len(q->sql) == 0 ? "SELECT " : ", ");
	buf_add_str(q->sql, "(SELECT CASE WHEN pg_catalog.max(source) "
			     "OPERATOR(pg_catalog.=) 'session'");
	if (is_of_user(name) || strchr(name, '.') != NULL)
		buf_add_str(q->sql, " OR pg_catalog.count(*) OPERATOR(pg_catalog.=) 0");
	buf_add_str(q->sql, " THEN ");
	ask_value(q, name);
	buf_add_str(q->sql, " END FROM pg_catalog.pg_settings WHERE "
			     "pg_catalog.lower(name) OPERATOR(pg_catalog.=) pg_catalog.lower(");
	params_add_literal(q->sql, name);
	buf_add_str(q->sql, "))");
}

static void ask_name(const char *name, char what, void *arg)
{
	struct question *q = arg;

	buf_add_str(q->sql, buf_len(q->sql) == 0 ? "SELECT " : ", ");
	ask_value(q, name);
	if (what != WAS_BOTH)
		return;
	/* This view is not quick. */
	buf_add_str(q->sql, ", (SELECT source FROM pg_catalog.pg_settings "
			     "WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) "
			     "pg_catalog.lower(");
	params_add_literal(q->sql, name);
	buf_add_str(q->sql, "))");
}

/* Role, session_authorization and variables of somebody's own are not in the view. */
#define NAMES                                                                            \
	"SELECT pg_catalog.string_agg(name, ',') FROM pg_catalog.pg_settings WHERE "     \
	"source OPERATOR(pg_catalog.=) 'session'"

void touched_ask(const struct touched *t, const struct params *now, struct buf *sql)
{
	struct question q = { .sql = sql, .recodes = t->recodes };

	if (t->of_view)
		buf_add_str(sql, NAMES);
	else
		each_name(t, now, t->has_errors ? ask_if_set : ask_name, &q);
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
		add(t, name, WAS_BOTH);
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
			add(t, name, WAS_BOTH);
	}
	if (bytes != NULL)
		add_names(t, (const char *)bytes, len);
	t->of_view = false;
	t->has_more = true;
	return true;
}

struct answer {
	const struct params *start;
	const struct params *before;
	const char *login;
	struct wire_in in;
	bool is_one;            /* no sources beside the values */
	bool recodes;           /* values are in hex */
	struct params *now;
	struct params *there;
	bool ok;
};

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

static void was_set(struct answer *a, const char *name, const char *value)
{
	if (is_nothing(a, name, value)) {
		params_remove(a->there, name);
		params_remove(a->now, name);
		return;
	}
	a->ok = params_set(a->there, name, value) && params_set(a->now, name, value);
}

static void was_reset(struct answer *a, const char *name)
{
	const char *start = params_get(a->start, name);

	params_remove(a->there, name);
	if (start != NULL)
		a->ok = params_set(a->now, name, start);
	else
		params_remove(a->now, name);
}

/* Digits as encode() writes them. */
static bool take_hex(const uint8_t *hex, size_t len, uint8_t *to)
{
	for (size_t i = 0; i < len; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *high = memchr(digits, hex[2 * i], 16);
		const char *low = memchr(digits, hex[2 * i + 1], 16);

		if (high == NULL || low == NULL)
			return false;
		to[i] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
	return true;
}

/* The next column; false: it is null. */
static bool take_column(struct answer *a, bool is_hex, char *to, size_t size)
{
	uint32_t len = wire_u32(&a->in);
	const uint8_t *bytes;

	to[0] = '\0';
	if (len == UINT32_MAX)
		return false;
	bytes = wire_bytes(&a->in, len);
	a->ok = a->ok && wire_ok(&a->in) && (!is_hex || len % 2 == 0);
	if (is_hex)
		len /= 2;
	a->ok = a->ok && len < size;
	if (a->ok && is_hex)
		a->ok = take_hex(bytes, len, (uint8_t *)to);
	else if (a->ok)
		memcpy(to, bytes, len);
	a->ok = a->ok && memchr(to, '\0', len) == NULL;
	to[a->ok ? len : 0] = '\0';
	return a->ok;
}

/* Does it stand as somebody set it? */
static bool is_set(const struct answer *a, const char *name, char what, const char *value,
	const char *source)
{
	const char *old = params_get(a->before, name);

	switch (what) {
	case WAS_SET:
		return true;
	case WAS_RESET:
		/* The old value all the same: rolled back. */
		return old != NULL && strcmp(old, value) == 0;
	default:
		if (a->is_one && strchr(name, '.') == NULL)
			return true;
		/* A variable of somebody's own is in no view, and empty when it was reset. */
		return source[0] == '\0' ? value[0] != '\0' : strcmp(source, "session") == 0;
	}
}

static void take_answer(const char *name, char what, void *arg)
{
	struct answer *a = arg;
	char value[PARAMS_BYTES_MAX], source[64] = "";
	bool exists = take_column(a, a->recodes, value, sizeof(value));

	if (what == WAS_BOTH && !a->is_one)
		(void)take_column(a, false, source, sizeof(source));
	if (!a->ok)
		return;
	if (exists && is_set(a, name, what, value, source))
		was_set(a, name, value);
	else
		was_reset(a, name);
}

bool touched_answer(const struct touched *t, const struct params *start, const char *login,
	const struct frame *row, struct params *now, struct params *there)
{
	struct params before;
	struct answer a = {
		.start = start, .before = &before, .login = login, .is_one = t->has_errors,
		.recodes = t->recodes, .now = now, .there = there
	};

	params_init(&before);
	a.ok = params_copy(&before, now) && params_copy(there, now);
	wire_init(&a.in, row->body, row->available);
	a.ok = a.ok && wire_u16(&a.in) == count_names(t, &before);
	each_name(t, &before, take_answer, &a);
	a.ok = a.ok && wire_done(&a.in);
	params_finish(&before);
	params_seal(now);
	params_seal(there);
	return a.ok;
}
