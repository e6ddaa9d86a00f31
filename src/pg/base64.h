/* SPDX-License-Identifier: ISC */
/*
 * Base64 as RFC 4648 section 4 and nothing else: no white space, padding
 * required, unused bits zero, so each value has one spelling.
 *
 * Thread: any.
 */
#ifndef PG_BASE64_H
#define PG_BASE64_H

#include "base/base.h"

/* Characters for len bytes, without a NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters and a NUL; returns the characters.  The
 * caller has the room: size >= BASE64_LEN(len) + 1. */
size_t base64_encode(const uint8_t *data, size_t len, char *to, size_t size);

/* False when the text is not base64 or gives more than size bytes; the bytes
 * written are then not to be used. */
NODISCARD bool base64_decode(const char *text, size_t text_len, uint8_t *to,
	size_t size, size_t *len);

#endif
