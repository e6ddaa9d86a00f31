/* SPDX-License-Identifier: ISC */
/*
 * What calls of set_config() may change.
 *
 * A value of NULL resets the setting (set_config_by_name() in guc.c).  A call that is not
 * surely reached may have done nothing at all.
 */
#include <string.h>

#include "pg/wire.h"
#include "session/state_priv.h"
#include "session/state_reading.h"

/* pg_type.dat */
enum { OID_TEXT = 25, OID_UNKNOWN = 705, OID_VARCHAR = 1043 };

/* A value of the type name is shorter: NAMEDATALEN (pg_config_manual.h). */
enum { NAME_CUT = 64 };

void touched_called(struct touched *t, const char *name, bool may_reset)
{
	bool is_own = strchr(name, '.') != NULL;

	t->has_resets = t->has_resets || may_reset;
	touched_add(t, name, is_own && !may_reset ? WAS_SET : WAS_BOTH);
}

void touched_called_unknown(struct touched *t, bool may_reset)
{
	t->changes++;
	t->unknown = t->is_lost = true;
	t->resets_any = t->resets_any || may_reset;
	t->has_resets = t->has_resets || may_reset;
}

/* --- parameters ---------------------------------------------------------------------- */

/* A Bind with more is seldom waited for, and a text may have thousands of calls, each of which
 * counts from the first one on. */
enum { PARAMS_KNOWN = 512 };

/* Its length, or UINT32_MAX where it is NULL, and in front of what it is.  False: it is not
 * known. */
static bool find_param(const struct touched *t, uint32_t number, struct wire_in *in,
	uint32_t *len)
{
	uint32_t count;

	if (t->bind == NULL)
		return false;
	wire_init(in, t->bind, t->bind_len);
	count = wire_u16(in);
	(void)wire_bytes(in, 2 * (size_t)count);
	count = wire_u16(in);
	if (!wire_ok(in) || number == 0 || number > count || number > PARAMS_KNOWN)
		return false;
	*len = wire_u32(in);
	for (uint32_t i = 1; i < number; i++) {
		if (*len != UINT32_MAX)
			(void)wire_bytes(in, *len);
		*len = wire_u32(in);
	}
	return wire_ok(in);
}

/* Is its value the text that is sent?  That of name or of character(n) may be cut, and of which
 * type one is that Parse says nothing of, another place in the text may say. */
static bool is_text(const struct touched *t, uint32_t number, const uint8_t *bytes, uint32_t len)
{
	uint32_t type = 0;
	struct wire_in in;

	wire_init(&in, t->types, t->types_len);
	if (number <= wire_u16(&in)) {
		(void)wire_bytes(&in, 4 * ((size_t)number - 1));
		type = wire_u32(&in);
		if (!wire_ok(&in))
			return false;
	}
	if (type == 0 || type == OID_UNKNOWN)
		return len < NAME_CUT && memchr(bytes, ' ', len) == NULL;
	return type == OID_TEXT || type == OID_VARCHAR;
}

static bool take_param(const struct touched *t, uint32_t number, char *to, size_t size,
	bool *is_null)
{
	const uint8_t *bytes;
	struct wire_in in;
	uint32_t len;

	if (!find_param(t, number, &in, &len))
		return false;
	*is_null = len == UINT32_MAX;
	if (*is_null)
		return true;
	bytes = wire_bytes(&in, len);
	if (bytes == NULL || len >= size || memchr(bytes, '\0', len) != NULL ||
		!is_text(t, number, bytes, len))
		return false;
	memcpy(to, bytes, len);
	to[len] = '\0';
	return true;
}

/* As text, in whichever way it goes on to a boolean, or as such, in binary. */
static bool is_no(const struct touched *t, uint32_t number)
{
	uint32_t len, format = 0;
	const uint8_t *bytes;
	struct wire_in in;
	uint16_t count;

	wire_init(&in, t->bind, t->bind_len);
	count = wire_u16(&in);
	for (uint32_t i = 1; i <= count; i++) {
		uint16_t one = wire_u16(&in);

		format = count == 1 || i == number ? one : format;
	}
	if (!find_param(t, number, &in, &len))
		return false;
	bytes = wire_bytes(&in, len);
	if (bytes == NULL || format != 0)
		return bytes != NULL && len == 1 && bytes[0] == 0;
	return (len == 1 && (bytes[0] == 'f' || bytes[0] == '0')) ||
		(len == strlen("false") && memcmp(bytes, "false", len) == 0);
}

