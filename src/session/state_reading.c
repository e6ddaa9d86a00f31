/* SPDX-License-Identifier: ISC */
#include "session/state_reading.h"

#include <string.h>
#include <strings.h>

bool state_reading_says(const struct sql_call_argument *a, unsigned flags,
	char text[static STATEMENT_NAME_SIZE])
{
	size_t len;

	return a->kind == SQL_ARGUMENT_STRING &&
		lexer_value(&a->token, flags, text, STATEMENT_NAME_SIZE, &len) == LEXER_VALUE_OK &&
		strlen(text) == len;
}

bool state_reading_cuts(const char *name)
{
	return strcasecmp(name, "standard_conforming_strings") == 0 ||
		strcasecmp(name, "client_encoding") == 0;
}

bool state_reading_cuts_by(const struct statement *s)
{
	if (s->kind == SQL_SET || s->kind == SQL_RESET)
		return state_reading_cuts(s->name);
	return s->kind == SQL_RESET_ALL || s->kind == SQL_DISCARD_ALL ||
		(s->flags & SQL_UPDATES_SETTINGS) != 0;
}

bool state_reading_runs(const struct statement *s)
{
	enum sql_group group = statement_group(s->kind);

	return group != SQL_GROUP_NOTHING && group != SQL_GROUP_TRANSACTION &&
		group != SQL_GROUP_SETTING && group != SQL_GROUP_DISCARD &&
		!statement_is_only_set_config(s);
}

static enum touched_reading of_name(const char *name)
{
	if (!params_shape_reading(name))
		return READING_STAYS;
	return params_reading_is_told(name) ? READING_IS_TOLD : READING_IS_UNSURE;
}

static enum touched_reading worse(enum touched_reading a, enum touched_reading b)
{
	return a > b ? a : b;
}

/* set_config(): the name may be anything. */
static enum touched_reading of_calls(const struct statement *s)
{
	enum touched_reading reading = READING_STAYS;
	char text[STATEMENT_NAME_SIZE];
	struct statement_calls calls;
	struct sql_call call;
	bool is_there = false;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		if (!state_reading_says(&call.arguments[0], s->lexer_flags, text))
			return READING_IS_UNSURE;
		is_there = true;
		reading = worse(reading, of_name(text));
	}
	return is_there ? reading : READING_IS_UNSURE;
}

enum touched_reading state_reading_of(const struct statement *s)
{
	enum touched_reading reading = READING_STAYS;

	if ((s->flags & (SQL_UPDATES_SETTINGS | SQL_UNSURE)) != 0 || s->kind == SQL_UNKNOWN ||
		s->kind == SQL_RESET_ALL || s->kind == SQL_DISCARD_ALL)
		return READING_IS_UNSURE;
	if ((s->flags & SQL_CALLS_SET_CONFIG) != 0)
		reading = of_calls(s);
	if (s->kind == SQL_SET || s->kind == SQL_RESET)
		reading = worse(reading, of_name(s->name));
	return reading;
}
