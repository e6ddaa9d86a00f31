/* SPDX-License-Identifier: ISC */
/*
 * Log lines: whatever is in a value, the line is one line, and the JSON one object with
 * strings that end.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void render(char *to, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void render(char *to, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	check(slog_line_body(to, size, fmt, args) == strlen(to));
	va_end(args);
}

static void check_json(const char *body)
{
	char line[SLOG_JSON_MAX];
	size_t len = slog_line_json(line, sizeof(line), 0, SLOG_INFO, "event", body);
	bool in_string = false;

	check(len > 2 && line[0] == '{' && line[len - 2] == '}' && line[len - 1] == '\n');
	for (size_t i = 0; i + 1 < len; i++) {
		check((unsigned char)line[i] >= ' ');
		if (in_string && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			in_string = !in_string;
	}
	check(!in_string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), body[512], key[32], value[64];
	const char *at = body;
	bool is_quoted;
	size_t len;

	check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	/* As values, and as if they were a body. */
	render(body, sizeof(body), "a=%s b=\"x %s y\" c=%u", text, text, 7u);
	check(strpbrk(body, "\n\r") == NULL || text[0] == '"');
	check_json(body);
	check_json(text);
	while (slog_line_next(&at, key, sizeof(key), value, sizeof(value), &len, &is_quoted))
		check(len < sizeof(value) && strlen(key) < sizeof(key));
	free(text);
	return 0;
}
