/* SPDX-License-Identifier: ISC */
#include "base/slog.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slog_line.h"

enum { LIMIT_PER_SECOND = 10 };

static _Atomic int current_level = SLOG_INFO;
static slog_sink_f *_Atomic current_sink;

static const char *const level_names[SLOG_LEVEL_COUNT] = {
	[SLOG_ERROR] = "error",
	[SLOG_WARN] = "warn",
	[SLOG_INFO] = "info",
	[SLOG_DEBUG] = "debug",
};

void slog_set_level(enum slog_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum slog_level slog_level(void)
{
	return (enum slog_level)atomic_load_explicit(&current_level,
		memory_order_relaxed);
}

const char *slog_level_name(enum slog_level level)
{
	return level_names[level];
}

bool slog_level_parse(const char *text, enum slog_level *out)
{
	for (size_t i = 0; i < COUNT_OF(level_names); i++) {
		if (strcmp(text, level_names[i]) != 0)
			continue;
		*out = (enum slog_level)i;
		return true;
	}
	return false;
}

void slog_set_sink(slog_sink_f *sink)
{
	atomic_store_explicit(&current_sink, sink, memory_order_release);
}

static void to_stderr(enum slog_level level, const char *event, const char *body)
{
	char line[SLOG_LINE_MAX];
	size_t len = slog_line_text(line, sizeof(line), clock_wall_us(), level, event, body);

	/* There is nobody to tell when standard error is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void slog_write(enum slog_level level, const char *event, const char *fmt, ...)
{
	slog_sink_f *sink = atomic_load_explicit(&current_sink, memory_order_acquire);
	char body[SLOG_LINE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)slog_line_body(body, sizeof(body), fmt, args);
	va_end(args);
	(sink == NULL ? to_stderr : sink)(level, event, body);
}

bool slog_limit_pass(struct slog_limit *limit, uint32_t *suppressed)
{
	uint64_t now = clock_now_us();
	uint64_t window = atomic_load_explicit(&limit->window_us, memory_order_relaxed);

	if (now - window >= USEC_PER_SEC &&
		atomic_compare_exchange_strong(&limit->window_us, &window, now))
		atomic_store_explicit(&limit->used, 0, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&limit->used, 1, memory_order_relaxed) >=
		LIMIT_PER_SECOND) {
		atomic_fetch_add_explicit(&limit->dropped, 1, memory_order_relaxed);
		return false;
	}
	*suppressed = atomic_exchange_explicit(&limit->dropped, 0, memory_order_relaxed);
	return true;
}

const char *slog_quote(char *to, size_t size, const char *text, size_t len)
{
	size_t used = 0;

	if (size < 8) {
		to[0] = '\0';
		return to;
	}
	to[used++] = '"';
	for (size_t i = 0, n; i < len && used + 6 < size; i += n == 0 ? 1 : n) {
		unsigned char c = (unsigned char)text[i];

		n = slog_line_plain(text + i, len - i);
		if (c == '"' || c == '\\') {
			to[used++] = '\\';
			to[used++] = (char)c;
		} else if (n > 1) {
			memcpy(to + used, text + i, n);
			used += n;
		} else if (n == 0) {
			used += (size_t)snprintf(to + used, size - used, "\\x%02x", c);
		} else {
			to[used++] = (char)c;
		}
	}
	to[used++] = '"';
	to[used] = '\0';
	return to;
}
