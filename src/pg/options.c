/* SPDX-License-Identifier: ISC */
#include "pg/options.h"

#include <string.h>

enum { OPTIONS_QUOTE_MAX = 64 };

/* White space as isspace() in the C locale, whatever the process has. */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Puts the next word, unescaped and with a NUL, into *word.  False at the end. */
static bool next_word(const char **pos, struct buf *word)
{
	buf_clear(word);
	while (is_space(**pos))
		(*pos)++;
	if (**pos == '\0')
		return false;
	while (**pos != '\0' && !is_space(**pos)) {
		if (**pos == '\\' && *++*pos == '\0')
			break;
		buf_add_u8(word, (uint8_t)*(*pos)++);
	}
	buf_add_u8(word, 0);
	return buf_ok(word);
}

static bool wrong(struct diag *diag, const char *what, const char *word)
{
	diag_set(diag, NULL, 0, 0, "%s in startup options: \"%.*s\"", what,
		OPTIONS_QUOTE_MAX, word);
	return false;
}

/* text: "name=value", from the word "whole". */
static bool add_setting(const char *text, const char *whole, struct buf *out,
	struct diag *diag)
{
	const char *equals = strchr(text, '=');

	if (equals == NULL)
		return wrong(diag, "setting without a value", whole);
	if (equals == text)
		return wrong(diag, "setting without a name", whole);
	for (const char *c = text; c < equals; c++)
		buf_add_u8(out, *c == '-' ? '_' : (uint8_t)*c);
	buf_add_u8(out, 0);
	buf_add_cstr(out, equals + 1);
	return true;
}

static bool add_word(const char **pos, struct buf *word, struct buf *out,
	struct diag *diag)
{
	const char *text = (const char *)buf_data(word);

	if (strcmp(text, "-c") == 0) {
		if (!next_word(pos, word))
			return wrong(diag, "switch without a setting", "-c");
		text = (const char *)buf_data(word);
		return add_setting(text, text, out, diag);
	}
	if (strncmp(text, "-c", 2) == 0 || strncmp(text, "--", 2) == 0)
		return add_setting(text + 2, text, out, diag);
	return wrong(diag, "only -c name=value and --name=value are supported", text);
}

bool options_parse(const char *text, struct buf *out, struct diag *diag)
{
	size_t before = buf_len(out);
	struct buf word;
	bool is_fine = true;

	buf_init(&word, strlen(text) + 1);
	while (is_fine && next_word(&text, &word))
		is_fine = add_word(&text, &word, out, diag);
	if (!buf_ok(out) || !buf_ok(&word)) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		is_fine = false;
	}
	if (!is_fine)
		out->end = out->start + (uint32_t)before;
	buf_finish(&word);
	return is_fine;
}

bool options_next(const struct buf *b, size_t *pos, const char **name, const char **value)
{
	const char *data = (const char *)buf_data(b);
	size_t len = buf_len(b);

	if (*pos >= len)
		return false;
	*name = data + *pos;
	*pos += strlen(*name) + 1;
	*value = data + *pos;
	*pos += strlen(*value) + 1;
	return true;
}
