/* SPDX-License-Identifier: ISC */
/*
 * Bytes as text: hexadecimal digits, and what is ASCII.
 *
 * Thread: any; pure.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/base.h"

/* 0 to 15, small letters or capitals; -1: it is no digit. */
static inline int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits in small letters for each of len bytes; no NUL behind them. */
static inline void hex_write(char *to, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[bytes[i] >> 4];
		to[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* len bytes of twice as many digits.  False: one is none. */
NODISCARD static inline bool hex_read(uint8_t *to, const char *digits, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static inline bool text_is_ascii(const char *text)
{
	while (*text != '\0' && (uint8_t)*text < 0x80)
		text++;
	return *text == '\0';
}

#endif
