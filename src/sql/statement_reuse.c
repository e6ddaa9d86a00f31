/* SPDX-License-Identifier: ISC */
#include "sql/statement_reuse.h"

#include <strings.h>

static bool is_kind(const struct statement *s)
{
	/* What functions do they do when it runs.  Beside a cast (SQL_HAS_CAST_STRING) a
	 * constant is of any type. */
	const uint32_t harmless = SQL_MAY_WRITE | SQL_HAS_STRING | SQL_HAS_PARAM |
		SQL_CALLS_NEXTVAL | SQL_CALLS_CURRVAL | SQL_CALLS_NOTIFY | SQL_CALLS_UNKNOWN;

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

static bool has_word(const char *body, size_t len, const char *word, size_t word_len)
{
	for (size_t i = 0; i + word_len <= len; i++) {
		if (strncasecmp(body + i, word, word_len) == 0)
			return true;
	}
	return false;
}

/* A constant means what the column beside it makes of it when PostgreSQL reads the text.
 * Of a time it needs digits ('12:00' of today), or one of these words, in whatever
 * punctuation; all others mean the same tomorrow. */
static bool is_timeless(const struct lexer_token *token)
{
	static const struct {
		const char *word;
		size_t len;
	} words[] = { { "now", 3 }, { "today", 5 }, { "tomorrow", 8 }, { "yesterday", 9 } };

	for (size_t i = 0; i < token->body_len; i++) {
		char c = token->body[i];

		/* Written in pieces ('no' on one line, 'w' on the next) it may be a word. */
		if ((c >= '0' && c <= '9') || (c >= 0 && c < ' ') || c == '\'' || c == 0x7f)
			return false;
	}
	for (size_t w = 0; w < COUNT_OF(words); w++) {
		if (has_word(token->body, token->body_len, words[w].word, words[w].len))
			return false;
	}
	return true;
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
