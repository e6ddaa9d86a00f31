/* SPDX-License-Identifier: ISC */
#include "admin/utf8.h"

#include <string.h>

/* First bytes, and what may come second (RFC 3629, section 4). */
static const struct {
	uint8_t first, last;            /* first byte */
	uint8_t len;
	uint8_t second_first, second_last;
} forms[] = {
	{ 0x00, 0x7f, 1, 0, 0 },
	{ 0xc2, 0xdf, 2, 0x80, 0xbf },
	{ 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf },
	{ 0xed, 0xed, 3, 0x80, 0x9f },
	{ 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf },
	{ 0xf1, 0xf3, 4, 0x80, 0xbf },
	{ 0xf4, 0xf4, 4, 0x80, 0x8f },
};

static bool is_between(uint8_t byte, uint8_t first, uint8_t last)
{
	return byte >= first && byte <= last;
}

/* Length of the character here; 0 when it is none. */
static size_t char_len(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		if (!is_between(s[0], forms[i].first, forms[i].last))
			continue;
		/* The NUL at the end is no continuation: nothing beyond it is read. */
		for (size_t k = 1; k < forms[i].len; k++) {
			bool is_second = k == 1;

			if (!is_between(s[k], is_second ? forms[i].second_first : 0x80,
				is_second ? forms[i].second_last : 0xbf))
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

static bool is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Could what stands here, behind a backslash, be taken for a byte that is not UTF-8, or
 * is it one? */
static bool is_doubtful(const char *text)
{
	if (*text == '\0')
		return false;
	return char_len(text) == 0 ||
		(text[0] == 'x' && is_digit(text[1]) && is_digit(text[2]));
}

/* Bytes at the front that stay as they are. */
static size_t clean_len(const char *text)
{
	size_t pos = 0;

	while (text[pos] != '\0') {
		size_t run, len;

		/* Most of them. */
		if ((uint8_t)text[pos] < 0x80 && text[pos] != '\\') {
			pos++;
			continue;
		}
		run = strspn(text + pos, "\\");
		len = run > 0 ? run : char_len(text + pos);
		if (len == 0 || (run > 0 && is_doubtful(text + pos + run)))
			break;
		pos += len;
	}
	return pos;
}

/* Bytes at the front that are UTF-8. */
static size_t valid_len(const char *text)
{
	size_t pos = 0;

	while (text[pos] != '\0') {
		size_t len = char_len(text + pos);

		if (len == 0)
			break;
		pos += len;
	}
	return pos;
}

bool utf8_is_valid(const char *text)
{
	return text[valid_len(text)] == '\0';
}

bool utf8_is_clean(const char *text)
{
	return text[clean_len(text)] == '\0';
}

void utf8_add_clean(struct buf *out, const char *text)
{
	for (;;) {
		size_t len = clean_len(text), run;

		buf_add(out, text, len);
		text += len;
		if (*text == '\0')
			break;
		run = strspn(text, "\\");
		buf_add(out, text, run);
		buf_add(out, text, run);
		text += run;
		/* What only looks like it is not it any more. */
		if (char_len(text) > 0)
			buf_add_u8(out, (uint8_t)*text);
		else
			buf_addf(out, "\\x%02x", (unsigned)(uint8_t)*text);
		text++;
	}
	buf_add_u8(out, 0);
}
