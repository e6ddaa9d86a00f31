/* SPDX-License-Identifier: ISC */
/*
 * Answers as text and as JSON, and command lines as commands.
 */
#include <jansson.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/ctl.h"

/* pg_type.oid of the columns that are numbers. */
enum { TYPE_INT8 = 20, TYPE_INT4 = 23, TYPE_NUMERIC = 1700 };

/* A character, or what is written for it. */
enum { SHOWN_SIZE = 8 };

/* --- commands ------------------------------------------------------------------------ */

struct writer {
	char *to;
	size_t size;
	size_t len;
	bool fits;
};

static void put(struct writer *w, char c)
{
	if (w->len + 1 >= w->size)
		w->fits = false;
	else
		w->to[w->len++] = c;
}

static void put_text(struct writer *w, const char *text)
{
	while (*text != '\0')
		put(w, *text++);
}

static void put_quoted(struct writer *w, const char *text, char quote)
{
	put(w, quote);
	for (; *text != '\0'; text++) {
		if (*text == quote)
			put(w, quote);
		put(w, *text);
	}
	put(w, quote);
}

static bool is_plain(const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return word[0] != '\0' && word[strspn(word, plain)] == '\0';
}

/* SET a 5s, SET a=5s and SET a = 5s. */
static void put_setting(struct writer *w, char *const *words, size_t count)
{
	const char *equals = strchr(words[0], '=');
	size_t len = equals == NULL ? strlen(words[0]) : (size_t)(equals - words[0]);
	char *name = strndup(words[0], len);
	size_t at = 1;

	if (equals == NULL && at < count && strcmp(words[at], "=") == 0)
		at++;
	if (name == NULL || (equals == NULL) != (at < count) || count > at + 1)
		w->fits = false;
	if (w->fits) {
		put_quoted(w, name, '"');
		put_text(w, " = ");
		put_quoted(w, equals != NULL ? equals + 1 : words[at], '\'');
	}
	free(name);
}

const char *ctl_command(char *const *words, size_t count, char *to, size_t size)
{
	struct writer w = { .to = to, .size = size, .fits = true };

	if (count == 0 || !is_plain(words[0]))
		return NULL;
	put_text(&w, words[0]);
	if (count > 1)
		put(&w, ' ');
	if (count > 1 && strcasecmp(words[0], "set") == 0) {
		put_setting(&w, words + 1, count - 1);
	} else if (count > 2) {
		return NULL;
	} else if (count == 2) {
		if (is_plain(words[1]))
			put_text(&w, words[1]);
		else
			put_quoted(&w, words[1], '"');
	}
	to[w.len] = '\0';
	return w.fits ? to : NULL;
}

/* --- answers -------------------------------------------------------------------------- */

static bool is_number(const PGresult *r, int column)
{
	switch (PQftype(r, column)) {
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_NUMERIC:
		return true;
	default:
		return false;
	}
}

/* One character as a terminal may have it: names are what clients call themselves, and
 * control characters in them would be obeyed, or make up a row.  Returns how many bytes of
 * the text it is. */
static size_t show_char(const char *text, char to[SHOWN_SIZE], int *columns)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t len = 1;

	if (c[0] < 0x20 || c[0] == 0x7f) {
		*columns = snprintf(to, SHOWN_SIZE, "\\x%02x", c[0]);
		return len;
	}
	while (c[0] >= 0xc0 && len < 4 && (c[len] & 0xc0) == 0x80)
		len++;
	/* Those from U+0080 to U+009F are control characters, too. */
	if (len == 2 && c[0] == 0xc2 && c[1] < 0xa0) {
		*columns = snprintf(to, SHOWN_SIZE, "\\u%04x", c[1]);
		return len;
	}
	memcpy(to, text, len);
	to[len] = '\0';
	*columns = 1;
	return len;
}

static int columns_of(const char *text)
{
	char shown[SHOWN_SIZE];
	int sum = 0, columns;

	for (; *text != '\0'; sum += columns)
		text += show_char(text, shown, &columns);
	return sum;
}

static int width_of(const PGresult *r, int column)
{
	int width = columns_of(PQfname(r, column));

	for (int row = 0; row < PQntuples(r); row++) {
		int columns = columns_of(PQgetvalue(r, row, column));

		if (columns > width)
			width = columns;
	}
	return width;
}

static void print_shown(const char *text, const char *kept, FILE *out)
{
	char shown[SHOWN_SIZE];
	int columns;

	while (*text != '\0') {
		const char *at = text;

		text += show_char(at, shown, &columns);
		if (strchr(kept, *at) != NULL)
			(void)fputc(*at, out);
		else
			(void)fputs(shown, out);
	}
}

void ctl_print_message(const char *text, FILE *out)
{
	print_shown(text, "\n\t", out);
}

static void print_cell(const char *text, int width, bool is_right, bool is_last, FILE *out)
{
	int blanks = width - columns_of(text);

	if (is_right)
		(void)fprintf(out, "%*s", blanks, "");
	print_shown(text, "", out);
	if (!is_right && !is_last)
		(void)fprintf(out, "%*s", blanks, "");
	(void)fputs(is_last ? "\n" : "  ", out);
}

bool ctl_print_text(const PGresult *r, FILE *out)
{
	int columns = PQnfields(r);
	int *widths = calloc((size_t)columns + 1, sizeof(int));

	if (widths == NULL)
		return false;
	for (int i = 0; i < columns; i++)
		widths[i] = width_of(r, i);
	for (int i = 0; i < columns; i++)
		print_cell(PQfname(r, i), widths[i], is_number(r, i), i == columns - 1, out);
	for (int row = 0; row < PQntuples(r); row++) {
		for (int i = 0; i < columns; i++)
			print_cell(PQgetvalue(r, row, i), widths[i], is_number(r, i),
				i == columns - 1, out);
	}
	free(widths);
	return fflush(out) == 0 && ferror(out) == 0;
}

static json_t *json_cell(const PGresult *r, int row, int column)
{
	const char *text = PQgetvalue(r, row, column);
	json_t *value;

	if (PQgetisnull(r, row, column))
		return json_null();
	if (is_number(r, column))
		return json_integer(strtoll(text, NULL, 10));
	value = json_string(text);
	/* The router makes all text UTF-8; whoever else may not. */
	return value != NULL ? value : json_string("");
}

static json_t *json_row(const PGresult *r, int row)
{
	json_t *object = json_object();

	for (int i = 0; object != NULL && i < PQnfields(r); i++) {
		if (json_object_set_new(object, PQfname(r, i), json_cell(r, row, i)) == 0)
			continue;
		json_decref(object);
		return NULL;
	}
	return object;
}

bool ctl_print_json(const PGresult *r, FILE *out)
{
	json_t *rows = json_array();
	bool ok = rows != NULL;

	for (int row = 0; ok && row < PQntuples(r); row++)
		ok = json_array_append_new(rows, json_row(r, row)) == 0;
	ok = ok && json_dumpf(rows, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF &&
		fflush(out) == 0;
	json_decref(rows);
	return ok;
}
