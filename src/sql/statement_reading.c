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

static bool is_one_of(const char *const *words, size_t count, const char *text, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		if (len == strlen(words[i]) && strncasecmp(text, words[i], len) == 0)
			return true;
	}
	return false;
}

/* Types, and functions, of which constants are read or written so. */
static bool is_such_word(const char *text, size_t len)
{
	static const char *const words[] = { "double", "quote_ident", "real" };
	static const char *const starts[] = { "bytea", "float", "money", "xml" };

	/* float8, xmlparse() */
	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		size_t start = strlen(starts[i]);

		if (len >= start && strncasecmp(text, starts[i], start) == 0)
			return true;
	}
	return is_one_of(words, COUNT_OF(words), text, len);
}

/* They make floating point numbers of others. */
static bool makes_float(const char *text, size_t len)
{
	static const char *const words[] = { "acos", "acosd", "acosh", "asin", "asind", "asinh",
		"atan", "atan2", "atan2d", "atand", "atanh", "cbrt", "cos", "cosd", "cosh", "cot",
		"cotd", "date_part", "degrees", "dexp", "dlog1", "dlog10", "dpow", "dsqrt", "erf",
		"erfc", "exp", "ln", "log", "log10", "pi", "pow", "power", "radians", "sin", "sind",
		"sinh", "sqrt", "tan", "tand", "tanh" };

	return is_one_of(words, COUNT_OF(words), text, len);
}

/* The number is a constant that was made when the text was read; and as it is written, too,
 * when it is made text of. */
struct floats {
	bool is_maker;          /* the last token */
	bool are_made;
	bool are_cast;
};

static bool writes_float(struct floats *floats, const struct lexer_token *token)
{
	bool is_name = lexer_is_name(token);
	bool is_quoted = token->kind != LEXER_WORD;
	const char *text = is_quoted ? token->body : token->text;
	size_t len = is_quoted ? token->body_len : token->len;

	if (is_name && is_such_word(text, len))
		return true;
	floats->are_made = floats->are_made ||
		(floats->is_maker && lexer_is_punct(token, '(')) ||
		lexer_is_operator(token, "^") || lexer_is_operator(token, "|/") ||
		lexer_is_operator(token, "||/");
	floats->is_maker = is_name && makes_float(text, len);
	/* text(1) is one, too, and so is what is done to both sides of a "||". */
	floats->are_cast = floats->are_cast || token->kind == LEXER_CAST ||
		lexer_is_word(token, "cast") || lexer_is_word(token, "text") ||
		lexer_is_operator(token, "||");
	return floats->are_made && floats->are_cast;
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
	struct floats floats = { .are_made = false };
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
		if (writes_float(&floats, &token) || compares_null(&sides, &token))
			reading |= STATEMENT_READS_ALL;
	}
	return lexer.unsure ? STATEMENT_READS_ALL : reading;
}
