/* SPDX-License-Identifier: ISC */
/*
 * What a log line is made of: values between words, and how both are written.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 * Limits: what does not fit is cut, so that the rest is still well formed.
 */
#ifndef BASE_SLOG_LINE_H
#define BASE_SLOG_LINE_H

#include <stdarg.h>

#include "base/slog.h"

enum { SLOG_JSON_MAX = 3 * SLOG_LINE_MAX };

/* The bytes of the next character that may stand in a line as they are; 0: it is to be
 * escaped.  That is what is no UTF-8, and the controls of ASCII and of C1; quotes and
 * backslashes are the caller's.  len is at least 1. */
size_t slog_line_plain(const char *text, size_t len);

/* Renders "key=value key="value""; the format is ours, the values are anybody's.
 * Between quotes of the format a %s is escaped; behind a '=' it is quoted when it has
 * to be, unless slog_quote() has done that.  Knows d, i, u, x, zu, lu, lx, c, s and
 * precisions of s.  Returns the length; to is terminated. */
size_t slog_line_body(char *to, size_t size, const char *fmt, va_list args)
	PRINTF_LIKE(3, 0);

/* The next pair at *at, which moves behind it: the key, and the value without its
 * quotes and escapes in value (terminated).  *is_quoted tells where it had them.
 * False: there is none. */
bool slog_line_next(const char **at, char *key, size_t key_size, char *value,
	size_t value_size, size_t *value_len, bool *is_quoted);

/* One JSON object with time, level, event and the pairs of body, and a line feed.
 * Values that are nothing but digits are numbers.  Returns the length. */
size_t slog_line_json(char *to, size_t size, uint64_t wall_us, enum slog_level,
	const char *event, const char *body);

/* "2026-11-20 10:00:00.123 UTC info  event body" and a line feed.  Returns the
 * length. */
size_t slog_line_text(char *to, size_t size, uint64_t wall_us, enum slog_level,
	const char *event, const char *body);

#endif
