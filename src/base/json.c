/* SPDX-License-Identifier: ISC */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

size_t json_utf8_len(const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;
	uint8_t least = 0x80, most = 0xbf;
	size_t more;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		more = 1;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		more = 2;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		more = 3;
	else
		return 0;
	if (s[0] == 0xe0)
		least = 0xa0;
	else if (s[0] == 0xed)
		most = 0x9f;
	else if (s[0] == 0xf0)
		least = 0x90;
	else if (s[0] == 0xf4)
		most = 0x8f;
	if (len <= more || s[1] < least || s[1] > most)
		return 0;
	for (size_t i = 2; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return more + 1;
}

static size_t put(char to[JSON_CHAR_MAX], const char *text, size_t *used)
{
	*used = strlen(text);
	memcpy(to, text, *used);
	return 1;
}

size_t json_char(const char *text, size_t len, char to[JSON_CHAR_MAX], size_t *used)
{
	uint8_t c = (uint8_t)text[0];
	char code[JSON_CHAR_MAX + 1];
	size_t sequence;

	switch (c) {
	case '"':
		return put(to, "\\\"", used);
	case '\\':
		return put(to, "\\\\", used);
	case '\n':
		return put(to, "\\n", used);
	case '\r':
		return put(to, "\\r", used);
	case '\t':
		return put(to, "\\t", used);
	default:
		break;
	}
	if (c < 0x20 || c == 0x7f) {
		(void)snprintf(code, sizeof(code), "\\u%04x", c);
		return put(to, code, used);
	}
	sequence = c < 0x80 ? 1 : json_utf8_len(text, len);
	if (sequence == 0)
		return put(to, "\\ufffd", used);
	memcpy(to, text, sequence);
	*used = sequence;
	return sequence;
}

void json_add_string(struct buf *out, const char *text, size_t len)
{
	buf_add_u8(out, '"');
	for (size_t pos = 0; pos < len;) {
		char one[JSON_CHAR_MAX];
		size_t used;

		pos += json_char(text + pos, len - pos, one, &used);
		buf_add(out, one, used);
	}
	buf_add_u8(out, '"');
}
