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

/* The value of a digit, or 64. */
static uint32_t value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0') + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return 64;
}

/* Decodes four characters into at most three bytes; 0 when they are wrong. */
static size_t decode_four(const char *text, bool is_last, uint8_t to[3])
{
	size_t count = 3;
	uint32_t bits = 0;

	if (is_last && text[3] == '=')
		count = text[2] == '=' ? 1 : 2;
	for (size_t i = 0; i <= count; i++) {
		uint32_t value = value_of(text[i]);

		if (value == 64)
			return 0;
		bits |= value << (18 - 6 * i);
	}
	to[0] = (uint8_t)(bits >> 16);
	to[1] = (uint8_t)(bits >> 8);
	to[2] = (uint8_t)bits;
	/* Bits beyond the last byte would give one value two spellings. */
	if ((bits & ((UINT32_C(1) << (24 - 8 * count)) - 1)) != 0)
		return 0;
	return count;
}

bool base64_decode(const char *text, size_t text_len, uint8_t *to, size_t size,
	size_t *len)
{
	size_t done = 0;

	*len = 0;
	if (text_len % 4 != 0)
		return false;
	for (size_t i = 0; i < text_len; i += 4) {
		uint8_t bytes[3];
		size_t count = decode_four(text + i, i + 4 == text_len, bytes);

		if (count == 0 || count > size - done)
			return false;
		for (size_t k = 0; k < count; k++)
			to[done++] = bytes[k];
	}
	*len = done;
	return true;
}
