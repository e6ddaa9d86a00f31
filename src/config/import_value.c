/* SPDX-License-Identifier: ISC */
/*
 * PgBouncer's values as ours: seconds get units, 0 and 1 become words.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/import_priv.h"

enum { SAY_MAX = 512, RANGE_MAX = 256, SHOWN_MAX = 60 };

void import_tell(
	struct import *x, bool lost, const struct ini_entry *e, const char *fmt, ...)
{
	char text[SAY_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	x->lost += lost;
	x->say(x->arg, lost, e == NULL ? NULL : e->file, e == NULL ? 0 : e->line, text);
}

/* --- names ------------------------------------------------------------------------- */

void import_names_add(struct import *x, struct import_names *names, const char *name)
{
	char **list = realloc(names->list, (names->count + 1) * sizeof(char *));

	if (list == NULL) {
		x->no_memory = true;
		return;
	}
	names->list = list;
	list[names->count] = strdup(name);
	if (list[names->count] == NULL)
		x->no_memory = true;
	else
		names->count++;
}

bool import_names_have(const struct import_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->list[i], name) == 0)
			return true;
	}
	return false;
}

void import_names_free(struct import_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
}

/* --- settings ----------------------------------------------------------------------- */

static void text_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void import_entity_free(struct import_entity *e)
{
	for (size_t i = 0; i < e->count; i++)
		text_free(e->settings[i].text);
	free(e->settings);
	free(e->name);
}

struct import_setting *import_find(struct import_entity *e, const struct option *o)
{
	for (size_t i = 0; i < e->count; i++) {
		if (e->settings[i].option == o)
			return &e->settings[i];
	}
	return NULL;
}

void import_remove(struct import_entity *e, const struct option *o)
{
	struct import_setting *s = import_find(e, o);

	if (s == NULL)
		return;
	text_free(s->text);
	*s = e->settings[--e->count];
}

static struct import_setting *add(struct import *x, struct import_entity *e)
{
	struct import_setting *list =
		realloc(e->settings, (e->count + 1) * sizeof(struct import_setting));

	if (list == NULL) {
		x->no_memory = true;
		return NULL;
	}
	e->settings = list;
	list[e->count] = (struct import_setting){ .option = NULL };
	return &list[e->count++];
}

void import_set(struct import *x, struct import_entity *e, const struct option *o, char *text,
	const struct ini_entry *from, size_t of)
{
	struct import_setting *s = import_find(e, o);

	if (text == NULL)
		return;
	if (s != NULL && s->of != of) {
		if (strcmp(s->text, text) != 0)
			import_tell(x, true, from, "%s: %s:%u says otherwise, and was first", o->name,
				s->file == NULL ? "PgBouncer's default" : s->file, s->line);
		s->said |= UINT32_C(1) << of;
		text_free(text);
		return;
	}
	if (s == NULL)
		s = add(x, e);
	if (s == NULL) {
		text_free(text);
		return;
	}
	text_free(s->text);
	*s = (struct import_setting){ .option = o,
		.text = text,
		.file = from == NULL ? NULL : from->file,
		.line = from == NULL ? 0 : from->line,
		.of = of,
		.said = UINT32_C(1) << of };
}

/* --- values --------------------------------------------------------------------------- */

char *import_quote(const char *text)
{
	char *quoted = malloc(strlen(text) * 4 + 3), *to = quoted;

	if (quoted == NULL)
		return NULL;
	*to++ = '"';
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\') {
			*to++ = '\\';
			*to++ = *text;
		} else if ((unsigned char)*text < 0x20 || *text == 0x7f) {
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
		} else {
			*to++ = *text;
		}
	}
	*to++ = '"';
	*to = '\0';
	return quoted;
}

static char *format(const char *fmt, ...) PRINTF_LIKE(1, 2);

static char *format(const char *fmt, ...)
{
	char *text;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return text;
}

/* A value of that form that PgBouncer would not have taken either. */
static char *refuse(struct import *x, const struct option *o, const struct ini_entry *e,
	const char *value)
{
	char range[RANGE_MAX];

	import_tell(x, true, e, "%s: \"%.*s\" does not do here; allowed is %s", e->key, SHOWN_MAX,
		o->type == OPTION_SECRET ? "..." : value, option_range(o, range, sizeof(range)));
	return NULL;
}

static bool read_number(const char *value, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 0);
	return errno == 0 && end != value && *end == '\0' && value[0] >= '0' && value[0] <= '9';
}

uint64_t import_size(const char *value, uint64_t otherwise)
{
	uint64_t n;

	return read_number(value, &n) && n <= IMPORT_PARTS_MAX ? n : otherwise;
}

static char *duration(struct import *x, const struct option *o, enum import_form form,
	const struct ini_entry *e, const char *value)
{
	static const struct {
		uint64_t us;
		const char *unit;
	} units[] = {
		{ UINT64_C(86400000000), "d" }, { UINT64_C(3600000000), "h" },
		{ 60 * USEC_PER_SEC, "min" }, { USEC_PER_SEC, "s" },
		{ USEC_PER_MSEC, "ms" }, { 1, "us" },
	};
	char *end;
	double number = strtod(value, &end);
	size_t i = 0;
	uint64_t us;

	if (end == value || *end != '\0' || !(number >= 0) || number > 1e9)
		return refuse(x, o, e, value);
	us = (uint64_t)(number * (form == IMPORT_MSECS ? 1e3 : 1e6) + 0.5);
	if (us != 0 && (us < o->min || us > o->max))
		return refuse(x, o, e, value);
	if (us == 0)
		return o->min > 0 ? refuse(x, o, e, value) : strdup("0");
	while (us % units[i].us != 0)
		i++;
	return format("%" PRIu64 "%s", us / units[i].us, units[i].unit);
}

