/* SPDX-License-Identifier: ISC */
/*
 * Reads the fields of one PostgreSQL message.
 *
 * The error is sticky: after the first read beyond the end every later read
 * gives zero or "", so a parser reads straight down and asks wire_ok() or
 * wire_done() once, at the end.
 *
 * Owns:   nothing; what it gives points into the bytes it was given.
 * Thread: any.
 * Source: PostgreSQL documentation, 55.6 Message Data Types.  Integers are in
 *         network order, strings end with a NUL.
 */
#ifndef PG_WIRE_H
#define PG_WIRE_H

#include "base/base.h"

/* Text inside a message, not terminated.  data is never NULL. */
struct wire_slice {
	const char *data;
	size_t len;
};

struct wire_in {
	const uint8_t *pos;
	const uint8_t *end;
	bool failed;
};

/* data may be NULL when len is 0. */
void wire_init(struct wire_in *, const void *data, size_t len);

uint8_t wire_u8(struct wire_in *);
uint16_t wire_u16(struct wire_in *);
uint32_t wire_u32(struct wire_in *);

/* A string with its NUL inside the message; "" when there is no NUL left. */
const char *wire_cstr(struct wire_in *);

/* The next len bytes, or NULL when there are fewer. */
const uint8_t *wire_bytes(struct wire_in *, size_t len);

/* Everything that is left; never fails. */
struct wire_slice wire_rest(struct wire_in *);

/* Bytes not read yet; 0 after a failure. */
size_t wire_left(const struct wire_in *);

/* No read has failed so far. */
bool wire_ok(const struct wire_in *);

/* No read has failed, and nothing is left: the message was what it should be. */
bool wire_done(const struct wire_in *);

/* True when the slice is exactly this string. */
bool wire_slice_is(struct wire_slice, const char *str);

#endif
