/* SPDX-License-Identifier: ISC */
#include "base/slog_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

enum { KEY_MAX = 64, ESCAPED_MAX = 4 };

/* --- rendering ---------------------------------------------------------------------- */

struct body {
	char *to;
	size_t size;
	size_t len;
	bool in_quotes;                 /* of the format */
};

static void put(struct body *b, const char *text, size_t len)
{
	size_t room = b->size - 1 - b->len;

	len = size_min(len, room);
	memcpy(b->to + b->len, text, len);
	b->len += len;
}

size_t slog_line_plain(const char *text, size_t len)
{
	uint8_t c = (uint8_t)text[0];
	size_t n;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f;
	n = json_utf8_len(text, len);
	/* A terminal takes U+009B for an escape sequence. */
	return c == 0xc2 && n == 2 && (uint8_t)text[1] < 0xa0 ? 0 : n;
}

/* A character of a value as it stands between quotes: all of it or nothing. */
static void put_escaped(struct body *b, char c)
{
	char text[ESCAPED_MAX + 1];
	int len;

	if (c == '"' || c == '\\')
		len = snprintf(text, sizeof(text), "\\%c", c);
	else if ((uint8_t)c < 0x20 || (uint8_t)c >= 0x7f)
		len = snprintf(text, sizeof(text), "\\x%02x", (unsigned char)c);
	else
		len = snprintf(text, sizeof(text), "%c", c);
	if (b->len + (size_t)len < b->size)
		put(b, text, (size_t)len);
}

static void put_all_escaped(struct body *b, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = slog_line_plain(text + i, len - i);

		if (n < 2) {
			put_escaped(b, text[i++]);
			continue;
		}
		if (b->len + n < b->size)
			put(b, text + i, n);
		i += n;
	}
}

static bool needs_quotes(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = slog_line_plain(text + i, len - i);

		if (n == 0 || text[i] == ' ' || text[i] == '"' || text[i] == '\\')
			return true;
		i += n;
	}
	return false;
}

static void put_value(struct body *b, const char *text, size_t len)
{
	bool is_value = b->len > 0 && b->to[b->len - 1] == '=';

	if (b->in_quotes) {
		put_all_escaped(b, text, len);
	} else if (is_value && needs_quotes(text, len) && text[0] != '"') {
		put(b, "\"", 1);
		put_all_escaped(b, text, len);
		put(b, "\"", 1);
	} else {
		put(b, text, len);
	}
}

/* The characters of a conversion that say more than its letter. */
struct conversion {
	int precision;                  /* -1: none */
	int width;
	unsigned longs;                 /* l or z */
	bool is_padded;                 /* with zeros */
};

static void put_number(struct body *b, const struct conversion *c, char letter,
	va_list *args)
{
	char text[32];
	int len;

	if (letter == 'd' || letter == 'i') {
		long value = c->longs > 0 ? va_arg(*args, long) : va_arg(*args, int);

		len = snprintf(text, sizeof(text), "%ld", value);
	} else {
		unsigned long value = c->longs > 0 ? va_arg(*args, unsigned long)
						   : va_arg(*args, unsigned);

		if (letter == 'u')
			len = snprintf(text, sizeof(text), "%lu", value);
		else
			len = snprintf(text, sizeof(text), "%0*lx",
				c->is_padded && c->width < 17 ? c->width : 0, value);
	}
	put(b, text, (size_t)len);
}

static const char *read_conversion(const char *at, struct conversion *c, va_list *args)
{
	*c = (struct conversion){ .precision = -1 };
	for (; *at == '-' || *at == '0'; at++)
		c->is_padded = c->is_padded || *at == '0';
	for (; *at >= '0' && *at <= '9'; at++)
		c->width = c->width * 10 + (*at - '0');
	if (*at == '.') {
		c->precision = 0;
		if (at[1] == '*') {
			c->precision = va_arg(*args, int);
			at++;
		}
		for (at++; *at >= '0' && *at <= '9'; at++)
			c->precision = c->precision * 10 + (*at - '0');
	}
	for (; *at == 'l' || *at == 'z'; at++)
		c->longs++;
	return at;
}

static void put_conversion(struct body *b, const struct conversion *c, char letter,
	va_list *args)
{
	const char *text;
	char one;

	switch (letter) {
	case 's':
		text = va_arg(*args, const char *);
		text = text == NULL ? "(null)" : text;
		put_value(b, text,
			c->precision < 0 ? strlen(text)
					 : strnlen(text, (size_t)c->precision));
		return;
	case 'c':
		one = (char)va_arg(*args, int);
		put_value(b, &one, 1);
		return;
	case '%':
		put(b, "%", 1);
		return;
	default:
		put_number(b, c, letter, args);
		return;
	}
}

size_t slog_line_body(char *to, size_t size, const char *fmt, va_list args)
{
	struct body b = { .to = to, .size = size };
	va_list list;

	va_copy(list, args);
	for (const char *at = fmt; *at != '\0'; at++) {
		struct conversion c;

		if (*at != '%') {
			b.in_quotes = b.in_quotes != (*at == '"');
			put(&b, at, 1);
			continue;
		}
		at = read_conversion(at + 1, &c, &list);
		if (*at == '\0')
			break;
		put_conversion(&b, &c, *at, &list);
	}
	va_end(list);
	to[b.len] = '\0';
	return b.len;
}

