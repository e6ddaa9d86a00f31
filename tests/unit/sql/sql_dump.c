/* SPDX-License-Identifier: ISC */
/*
 * Shows what src/sql makes of SQL, for tests/integration/test_sql_oracle.py.
 *
 *   sql_dump MODE < texts
 *
 * Each text is a line: flags (enum lexer_flag, decimal), a blank, the text in
 * hexadecimal.  Each answer is a line, with what comes from the text in
 * hexadecimal:
 *
 *   statements   the number of statements, and render_statement() of each
 *   value        the value of the first token, or "invalid", "unknown", "too-long"
 *   set          the value of a SET, in the same way
 *   calls        "only" or "other", a blank, render_calls() of the first statement
 *   tokens       kinds of the tokens with their texts
 *   end          plain, ends or other: what the text does to its transaction
 *   leaves       nothing or anything
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/render.h"
#include "sql/statement_end.h"

enum { TEXT_MAX = 1 << 20 };

static char line[2 * TEXT_MAX + 32], text[TEXT_MAX], answer[4 * TEXT_MAX];

static void print_hex(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned)(uint8_t)data[i]);
	putchar('\n');
}

static void print_value(enum lexer_value result, const char *value, size_t len)
{
	switch (result) {
	case LEXER_VALUE_OK:
		putchar('=');
		print_hex(value, len);
		break;
	case LEXER_VALUE_INVALID:
		puts("invalid");
		break;
	case LEXER_VALUE_UNKNOWN:
		puts("unknown");
		break;
	case LEXER_VALUE_TOO_LONG:
		puts("too-long");
		break;
	}
}

static void show_statements(size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;

	printf("%u", statement_count(text, len, flags, 1000, &s));
	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		putchar(' ');
		render_statement(&s, answer, sizeof(answer));
		for (const char *c = answer; *c != '\0'; c++)
			printf("%02x", (unsigned)(uint8_t)*c);
	}
	putchar('\n');
}

static void show_value(size_t len, unsigned flags)
{
	struct lexer_token token;
	enum lexer_value result;
	struct lexer lexer;
	size_t value_len;

	lexer_init(&lexer, text, len, flags);
	(void)lexer_next(&lexer, &token);
	result = lexer_value(&token, flags, answer, sizeof(answer), &value_len);
	print_value(result, answer, value_len);
}

static void show_set(size_t len, unsigned flags)
{
	struct statement first;
	enum lexer_value result;
	size_t value_len;

	(void)statement_count(text, len, flags, 1, &first);
	if (first.kind != SQL_SET) {
		puts(statement_kind_name(first.kind));
		return;
	}
	result = statement_value(&first, answer, sizeof(answer), &value_len);
	print_value(result, answer, value_len);
}

static void show_calls(size_t len, unsigned flags)
{
	struct statement first;

	(void)statement_count(text, len, flags, 1, &first);
	render_calls(&first, answer, sizeof(answer));
	printf("%s ", statement_is_only_set_config(&first) ? "only" : "other");
	print_hex(answer, strlen(answer));
}

static void show_tokens(size_t len, unsigned flags)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, text, len, flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		printf("%d:", (int)token.kind);
		for (size_t i = 0; i < token.len; i++)
			printf("%02x", (unsigned)(uint8_t)token.text[i]);
		putchar(' ');
	}
	puts(lexer.unsure ? "unsure" : "sure");
}

static void show_end(size_t len, unsigned flags)
{
	switch (statement_text_end(text, len, flags)) {
	case TEXT_PLAIN:
		puts("plain");
		break;
	case TEXT_ENDS:
		puts("ends");
		break;
	case TEXT_NOT_READ:
	case TEXT_OTHER:
		puts("other");
		break;
	}
}

static size_t read_hex(const char *hex)
{
	size_t len = 0;
	unsigned byte;

	while (sscanf(hex + 2 * len, "%2x", &byte) == 1)
		text[len++] = (char)byte;
	return len;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "statements";
	char *hex;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		unsigned flags = (unsigned)strtoul(line, &hex, 10);
		size_t len = read_hex(hex + (*hex == ' '));

		if (strcmp(mode, "value") == 0)
			show_value(len, flags);
		else if (strcmp(mode, "set") == 0)
			show_set(len, flags);
		else if (strcmp(mode, "calls") == 0)
			show_calls(len, flags);
		else if (strcmp(mode, "tokens") == 0)
			show_tokens(len, flags);
		else if (strcmp(mode, "end") == 0)
			show_end(len, flags);
		else if (strcmp(mode, "leaves") == 0)
			puts(statement_leaves_nothing(text, len, flags) ? "nothing" : "anything");
		else
			show_statements(len, flags);
		fflush(stdout);
	}
	return 0;
}
