/* SPDX-License-Identifier: ISC */
#include "sql/statement_reuse.h"

#include <string.h>
#include <strings.h>

/* Longer constants that are not written as they are read are not looked at. */
enum { VALUE_MAX = 1024 };

static bool is_kind(const struct statement *s)
{
	/* What functions do they do when it runs.  Beside a cast (SQL_HAS_CAST_STRING) a
	 * constant is of any type. */
	const uint32_t harmless = SQL_MAY_WRITE | SQL_HAS_STRING | SQL_HAS_PARAM |
		SQL_CALLS_NEXTVAL | SQL_CALLS_CURRVAL | SQL_CALLS_NOTIFY |
		SQL_CALLS_UNKNOWN | SQL_MAY_CALL;

	switch ((int)s->kind) {
	case SQL_SELECT:
	case SQL_INSERT:
	case SQL_UPDATE:
	case SQL_DELETE:
	case SQL_MERGE:
		return (s->flags & ~harmless) == 0;
	default:
		return false;
	}
}

static const struct {
	const char *word;
	size_t len;
} words[] = { { "now", 3 }, { "today", 5 }, { "tomorrow", 8 }, { "yesterday", 9 } };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* In whatever stands around it. */
static bool has_any_word(const char *body, size_t len)
{
	for (size_t w = 0; w < COUNT_OF(words); w++) {
		for (size_t i = 0; i + words[w].len <= len; i++) {
			if (strncasecmp(body + i, words[w].word, words[w].len) == 0)
				return true;
		}
	}
	return false;
}

/* A constant means what the column beside it makes of it when PostgreSQL reads the text.
 * Of a time it needs digits ('12:00' of today), or one of these words, in whatever
 * punctuation; all others mean the same tomorrow. */
static bool is_timeless(const struct lexer_token *token)
{
	for (size_t i = 0; i < token->body_len; i++) {
		char c = token->body[i];

		/* Written in pieces ('no' on one line, 'w' on the next) it may be a word; and so
		 * in arrays, rows and ranges, which take these away. */
		if (is_digit(c) || (c >= 0 && c < ' ') || c == '\'' || c == 0x7f ||
			c == '\\' || c == '"')
			return false;
	}
	return !has_any_word(token->body, token->body_len);
}

static bool is_token(const struct lexer_token *token)
{
	switch (token->kind) {
	case LEXER_STRING:
		return is_timeless(token);
	case LEXER_WORD:
	case LEXER_QUOTED:
		/* Longer names are cut, with a NOTICE. */
		return token->len <= LEXER_NAME_MAX;
	case LEXER_NUMBER:
	case LEXER_PARAM:
	case LEXER_OPERATOR:
	case LEXER_CAST:
	case LEXER_DOTS:
	case LEXER_PUNCT:
		return true;
	case LEXER_END:
	case LEXER_QUOTED_UNICODE:
	case LEXER_STRING_ESCAPE:
	case LEXER_STRING_UNICODE:
	case LEXER_STRING_NATIONAL:
	case LEXER_STRING_DOLLAR:
	case LEXER_BITS:
	case LEXER_HEX:
	case LEXER_ASSIGN:
	case LEXER_OTHER:
	case LEXER_UNTERMINATED:
		return false;
	}
	return false;
}

bool statement_is_reusable(const char *text, size_t len, unsigned flags)
{
	struct lexer_token token;
	struct statement first;
	struct lexer lexer;

	/* Else a backslash in a string has PostgreSQL warn of it. */
	if ((flags & LEXER_STANDARD_STRINGS) == 0 || (flags & LEXER_UNSAFE_ENCODING) != 0)
		return false;
	if (statement_count(text, len, flags, 2, &first) != 1 || !is_kind(&first))
		return false;
	lexer_init(&lexer, text, len, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		if (!is_token(&token))
			return false;
	}
	return !lexer.unsure;
}

/* --- texts of any kind ------------------------------------------------------------------ */

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* A word of its own: what no letter is beside, as ParseDateTime() of PostgreSQL has it. */
static bool has_time_word(const char *body, size_t len)
{
	for (size_t w = 0; w < COUNT_OF(words); w++) {
		for (size_t i = 0; i + words[w].len <= len; i++) {
			size_t end = i + words[w].len;

			if (strncasecmp(body + i, words[w].word, words[w].len) == 0 &&
				(i == 0 || !is_letter(body[i - 1])) &&
				(end == len || !is_letter(body[end])))
				return true;
		}
	}
	return false;
}

/* 12:30, and no date before it. */
static bool has_time_of_day(const char *body, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (is_digit(body[i]) && body[i + 1] == '-')
			return false;
		if (is_digit(body[i]) && body[i + 1] == ':' && i + 2 < len && is_digit(body[i + 2]))
			return true;
	}
	return false;
}

static bool value_depends(const char *body, size_t len)
{
	/* Arrays, rows and ranges take them away. */
	if (memchr(body, '\\', len) != NULL || memchr(body, '"', len) != NULL) {
		char plain[VALUE_MAX];
		size_t n = 0;

		for (size_t i = 0; i < len; i++) {
			if (body[i] == '\\' || body[i] == '"')
				continue;
			if (n == sizeof(plain))
				return true;
			plain[n++] = body[i];
		}
		if (has_any_word(plain, n))
			return true;
	}
	return has_time_word(body, len) || has_time_of_day(body, len);
}

static bool string_depends(const struct lexer_token *token, unsigned flags)
{
	char value[VALUE_MAX];
	size_t len;

	/* As it is written, however long. */
	if (token->kind == LEXER_STRING_DOLLAR ||
		(token->kind == LEXER_STRING && (flags & LEXER_STANDARD_STRINGS) != 0 &&
			memchr(token->body, '\'', token->body_len) == NULL))
		return value_depends(token->body, token->body_len);
	if (lexer_value(token, flags, value, sizeof(value), &len) != LEXER_VALUE_OK)
		return true;
	return value_depends(value, len);
}

bool statement_depends_on_time(const char *text, size_t len, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;

	if (memchr(text, '\'', len) == NULL && memchr(text, '$', len) == NULL)
		return false;
	lexer_init(&lexer, text, len, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		if (lexer_is_string(&token) && string_depends(&token, flags))
			return true;
	}
	return lexer.unsure;
}

bool statement_reuse_writes(const char *text, size_t len, unsigned flags)
{
	struct statement first;

	return statement_count(text, len, flags, 1, &first) != 1 || first.kind != SQL_SELECT ||
		(first.flags & SQL_MAY_WRITE) != 0;
}

uint32_t statement_reuse_params(const char *text, size_t len, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;
	uint32_t most = 0;

	lexer_init(&lexer, text, len, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		uint64_t number = 0;

		if (token.kind != LEXER_PARAM)
			continue;
		for (size_t i = 1; i < token.len && number < UINT32_MAX; i++)
			number = number * 10 + (uint64_t)(token.text[i] - '0');
		if (number > most)
			most = (uint32_t)(number < UINT32_MAX ? number : UINT32_MAX);
	}
	return most;
}
