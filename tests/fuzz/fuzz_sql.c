/* SPDX-License-Identifier: ISC */
/*
 * SQL as tokens and statements.  The first byte of the input is the flags.
 *
 * Whatever the text: tokens and statements come in order and within it; a
 * statement by itself is what it was among others; what is not known is said to
 * be unsure; what numbers stand in it makes no difference.
 */
#include <stdlib.h>
#include <string.h>

#include "sql/secret.h"
#include "sql/statement_end.h"
#include "sql/statement_form.h"
#include "sql/statement_may.h"
#include "sql/statement_reading.h"
#include "sql/statement_reuse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Values into exactly as much memory as is told, so that a sanitizer sees more. */
static void use_value(const struct lexer_token *token, unsigned flags)
{
	size_t size = token->len + 1, len = 0, cut_len = 0;
	char *to = malloc(size), *cut;
	enum lexer_value result;

	check(to != NULL);
	result = lexer_value(token, flags, to, size, &len);
	/* No value is longer than what was written. */
	check(result != LEXER_VALUE_TOO_LONG);
	if (result == LEXER_VALUE_OK) {
		check(len < size && to[len] == '\0' && strlen(to) == len);
		check(len > LEXER_NAME_MAX || lexer_value_is(token, flags, to));
		cut = malloc(len > 0 ? len : 1);
		check(cut != NULL);
		check(lexer_value(token, flags, cut, len, &cut_len) ==
			LEXER_VALUE_TOO_LONG);
		free(cut);
	} else {
		check(len == 0);
	}
	free(to);
}

static void use_tokens(const char *text, size_t size, unsigned flags)
{
	const char *pos = text, *end = text + size;
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, text, size, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		check(token.text >= pos && token.len > 0);
		pos = token.text + token.len;
		check(pos <= end && lexer.pos == pos);
		if (token.body != NULL)
			check(token.body >= token.text &&
				token.body + token.body_len <= pos);
		check((token.kind != LEXER_UNTERMINATED && token.kind != LEXER_OTHER) ||
			lexer.unsure);
		if (lexer_is_name(&token) || lexer_is_string(&token))
			use_value(&token, flags);
	}
	check(lexer_next(&lexer, &token) == LEXER_END);
}

static void use_calls(const struct statement *s)
{
	struct statement_calls calls;
	struct sql_call call;
	size_t count = 0;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call))
		count++;
	check(count <= s->text.len);
	/* A call that can be found was flagged. */
	check(count == 0 || (s->flags & (SQL_CALLS_SET_CONFIG | SQL_UNSURE)) != 0);
	check(count > 0 || !statement_is_only_set_config(s));
}

static void check_range(const struct statement *s, struct sql_range range)
{
	check(range.data == NULL ||
		(range.data >= s->text.data &&
			range.data + range.len <= s->text.data + s->text.len));
}

static void use_statement(const struct statement *s, unsigned flags)
{
	struct statement alone;
	char value[64];
	size_t len;

	check(s->kind < SQL_KIND_COUNT && s->kind != SQL_EMPTY);
	check(s->kind != SQL_UNKNOWN || (s->flags & SQL_UNSURE) != 0);
	check(memchr(s->name, '\0', sizeof(s->name)) != NULL);
	check_range(s, s->body);
	check_range(s, s->types);
	if (s->value == SQL_VALUE_UNREAD)
		check(s->kind == SQL_UNKNOWN);
	else
		check((s->value != SQL_VALUE_NONE) == (s->kind == SQL_SET));
	if (statement_value(s, value, sizeof(value), &len) == LEXER_VALUE_OK)
		check(s->value == SQL_VALUE_LIST && strlen(value) == len);
	use_calls(s);
	if ((s->flags & SQL_UNSURE) != 0)
		return;
	check(statement_count(s->text.data, s->text.len, flags, 2, &alone) == 1);
	check(alone.kind == s->kind && alone.flags == s->flags &&
		alone.inner == s->inner);
	check(strcmp(alone.name, s->name) == 0);
}

static void use_nothing(const char *text, size_t size, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, text, size, flags);
	while (lexer_next(&lexer, &token) != LEXER_END)
		check(token.kind != LEXER_CAST && token.kind != LEXER_PARAM &&
			!lexer_is_punct(&token, '('));
}

