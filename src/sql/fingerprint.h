/* SPDX-License-Identifier: ISC */
/*
 * A number for all texts that differ in their constants only, so that a log can tell
 * which query it was without telling what was asked.
 *
 * Words count in lower case; strings, numbers and parameters as the same thing;
 * comments and blanks not at all; lists of constants as one.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 * Limits: FINGERPRINT_TEXT_MAX bytes are read.
 */
#ifndef SQL_FINGERPRINT_H
#define SQL_FINGERPRINT_H

#include "base/base.h"

enum { FINGERPRINT_TEXT_MAX = 16384 };

/* Never 0, which callers may use for "unknown".  flags: enum lexer_flag. */
uint64_t fingerprint_of(const char *text, size_t len, unsigned flags);

#endif
