/* SPDX-License-Identifier: ISC */
/*
 * Text as JSON strings.
 *
 * Thread: any; nothing here has state.
 * Source: RFC 8259, section 7.  What is not UTF-8 becomes U+FFFD, since JSON has no
 *         other text.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

enum { JSON_CHAR_MAX = 6 };

/* The length of a well-formed sequence of UTF-8 of more than one byte at the start, 0: there
 * is none.  len is at least 1.  Source: Unicode standard, table 3-7. */
size_t json_utf8_len(const char *text, size_t len);

/* Writes the next character of text to "to" as it stands between the quotes of a string, and
 * its length to *used (1 to JSON_CHAR_MAX).  Returns the bytes of text that it was;
 * len is at least 1. */
size_t json_char(const char *text, size_t len, char to[JSON_CHAR_MAX], size_t *used);

/* Appends a string with its quotes. */
void json_add_string(struct buf *, const char *text, size_t len);

#endif