/* Nothing that was not understood is taken for harmless. */
static void use_end(const char *text, size_t size, unsigned flags)
{
	enum text_end end = statement_text_end(text, size, flags);
	struct statement_reader reader;
	struct statement s;
	unsigned count = 0;

	check(end == TEXT_PLAIN || end == TEXT_ENDS || end == TEXT_OTHER);
	statement_begin(&reader, text, size, flags);
	while (statement_next(&reader, &s)) {
		count++;
		check(end == TEXT_OTHER || (s.flags & SQL_UNSURE) == 0);
		check(end != TEXT_PLAIN || statement_group(s.kind) == SQL_GROUP_READ ||
			statement_group(s.kind) == SQL_GROUP_WRITE);
	}
	check(end != TEXT_ENDS || count == 1);
	/* Nor anything that calls what may be anybody's. */
	if (statement_leaves_nothing(text, size, flags)) {
		use_nothing(text, size, flags);
		check(statement_text_code(text, size, flags) == TEXT_CODE_NONE);
	}
}

/* Nor anything but one statement about rows, all of which was understood. */
static void use_reuse(const char *text, size_t size, unsigned flags)
{
	struct statement s;
	bool depends = statement_depends_on_time(text, size, flags);

	if (!statement_is_reusable(text, size, flags))
		return;
	check(!depends);
	check(statement_count(text, size, flags, 2, &s) == 1);
	check((s.flags & (SQL_UNSURE | SQL_HAS_CAST_STRING)) == 0);
	check(statement_text_end(text, size, flags) == TEXT_PLAIN);
}

/* One that is cut, perhaps in the middle of a character, may not be understood. */
static bool has_long_name(const char *text, size_t size, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, text, size, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		if (token.kind == LEXER_QUOTED && token.body_len > LEXER_NAME_MAX / 4)
			return true;
	}
	return false;
}

/* Nothing that has a constant is taken for what reads the same everywhere. */
static void use_reading(const char *text, size_t size, unsigned flags)
{
	unsigned reading = statement_reading(text, size, flags);
	struct lexer_token token;
	struct lexer lexer;

	check((reading & ~(unsigned)STATEMENT_READS_ALL) == 0);
	check(reading != STATEMENT_READS_UNTOLD);
	lexer_init(&lexer, text, size, flags);
	while (lexer_next(&lexer, &token) != LEXER_END)
		check(!lexer_is_string(&token) || reading != 0);
	check(!lexer.unsure || reading == STATEMENT_READS_ALL);
}

/* Whatever its numbers are. */
static void use_form(const char *text, size_t size, unsigned flags)
{
	char *room = malloc(size > 0 ? size : 1);
	struct sql_range form;

	check(room != NULL);
	form = statement_form(text, size, room);
	check(form.len <= size && statement_may(form.data, form.len) == statement_may(text, size));
	check(statement_may_load(form.data, form.len) == statement_may_load(text, size));
	if (!has_long_name(text, size, flags)) {
		check(statement_text_end(form.data, form.len, flags) ==
			statement_text_end(text, size, flags));
		check(statement_text_code(form.data, form.len, flags) ==
			statement_text_code(text, size, flags));
		check(statement_leaves_nothing(form.data, form.len, flags) ==
			statement_leaves_nothing(text, size, flags));
	}
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct statement_reader reader;
	const char *text, *pos;
	struct statement s;
	unsigned flags;

	if (size < 1)
		return 0;
	flags = data[0] & 7u;
	text = (const char *)data + 1;
	size--;
	use_tokens(text, size, flags);
	use_end(text, size, flags);
	use_reading(text, size, flags);
	use_form(text, size, flags);
	use_reuse(text, size, flags);
	(void)secret_may_be_in(text, size);
	pos = text;
	statement_begin(&reader, text, size, flags);
	while (statement_next(&reader, &s)) {
		check(s.text.data >= pos && s.text.len > 0);
		pos = s.text.data + s.text.len;
		check(pos <= text + size);
		use_statement(&s, flags);
	}
	return 0;
}
