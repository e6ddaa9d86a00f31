/* SPDX-License-Identifier: ISC */
#include "admin/command.h"

#include <string.h>
#include <strings.h>

/* Behind a comment, or NULL when it does not end.  They nest as in PostgreSQL. */
static const char *skip_comment(const char *at)
{
	unsigned depth = 0;

	do {
		if (*at == '\0')
			return NULL;
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at++;
		} else if (at[0] == '*' && at[1] == '/') {
			depth--;
			at++;
		}
		at++;
	} while (depth > 0);
	return at;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static const char *skip_blanks(const char *at)
{
	while (at != NULL) {
		if (is_blank(*at))
			at++;
		else if (at[0] == '-' && at[1] == '-')
			at += strcspn(at, "\n");
		else if (at[0] == '/' && at[1] == '*')
			at = skip_comment(at);
		else
			break;
	}
	return at;
}

/* Behind blanks, comments and semicolons. */
static const char *skip_end(const char *at)
{
	at = skip_blanks(at);
	while (at != NULL && *at == ';')
		at = skip_blanks(at + 1);
	return at;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Each of these returns what comes behind, or NULL when the text is not that, or
 * does not fit. */
static const char *read_quoted(const char *at, char *to, size_t max)
{
	const char quote = *at++;
	size_t len = 0;

	while (*at != '\0' && (*at != quote || at[1] == quote)) {
		if (len == max)
			return NULL;
		if (*at == quote)
			at++;
		to[len++] = *at++;
	}
	to[len] = '\0';
	return *at == quote ? at + 1 : NULL;
}

static const char *read_plain(const char *at, char *to, size_t max)
{
	size_t len = 0;

	while (is_word(at[len]))
		len++;
	if (len == 0 || len > max)
		return NULL;
	memcpy(to, at, len);
	to[len] = '\0';
	return at + len;
}

static const char *read_word(const char *at, char *to, size_t max)
{
	return *at == '"' ? read_quoted(at, to, max) : read_plain(at, to, max);
}

/* Up to the semicolon, without blanks at the end: DateStyle is "ISO, MDY". */
static const char *read_value(const char *at, char *to, size_t max)
{
	size_t len, used;

	if (*at == '\'')
		return read_quoted(at, to, max);
	len = strcspn(at, ";");
	used = len;
	while (used > 0 && is_blank(at[used - 1]))
		used--;
	if (used == 0 || used > max)
		return NULL;
	memcpy(to, at, used);
	to[used] = '\0';
	return at + len;
}

static const char *read_assignment(const char *at, struct command *c)
{
	char word[COMMAND_WORD_MAX + 1];

	if (*at == '=') {
		at++;
	} else {
		at = read_plain(at, word, COMMAND_WORD_MAX);
		if (at == NULL || strcasecmp(word, "to") != 0)
			return NULL;
	}
	at = skip_blanks(at);
	if (at == NULL)
		return NULL;
	c->has_value = true;
	return read_value(at, c->value, COMMAND_VALUE_MAX);
}

static const char *read_rest(const char *at, struct command *c)
{
	at = read_word(at, c->argument, COMMAND_ARGUMENT_MAX);
	if (at == NULL)
		return NULL;
	c->has_argument = true;
	at = skip_blanks(at);
	if (at != NULL && *at != '\0' && *at != ';')
		at = read_assignment(at, c);
	return at;
}

/* Up to the semicolon that is in no quotes and no comment. */
static char *statement_end(char *at)
{
	while (*at != '\0' && *at != ';') {
		if (*at == '"' || *at == '\'') {
			char *end = strchr(at + 1, *at);

			/* What is doubled looks like two, side by side. */
			at = end == NULL ? at + strlen(at) : end + 1;
		} else if ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*')) {
			const char *behind = skip_blanks(at);

			at += behind == NULL ? strlen(at) : (size_t)(behind - at);
		} else {
			at++;
		}
	}
	return at;
}

char *command_split(char **rest)
{
	const char *first = skip_end(*rest);
	char *begin, *end;

	begin = first == NULL ? *rest : *rest + (first - *rest);
	if (*begin == '\0')
		return NULL;
	/* A comment that does not end: all of it is for command_parse() to refuse. */
	end = first == NULL ? begin + strlen(begin) : statement_end(begin);
	*rest = *end == '\0' ? end : end + 1;
	*end = '\0';
	return begin;
}

enum command_result command_parse(const char *text, struct command *c)
{
	const char *at = skip_end(text);

	*c = (struct command){ .has_argument = false };
	if (at == NULL)
		return COMMAND_BAD;
	if (*at == '\0')
		return COMMAND_EMPTY;
	at = read_plain(at, c->word, COMMAND_WORD_MAX);
	if (at != NULL)
		at = skip_blanks(at);
	if (at != NULL && *at != '\0' && *at != ';')
		at = read_rest(at, c);
	if (at != NULL)
		at = skip_end(at);
	return at != NULL && *at == '\0' ? COMMAND_OK : COMMAND_BAD;
}
