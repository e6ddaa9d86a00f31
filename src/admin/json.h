/* SPDX-License-Identifier: ISC */
/*
 * The answer of a view as JSON: an array of objects, one for each row.
 *
 * It is made of the messages that a client of the console would get, so that both
 * say the same.  int4 and numeric become numbers, text becomes strings, SQL's NULL
 * null.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 */
#ifndef ADMIN_JSON_H
#define ADMIN_JSON_H

#include "base/buf.h"

/* Appends the rows of the first result; [] when there is none.  False: the messages
 * are not such an answer, or an error (its text is then appended instead). */
NODISCARD bool json_from_answer(const void *messages, size_t len, struct buf *out);

#endif