/* --- reading ------------------------------------------------------------------------ */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* One character of a quoted value; returns what comes behind. */
static const char *unescape(const char *at, char *c)
{
	if (at[0] != '\\' || at[1] == '\0') {
		*c = at[0];
		return at + 1;
	}
	if (at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
		*c = (char)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
		return at + 4;
	}
	*c = at[1];
	return at + 2;
}

bool slog_line_next(const char **where, char *key, size_t key_size, char *value,
	size_t value_size, size_t *value_len, bool *is_quoted)
{
	const char *at = *where + strspn(*where, " ");
	size_t len = strcspn(at, " =");
	size_t used = 0;

	if (*at == '\0')
		return false;
	(void)snprintf(key, key_size, "%.*s", (int)size_min(len, key_size - 1), at);
	at += len;
	*is_quoted = at[0] == '=' && at[1] == '"';
	if (*at == '=')
		at += *is_quoted ? 2 : 1;
	while (*at != '\0' && *at != (*is_quoted ? '"' : ' ')) {
		char c = *at;

		at = *is_quoted ? unescape(at, &c) : at + 1;
		if (used + 1 < value_size)
			value[used++] = c;
	}
	if (*at == '"')
		at++;
	value[used] = '\0';
	*value_len = used;
	*where = at;
	return true;
}

/* --- as JSON ------------------------------------------------------------------------ */

/* Room for the end of the object is never given away. */
enum { JSON_END = sizeof("\"}\n") };

static bool json_put(struct body *b, const char *text, size_t len)
{
	if (b->len + len + JSON_END > b->size)
		return false;
	put(b, text, len);
	return true;
}

/* A value that is cut is still a string. */
static void json_put_string(struct body *b, const char *text, size_t len)
{
	(void)json_put(b, "\"", 1);
	for (size_t pos = 0; pos < len;) {
		char one[JSON_CHAR_MAX];
		size_t used;

		pos += json_char(text + pos, len - pos, one, &used);
		if (!json_put(b, one, used))
			break;
	}
	put(b, "\"", 1);
}

/* As JSON has numbers: no zero in front. */
static bool is_number(const char *text, size_t len)
{
	size_t digits = strspn(text, "0123456789");

	return len > 0 && len < 19 && digits == len && (text[0] != '0' || len == 1);
}

static void json_pair(struct body *b, const char *key, const char *value, size_t len,
	bool is_string)
{
	/* The key, two pairs of quotes, ", " and ": ": or none of it. */
	if (b->len + JSON_CHAR_MAX * strlen(key) + 8 + (is_string ? 0 : len) +
			JSON_END >
		b->size)
		return;
	if (b->len > 1)
		put(b, ",", 1);
	json_put_string(b, key, strlen(key));
	put(b, ":", 1);
	if (is_string)
		json_put_string(b, value, len);
	else
		put(b, value, len);
}

static size_t put_time(char *to, size_t size, uint64_t wall_us, bool is_json)
{
	time_t seconds = (time_t)(wall_us / USEC_PER_SEC);
	struct tm tm;
	size_t len;
	int more;

	gmtime_r(&seconds, &tm);
	len = is_json ? strftime(to, size, "%Y-%m-%dT%H:%M:%S", &tm)
		      : strftime(to, size, "%Y-%m-%d %H:%M:%S", &tm);
	more = snprintf(to + len, size - len, is_json ? ".%03uZ" : ".%03u UTC",
		(unsigned)(wall_us % USEC_PER_SEC / USEC_PER_MSEC));
	return len + (size_t)more;
}

size_t slog_line_json(char *to, size_t size, uint64_t wall_us, enum slog_level level,
	const char *event, const char *body)
{
	struct body b = { .to = to, .size = size };
	char key[KEY_MAX], value[SLOG_LINE_MAX], when[64];
	size_t len = put_time(when, sizeof(when), wall_us, true);
	bool is_quoted;

	put(&b, "{", 1);
	json_pair(&b, "time", when, len, true);
	json_pair(&b, "level", slog_level_name(level), strlen(slog_level_name(level)), true);
	json_pair(&b, "event", event, strlen(event), true);
	while (slog_line_next(&body, key, sizeof(key), value, sizeof(value), &len, &is_quoted))
		json_pair(&b, key, value, len, is_quoted || !is_number(value, len));
	put(&b, "}\n", 2);
	return b.len;
}

size_t slog_line_text(char *to, size_t size, uint64_t wall_us, enum slog_level level,
	const char *event, const char *body)
{
	size_t len = put_time(to, size, wall_us, false);
	int more = snprintf(to + len, size - len, " %-5s %s %s", slog_level_name(level),
		event, body);

	if (more > 0)
		len = size_min(len + (size_t)more, size - 2);
	to[len++] = '\n';
	return len;
}
