/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"
#include "suites.h"

static char output[4 * SLOG_LINE_MAX];
static int saved, pipe_ends[2];

/* Between the two, what is written to standard error goes to output. */
static void capture_begin(void)
{
	(void)fflush(stderr);
	ck_assert_int_eq(pipe2(pipe_ends, O_NONBLOCK), 0);
	saved = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(pipe_ends[1], STDERR_FILENO), 0);
}

static void capture_end(void)
{
	ssize_t len = read(pipe_ends[0], output, sizeof(output) - 1);

	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	close(saved);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	output[len > 0 ? len : 0] = '\0';
}

START_TEST(line_has_time_level_event_and_values)
{
	unsigned year, month, day, hour, minute, second, millisecond;
	int at = 0;

	capture_begin();
	SLOG(ERROR, "client-close", "id=%d reason=%s", 17, "quit");
	capture_end();
	ck_assert_int_eq(sscanf(output, "%4u-%2u-%2u %2u:%2u:%2u.%3u UTC %n", &year,
		&month, &day, &hour, &minute, &second, &millisecond, &at), 7);
	ck_assert_str_eq(output + at, "error client-close id=17 reason=quit\n");
}
END_TEST

START_TEST(lines_above_the_level_are_left_out)
{
	enum slog_level before = slog_level();

	slog_set_level(SLOG_WARN);
	capture_begin();
	SLOG(INFO, "not-this", "x=%d", 1);
	SLOG(WARN, "but-this", "x=%d", 2);
	capture_end();
	slog_set_level(before);
	ck_assert_ptr_null(strstr(output, "not-this"));
	ck_assert_ptr_nonnull(strstr(output, "warn  but-this x=2\n"));
}
END_TEST

START_TEST(long_line_is_cut_and_still_a_line)
{
	char text[2 * SLOG_LINE_MAX];
	size_t len;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture_begin();
	SLOG(ERROR, "long", "text=%s", text);
	SLOG(ERROR, text, "x=%d", 1);
	capture_end();
	len = strcspn(output, "\n");
	ck_assert_uint_lt(len, SLOG_LINE_MAX);
	ck_assert_uint_gt(len, SLOG_LINE_MAX - 8);
	ck_assert_uint_lt(strlen(output + len + 1), SLOG_LINE_MAX + 1);
	ck_assert_int_eq(output[strlen(output) - 1], '\n');
}
END_TEST

START_TEST(level_names_are_read_back)
{
	enum slog_level level;

	for (int i = 0; i < SLOG_LEVEL_COUNT; i++) {
		ck_assert(slog_level_parse(slog_level_name((enum slog_level)i), &level));
		ck_assert_int_eq((int)level, i);
	}
	ck_assert(!slog_level_parse("", &level));
	ck_assert(!slog_level_parse("ERROR", &level));
	ck_assert(!slog_level_parse("errors", &level));
}
END_TEST

static const struct {
	const char *why;
	const char *text;
	size_t size;
	const char *quoted;
} quotes[] = {
	{ "plain", "abc", 64, "\"abc\"" },
	{ "empty", "", 64, "\"\"" },
	{ "quote and backslash", "a\"b\\", 64, "\"a\\\"b\\\\\"" },
	{ "a line of its own", "a\nERROR x", 64, "\"a\\x0aERROR x\"" },
	{ "escape and delete", "\033[2J\x7f", 64, "\"\\x1b[2J\\x7f\"" },
	{ "UTF-8 as it is", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98", 64,
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98\"" },
	{ "what is none", "\xc3(\xff\xe2\x82", 64, "\"\\xc3(\\xff\\xe2\\x82\"" },
	{ "overlong, surrogate", "\xc0\xaf\xed\xa0\x80", 64,
		"\"\\xc0\\xaf\\xed\\xa0\\x80\"" },
	{ "a control of C1", "\xc2\x9b" "2J", 64, "\"\\xc2\\x9b2J\"" },
	{ "cut to fit", "abcdefghij", 10, "\"abc\"" },
	{ "no room at all", "abc", 7, "" },
};

START_TEST(quotes_what_peers_send)
{
	char to[64];

	memset(to, '#', sizeof(to));
	slog_quote(to, quotes[_i].size, quotes[_i].text, strlen(quotes[_i].text));
	ck_assert_msg(strcmp(to, quotes[_i].quoted) == 0, "%s: %s", quotes[_i].why, to);
}
END_TEST

/* No size is too small for any text. */
START_TEST(quote_never_writes_past_the_end)
{
	char to[32], text[] = "\n\"a\x01\\bcdefghijklmnopqrstuvwxyz";

	for (size_t size = 1; size < sizeof(to); size++) {
		memset(to, '#', sizeof(to));
		slog_quote(to, size, text, sizeof(text) - 1);
		ck_assert_uint_lt(strnlen(to, size), size);
		for (size_t i = size; i < sizeof(to); i++)
			ck_assert_int_eq(to[i], '#');
	}
}
END_TEST

START_TEST(a_flood_is_limited_and_counted)
{
	struct slog_limit limit = { 0 };
	uint32_t suppressed, passed = 0;

	for (int i = 0; i < 25; i++)
		passed += slog_limit_pass(&limit, &suppressed);
	ck_assert_uint_eq(passed, 10);
	/* Its second is over: the next line tells of those left out. */
	limit.window_us = 0;
	ck_assert(slog_limit_pass(&limit, &suppressed));
	ck_assert_uint_eq(suppressed, 15);
	ck_assert(slog_limit_pass(&limit, &suppressed));
	ck_assert_uint_eq(suppressed, 0);
}
END_TEST

Suite *slog_suite(void)
{
	Suite *s = suite_create("base/slog");
	TCase *tc = tcase_create("slog");

	tcase_add_test(tc, line_has_time_level_event_and_values);
	tcase_add_test(tc, lines_above_the_level_are_left_out);
	tcase_add_test(tc, long_line_is_cut_and_still_a_line);
	tcase_add_test(tc, level_names_are_read_back);
	tcase_add_loop_test(tc, quotes_what_peers_send, 0, (int)COUNT_OF(quotes));
	tcase_add_test(tc, quote_never_writes_past_the_end);
	tcase_add_test(tc, a_flood_is_limited_and_counted);
	suite_add_tcase(s, tc);
	return s;
}
