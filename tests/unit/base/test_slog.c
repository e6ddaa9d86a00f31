/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include <string.h>
#include <unistd.h>

#include "base/slog.h"

/* What a line looks like is read back through a pipe in the place of stderr. */
static size_t written(char *to, size_t size, const char *value)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t len;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	slog_write(SLOG_WARN, "thing-happened", "value=%s", value);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	len = read(ends[0], to, size - 1);
	ck_assert_int_gt(len, 0);
	to[len] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(saved);
	return (size_t)len;
}

START_TEST(a_line_has_time_level_event_and_values)
{
	char line[4096];

	written(line, sizeof(line), "7");
	ck_assert_ptr_nonnull(strstr(line, " UTC warn  thing-happened value=7\n"));
	ck_assert_int_eq(line[4], '-');
	ck_assert_int_eq(line[10], ' ');
}
END_TEST

START_TEST(a_long_line_is_cut_and_still_ends)
{
	char line[3 * SLOG_LINE_MAX], value[2 * SLOG_LINE_MAX];
	size_t len;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	len = written(line, sizeof(line), value);
	ck_assert_uint_le(len, SLOG_LINE_MAX);
	ck_assert_int_eq(line[len - 1], '\n');
	ck_assert_ptr_eq(strchr(line, '\n'), line + len - 1);
}
END_TEST

static const struct {
	const char *why, *text, *wanted;
} quotes[] = {
	{ "plain", "abc", "\"abc\"" },
	{ "empty", "", "\"\"" },
	{ "quotes and backslashes", "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "a forged line", "x\nerror", "\"x\\x0aerror\"" },
	{ "escape sequences of a terminal", "\x1b[2J", "\"\\x1b[2J\"" },
	{ "DEL", "\x7f", "\"\\x7f\"" },
	{ "UTF-8 is left", "\xc3\xa4", "\"\xc3\xa4\"" },
};

START_TEST(no_peer_can_forge_a_line)
{
	char to[64];

	slog_quote(to, sizeof(to), quotes[_i].text, strlen(quotes[_i].text));
	ck_assert_msg(strcmp(to, quotes[_i].wanted) == 0, "%s: %s", quotes[_i].why, to);
}
END_TEST

/* Any room, any text: within its room, terminated. */
START_TEST(quoting_fits_in_any_room)
{
	char to[80];
	size_t size = (size_t)_i;

	memset(to, '!', sizeof(to));
	slog_quote(to, size, "\n\n\"\"\\\\ plain text \x01\x02\x03", 22);
	ck_assert_ptr_nonnull(memchr(to, '\0', size));
	for (size_t i = size; i < sizeof(to); i++)
		ck_assert_int_eq(to[i], '!');
}
END_TEST

START_TEST(ten_lines_a_second_then_the_rest_is_counted)
{
	struct slog_limit limit = { 0 };
	uint32_t suppressed = 99, passed = 0;

	for (int i = 0; i < 1000; i++) {
		if (slog_limit_pass(&limit, &suppressed)) {
			ck_assert_uint_eq(suppressed, 0);
			passed++;
		}
	}
	ck_assert_uint_ge(passed, 10);
	ck_assert_uint_le(passed, 20);
	ck_assert_uint_eq(passed + limit.dropped, 1000);
	/* As if a second had gone by. */
	limit.window_us = 0;
	ck_assert(slog_limit_pass(&limit, &suppressed));
	ck_assert_uint_eq(passed + suppressed, 1000);
}
END_TEST

START_TEST(levels_have_names)
{
	enum slog_level level;

	for (int i = 0; i < SLOG_LEVEL_COUNT; i++) {
		ck_assert(slog_level_parse(slog_level_name((enum slog_level)i), &level));
		ck_assert_int_eq((int)level, i);
	}
	ck_assert(!slog_level_parse("loud", &level));
	ck_assert(!slog_level_parse("", &level));
}
END_TEST

Suite *slog_suite(void)
{
	Suite *s = suite_create("base/slog");
	TCase *tc = tcase_create("slog");

	tcase_add_test(tc, a_line_has_time_level_event_and_values);
	tcase_add_test(tc, a_long_line_is_cut_and_still_ends);
	tcase_add_loop_test(tc, no_peer_can_forge_a_line, 0,
		(int)(sizeof(quotes) / sizeof(quotes[0])));
	tcase_add_loop_test(tc, quoting_fits_in_any_room, 1, 70);
	tcase_add_test(tc, ten_lines_a_second_then_the_rest_is_counted);
	tcase_add_test(tc, levels_have_names);
	suite_add_tcase(s, tc);
	return s;
}
