/* SPDX-License-Identifier: ISC */
#include "session/state_reading.h"

#include <string.h>

bool state_reading_says(const struct sql_call_argument *a, unsigned flags,
	char text[static STATEMENT_NAME_SIZE])
{
	size_t len;

	return a->kind == SQL_ARGUMENT_STRING &&
		lexer_value(&a->token, flags, text, STATEMENT_NAME_SIZE, &len) == LEXER_VALUE_OK &&
		strlen(text) == len;
}

/* set_config(): the value is as a rule not what the text says. */
static enum touched_reading of_calls(const struct statement *s)
{
	enum touched_reading reading = READING_IS_UNSURE;
	char text[STATEMENT_NAME_SIZE];
	struct statement_calls calls;
	struct sql_call call;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		if (!state_reading_says(&call.arguments[0], s->lexer_flags, text) ||
			params_shape_reading(text))
			return READING_IS_UNSURE;
		reading = READING_STAYS;
	}
	return reading;
}

enum touched_reading state_reading_of(const struct statement *s)
{
	enum touched_reading reading = READING_STAYS;

	if ((s->flags & (SQL_UPDATES_SETTINGS | SQL_UNSURE)) != 0 || s->kind == SQL_UNKNOWN ||
		s->kind == SQL_RESET_ALL || s->kind == SQL_DISCARD_ALL)
		return READING_IS_UNSURE;
	if ((s->flags & SQL_CALLS_SET_CONFIG) != 0)
		reading = of_calls(s);
	if (reading == READING_STAYS && (s->kind == SQL_SET || s->kind == SQL_RESET) &&
		params_shape_reading(s->name))
		reading = READING_IS_SAID;
	return reading;
}
