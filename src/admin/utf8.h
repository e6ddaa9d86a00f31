/* SPDX-License-Identifier: ISC */
/*
 * Text that goes to a program which expects UTF-8: names and parameters that
 * clients send may hold any bytes.
 *
 * Thread: any; pure.
 */
#ifndef ADMIN_UTF8_H
#define ADMIN_UTF8_H

#include "base/buf.h"

bool utf8_is_valid(const char *text);

/* Adds the text, each byte that is not UTF-8 as \xNN, and a NUL.  Backslashes in front of
 * such a byte, or of what looks like one written so, are doubled: two texts never become
 * the same. */
void utf8_add_clean(struct buf *, const char *text);

/* Would the text become itself? */
bool utf8_is_clean(const char *text);

#endif
