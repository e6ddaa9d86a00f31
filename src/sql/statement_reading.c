/* SPDX-License-Identifier: ISC */
#include "sql/statement_reading.h"

#include <string.h>
#include <strings.h>

#include "base/base.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool has_null(const char *text, size_t len)
{
	for (; len >= 4; text++, len--) {
		if ((*text | 0x20) == 'n' && strncasecmp(text, "null", 4) == 0)
			return true;
	}
	return false;
}

/* A date or a time with a time zone's letters behind it; names of months are such, too. */
static bool may_have_zone(const char *text, size_t len)
{
	size_t letters = 0, digits = 0, most_letters = 0, most_digits = 0;
	bool has_mark = false;

	for (size_t i = 0; i < len; i++) {
		letters = is_letter(text[i]) ? letters + 1 : 0;
		digits = is_digit(text[i]) ? digits + 1 : 0;
		most_letters = size_max(most_letters, letters);
		most_digits = size_max(most_digits, digits);
		has_mark = has_mark || text[i] == ':' || text[i] == '-' || text[i] == '/';
	}
	return most_letters >= 3 && (most_digits >= 4 || (most_digits > 0 && has_mark));
}

static unsigned of_string(const struct lexer_token *token)
{
	const char *body = token->body;
	size_t len = token->body_len;
	bool may_be_array = memchr(body, '{', len) != NULL && has_null(body, len);

	/* Bytes, or what stands for another letter. */
	if (memchr(body, '\\', len) != NULL || may_be_array || may_have_zone(body, len))
		return STATEMENT_READS_ALL;
	return STATEMENT_READS_TOLD;
}

/* Types, and functions, of which constants are read or written so. */
static bool is_such_word(const struct lexer_token *token)
{
	static const char *const words[] = { "bytea", "double", "float", "money", "quote_ident",
		"real", "xml" };
	bool is_quoted = token->kind != LEXER_WORD;
	const char *text = is_quoted ? token->body : token->text;
	size_t len = is_quoted ? token->body_len : token->len;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		size_t word = strlen(words[i]);

		/* float8, xmlparse() */
		if (len >= word && strncasecmp(text, words[i], word) == 0)
			return true;
	}
	return false;
}

/* Between the two sides of a "=", or not: brackets do not count. */
struct sides {
	bool was_equals;        /* the last token but for "(" */
	bool was_null;          /* ... but for ")" */
};

static bool compares_null(struct sides *sides, const struct lexer_token *token)
{
	bool is_null = lexer_is_word(token, "null");
	bool is_equals = lexer_is_operator(token, "=");
	bool found = (is_null && sides->was_equals) || (is_equals && sides->was_null);

	if (!lexer_is_punct(token, '('))
		sides->was_equals = is_equals;
	if (!lexer_is_punct(token, ')'))
		sides->was_null = is_null;
	return found;
}

unsigned statement_reading(const char *text, size_t len, unsigned flags)
{
	struct sides sides = { .was_null = false };
	struct lexer_token token;
	unsigned reading = 0;
	struct lexer lexer;

	lexer_init(&lexer, text, len, flags);
	while (reading != STATEMENT_READS_ALL && lexer_next(&lexer, &token) != LEXER_END) {
		if (lexer.unsure || token.kind == LEXER_UNTERMINATED ||
			token.kind == LEXER_QUOTED_UNICODE)
			return STATEMENT_READS_ALL;
		if (lexer_is_string(&token))
			reading |= of_string(&token);
		else if (lexer_is_name(&token) && is_such_word(&token))
			reading |= STATEMENT_READS_ALL;
		if (compares_null(&sides, &token))
			reading |= STATEMENT_READS_ALL;
	}
	return lexer.unsure ? STATEMENT_READS_ALL : reading;
}