static char *number(struct import *x, const struct option *o, const struct ini_entry *e,
	const char *value)
{
	uint64_t n;

	if (!read_number(value, &n) || n > o->max || n < o->min)
		return refuse(x, o, e, value);
	if (o->type == OPTION_MODE)
		return format("\"0%03" PRIo64 "\"", n);
	if (o->type == OPTION_SIZE && n != 0)
		return format("%" PRIu64 "B", n);
	return format("%" PRIu64, n);
}

static char *boolean(struct import *x, const struct option *o, const struct ini_entry *e,
	const char *value)
{
	uint64_t n;

	if (!read_number(value, &n) || n > 1)
		return refuse(x, o, e, value);
	return strdup(n == 1 ? "true" : "false");
}

static char *list(struct import *x, const char *value)
{
	struct buf out;
	char *text;

	buf_init(&out, 0);
	buf_add_u8(&out, '[');
	while (*value != '\0') {
		size_t len = strcspn(value, ", \t");
		char *name = strndup(value, len), *quoted = name == NULL ? NULL : import_quote(name);

		if (len > 0 && quoted != NULL)
			buf_addf(&out, "%s%s", buf_len(&out) > 1 ? ", " : "", quoted);
		x->no_memory = x->no_memory || quoted == NULL;
		free(name);
		free(quoted);
		value += len;
		value += strspn(value, ", \t");
	}
	buf_addf(&out, "]");
	buf_add_u8(&out, 0);
	text = buf_ok(&out) ? strdup((const char *)buf_data(&out)) : NULL;
	buf_finish(&out);
	return text;
}

/* PgBouncer looks from where it was started; ours from where the file is. */
static char *path(const char *value)
{
	char *whole = value[0] == '\0' ? NULL : realpath(value, NULL);
	char *quoted = import_quote(whole == NULL ? value : whole);

	free(whole);
	return quoted;
}

static char *new_path(const char *value)
{
	char *here = value[0] == '/' ? NULL : realpath(".", NULL);
	char *whole = here == NULL ? NULL : format("%s/%s", here, value);
	char *quoted = import_quote(whole == NULL ? value : whole);

	free(whole);
	free(here);
	return quoted;
}

static char *word(struct import *x, const struct option *o, const struct ini_entry *e,
	const char *value)
{
	const char *const *words;
	size_t count;

	words = option_words(o->type, &count);
	if (o->type == OPTION_AUTH_TYPE && strcmp(value, "plain") == 0)
		value = "password";
	for (size_t i = 0; words != NULL && i < count; i++) {
		if (strcmp(words[i], value) == 0)
			return strdup(value);
	}
	return words == NULL ? import_quote(value) : refuse(x, o, e, value);
}

/* client_tls_ecdhcurve: "none" would leave no key exchange that is allowed here. */
static char *groups(struct import *x, const struct option *o, const struct ini_entry *e,
	const char *value)
{
	if (strcasecmp(value, "none") == 0)
		return refuse(x, o, e, value);
	return import_quote(strcasecmp(value, "auto") == 0 ? "auto" : value);
}

/* PgBouncer's words for lists of ciphers; the router's default has what is good of them. */
static char *ciphers(struct import *x, const struct ini_entry *e, const char *value)
{
	static const char *const words[] = { "default", "secure", "normal", "fast", "all" };

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strcasecmp(words[i], value) != 0)
			continue;
		if (strcmp(words[i], "all") == 0)
			import_tell(x, true, e, "%s: all would allow ciphers that are broken; the default holds",
				e->key);
		return import_quote("default");
	}
	return import_quote(value);
}

static char *convert(struct import *x, const struct option *o, enum import_form form,
	const struct ini_entry *e, const char *value)
{
	if (o->type == OPTION_U32 || o->type == OPTION_COUNT || o->type == OPTION_MODE ||
		o->type == OPTION_SIZE)
		return number(x, o, e, value);
	if (o->type == OPTION_BOOL)
		return boolean(x, o, e, value);
	if (o->type == OPTION_DURATION)
		return duration(x, o, form, e, value);
	if (option_is_list(o))
		return list(x, value);
	if (!option_is_text(o))
		return word(x, o, e, value);
	if (strlen(value) > o->max || strlen(value) < o->min)
		return refuse(x, o, e, value);
	if (form == IMPORT_GROUPS)
		return groups(x, o, e, value);
	if (form == IMPORT_CIPHERS)
		return ciphers(x, e, value);
	if (form == IMPORT_NEW_PATH)
		return new_path(value);
	return form == IMPORT_PATH ? path(value) : import_quote(value);
}

char *import_convert(struct import *x, const struct option *o, enum import_form form,
	const struct ini_entry *e, const char *value)
{
	size_t lost = x->lost;
	char *text = convert(x, o, form, e, value);

	if (text == NULL && x->lost == lost)
		x->no_memory = true;
	return text;
}
