/* SPDX-License-Identifier: ISC */
#include "pg/base64.h"

#include <assert.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			     "0123456789+/";

size_t base64_encode(const uint8_t *data, size_t len, char *to, size_t size)
{
	char *at = to;

	assert(size > BASE64_LEN(len));
	for (size_t i = 0; i < len; i += 3) {
		size_t have = size_min(len - i, 3);
		uint32_t bits = (uint32_t)data[i] << 16;

		if (have > 1)
			bits |= (uint32_t)data[i + 1] << 8;
		if (have > 2)
			bits |= data[i + 2];
		*at++ = digits[bits >> 18 & 63];
		*at++ = digits[bits >> 12 & 63];
		*at++ = have > 1 ? digits[bits >> 6 & 63] : '=';
		*at++ = have > 2 ? digits[bits & 63] : '=';
	}
	*at = '\0';
	return (size_t)(at - to);
}

/* One more than the value of a digit; 0: it is none.  In the order of ASCII. */
static const uint8_t values[256] = {
	['+'] = 63, ['/'] = 64, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
	23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46,
	47, 48, 49, 50, 51, 52,
};

static bool decode_four(const char *text, uint8_t to[3])
{
	const uint8_t *t = (const uint8_t *)text;
	uint32_t a = values[t[0]], b = values[t[1]], c = values[t[2]], d = values[t[3]];
	uint32_t bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);

	to[0] = (uint8_t)(bits >> 16);
	to[1] = (uint8_t)(bits >> 8);
	to[2] = (uint8_t)bits;
	return a != 0 && b != 0 && c != 0 && d != 0;
}

/* The last four, at whose end there may be padding, into at most three bytes; 0 when they
 * are wrong. */
static size_t decode_last(const char *text, uint8_t to[3])
{
	size_t count = text[3] != '=' ? 3 : text[2] != '=' ? 2 : 1;
	char padded[4] = { text[0], text[1], count < 2 ? 'A' : text[2], count < 3 ? 'A' : text[3] };

	if (!decode_four(padded, to))
		return 0;
	/* Bits beyond the last byte would give one value two spellings. */
	for (size_t i = count; i < 3; i++) {
		if (to[i] != 0)
			return 0;
	}
	return count;
}

bool base64_decode(const char *text, size_t text_len, uint8_t *to, size_t size,
	size_t *len)
{
	size_t done = 0, count;
	uint8_t last[3];

	*len = 0;
	if (text_len % 4 != 0)
		return false;
	for (; text_len > 4; text += 4, text_len -= 4, done += 3) {
		if (size - done < 3 || !decode_four(text, to + done))
			return false;
	}
	count = text_len == 0 ? 0 : decode_last(text, last);
	if ((text_len > 0 && count == 0) || count > size - done)
		return false;
	for (size_t i = 0; i < count; i++)
		to[done + i] = last[i];
	*len = done + count;
	return true;
}
