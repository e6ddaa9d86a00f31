/* SPDX-License-Identifier: ISC */
/*
 * Classes of bytes and the steps over white space that lexer.c and
 * lexer_value.c share.
 *
 * Thread: any.
 */
#ifndef SQL_LEXER_CHARS_H
#define SQL_LEXER_CHARS_H

#include "base/base.h"

enum char_class {
	CHAR_SPACE = 1,
	CHAR_NEWLINE = 2, /* with CHAR_SPACE */
	CHAR_LETTER = 4,  /* begins a name; every byte from 0x80 on */
	CHAR_DIGIT = 8,
	CHAR_OPERATOR = 16,
	CHAR_HEX = 32,
	CHAR_PUNCT = 64
};

extern const uint8_t char_classes[256];

static inline bool char_is(char c, unsigned classes)
{
	return (char_classes[(uint8_t)c] & classes) != 0;
}

static inline char char_fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline int char_hex(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* pos behind a closing quote: where the string goes on (behind the next quote)
 * if white space with a newline and another quote follow, else NULL. */
const char *char_string_goes_on(const char *pos, const char *end);

#endif