/* --- calls --------------------------------------------------------------------------- */

/* What it is, if that is known. */
static bool take_name(struct touched *t, const struct statement *s,
	const struct sql_call_argument *name, char text[static STATEMENT_NAME_SIZE], bool *is_null)
{
	*is_null = name->kind == SQL_ARGUMENT_NULL;
	if (name->kind == SQL_ARGUMENT_PARAM)
		return statement_types_leave_text(s, name->param) &&
			take_param(t, name->param, text, STATEMENT_NAME_SIZE, is_null);
	return *is_null || state_reading_says(name, s->lexer_flags, text);
}

/* Where nobody has seen a Bind yet that says more, what it says may matter. */
static bool may_be_null(struct touched *t, const struct sql_call_argument *value)
{
	struct wire_in in;
	uint32_t len;

	if (value->kind == SQL_ARGUMENT_STRING || value->is_filled)
		return false;
	if (value->kind == SQL_ARGUMENT_NULL || value->param == 0)
		return true;
	t->awaits_values = t->awaits_values || t->bind == NULL;
	return t->bind != NULL && (!find_param(t, value->param, &in, &len) || len == UINT32_MAX);
}

bool touched_gives_null(const struct statement *s)
{
	struct lexer_token token;
	struct lexer lexer;

	if (s->kind != SQL_EXECUTE)
		return (s->flags & SQL_EXECUTES) != 0;
	lexer_init(&lexer, s->body.data, s->body.len, s->lexer_flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		if (!lexer_is_string(&token) && token.kind != LEXER_NUMBER &&
			token.kind != LEXER_PUNCT)
			return true;
	}
	return false;
}

/* NULL is no (set_config_by_name()). */
static bool may_be_local(const struct touched *t, const struct sql_call_argument *is_local)
{
	struct wire_in in;
	uint32_t len;

	switch ((int)is_local->kind) {
	case SQL_ARGUMENT_BOOL:
		return is_local->is_true;
	case SQL_ARGUMENT_NULL:
		return false;
	case SQL_ARGUMENT_PARAM:
		return !find_param(t, is_local->param, &in, &len) ||
			(len != UINT32_MAX && !is_no(t, is_local->param));
	default:
		return true;
	}
}

/* If it was local it is to be as before, which the source tells; a variable of somebody's
 * own is empty then. */
static char set_or_local(const struct sql_call_argument *is_local, const char *name)
{
	return is_local->kind == SQL_ARGUMENT_BOOL || strchr(name, '.') != NULL ? WAS_SET :
										  WAS_BOTH;
}

static void add_call(struct touched *t, const struct statement *s, const struct sql_call *call,
	bool runs)
{
	const struct sql_call_argument *is_local = &call->arguments[2];
	bool is_kept = is_local->kind != SQL_ARGUMENT_BOOL || !is_local->is_true;
	bool is_null, is_known, may_reset;
	char text[STATEMENT_NAME_SIZE];

	is_known = take_name(t, s, &call->arguments[0], text, &is_null);
	if (is_known && is_null)
		return;
	t->cuts = t->cuts || !is_known || state_reading_cuts(text);
	if (!is_kept)
		return;
	may_reset = may_be_null(t, &call->arguments[1]);
	if ((may_reset || t->awaits_values) && may_be_local(t, is_local)) {
		t->resets_local = t->resets_local || may_reset;
		t->awaits_local = t->awaits_local || t->awaits_values;
	}
	if (!is_known)
		touched_called_unknown(t, may_reset);
	else if (may_reset)
		touched_called(t, text, true);
	else
		touched_add(t, text, set_or_local(is_local, text));
	/* As if it had failed. */
	if (!runs)
		touched_undone(t);
}

void touched_add_calls(struct touched *t, const struct statement *s)
{
	bool runs = statement_runs_set_config(s), any = false;
	struct statement_calls calls;
	struct sql_call call;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		add_call(t, s, &call, runs);
		any = true;
	}
	if (!any)
		t->unknown = true;
}
