/* SPDX-License-Identifier: ISC */
/*
 * Log lines: one event, one line, key=value after a stable event name.
 *
 *   2026-11-20 10:00:00.123 UTC INFO  client-close id=17 reason=quit ...
 *
 * Owns:   two process-wide settings, the level and the sink, and the form of lines.
 * Thread: any; a line is written with one write(2), so lines never mix.
 * Limits: a line is cut at SLOG_LINE_MAX bytes.  Control characters in values
 *         are shown as \xNN, so that no peer can forge a line.  Events that a
 *         peer can cause at will are limited: SLOG_LIMITED.
 */
#ifndef BASE_SLOG_H
#define BASE_SLOG_H

#include "base/base.h"

enum { SLOG_LINE_MAX = 2048 };

enum slog_level { SLOG_ERROR, SLOG_WARN, SLOG_INFO, SLOG_DEBUG, SLOG_LEVEL_COUNT };

void slog_set_level(enum slog_level);
enum slog_level slog_level(void);

/* "error", "warn", "info" or "debug"; false when it is none of them. */
bool slog_level_parse(const char *, enum slog_level *out);
const char *slog_level_name(enum slog_level);

/* Where lines go: NULL is standard error, as text.  body is "key=value key=..." in the
 * form of slog_line.h.  Any thread may call it at any time, also while another one is
 * set. */
typedef void slog_sink_f(enum slog_level, const char *event, const char *body);

void slog_set_sink(slog_sink_f *);

/* event is "subject-verb"; fmt renders "key=value key=value".  What %s
 * stands for is escaped between quotes of the format, and quoted behind a '=' where it
 * needs that; conversions are those of slog_line_body(). */
void slog_write(enum slog_level, const char *event, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#define SLOG(level, event, ...)                                                          \
	do {                                                                             \
		if ((SLOG_##level) <= slog_level())                                      \
			slog_write(SLOG_##level, (event), __VA_ARGS__);                  \
	} while (0)

/* At most 10 lines a second from this place in the program; what was left out
 * is counted in the next line ("suppressed=N"). */
struct slog_limit {
	_Atomic uint64_t window_us;
	_Atomic uint32_t used;
	_Atomic uint32_t dropped;
};

bool slog_limit_pass(struct slog_limit *, uint32_t *suppressed);

#define SLOG_LIMITED(level, event, fmt, ...)                                             \
	do {                                                                             \
		static struct slog_limit slog_limit_here;                                \
		uint32_t slog_suppressed;                                                \
		if ((SLOG_##level) <= slog_level() &&                                    \
			slog_limit_pass(&slog_limit_here, &slog_suppressed))             \
			slog_write(SLOG_##level, (event), fmt " suppressed=%u",          \
				__VA_ARGS__, slog_suppressed);                           \
	} while (0)

/* Renders text for a log line: quoted, control bytes as \xNN, cut to fit.
 * Returns to. */
const char *slog_quote(char *to, size_t size, const char *text, size_t len);

#endif
