/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <string.h>

#include "base/slog_line.h"
#include "suites.h"

static char out[SLOG_LINE_MAX];

static void render(size_t size, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void render(size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ck_assert_uint_lt(slog_line_body(out, size, fmt, args), size);
	va_end(args);
}

START_TEST(conversions_are_those_of_printf)
{
	render(sizeof(out), "a=%d b=%u c=%lu d=%zu e=%02x f=%016lx g=%c h=%.3s i=%.*s j=%% k=%ld",
		-5, 7u, 1ul << 40, (size_t)9, 10u, 0xabcul, 'x', "abcdef", 2, "xyz", -6l);
	ck_assert_str_eq(out,
		"a=-5 b=7 c=1099511627776 d=9 e=0a f=0000000000000abc g=x h=abc i=xy j=% "
		"k=-6");
}
END_TEST

START_TEST(values_are_escaped_where_they_must)
{
	render(sizeof(out), "error=\"cannot %s: %s\" x=%s", "open \"a\\b\"", "\n\x7f", "y");
	ck_assert_str_eq(out, "error=\"cannot open \\\"a\\\\b\\\": \\x0a\\x7f\" x=y");
	render(sizeof(out), "a=%s b=%s c=%s d=%s/%s", "plain", "two words", "say \"no\"", "a b",
		"c d");
	ck_assert_str_eq(out, "a=plain b=\"two words\" c=\"say \\\"no\\\"\" d=\"a b\"/c d");
	/* What slog_quote() has made stays. */
	render(sizeof(out), "user=%s", "\"a \\\" b\"");
	ck_assert_str_eq(out, "user=\"a \\\" b\"");
}
END_TEST

START_TEST(every_size_is_enough)
{
	for (size_t size = 1; size < 40; size++) {
		memset(out, 'z', sizeof(out));
		render(size, "k=\"%s\" n=%u", "\"\n\"", 4000000000u);
		ck_assert_uint_lt(strlen(out), size);
		ck_assert_int_eq(out[size], 'z');
	}
}
END_TEST

static const uint64_t noon_us = UINT64_C(1763640000123456);

START_TEST(both_forms)
{
	char line[SLOG_JSON_MAX];
	size_t len;

	len = slog_line_text(line, sizeof(line), noon_us, SLOG_WARN, "wait-timeout", "id=7");
	line[len] = '\0';
	ck_assert_str_eq(line, "2025-11-20 12:00:00.123 UTC warn  wait-timeout id=7\n");
	len = slog_line_json(line, sizeof(line), noon_us, SLOG_INFO, "client-close",
		"id=17 zero=0 octal=017 user=\"a \\\"b\\\\ \\x0a\xc3\xa4 \\xff\" empty= "
		"quoted=\"5\" word addr=[::1]:5 big=18446744073709551615");
	line[len] = '\0';
	ck_assert_str_eq(line,
		"{\"time\":\"2025-11-20T12:00:00.123Z\",\"level\":\"info\","
		"\"event\":\"client-close\",\"id\":17,\"zero\":0,\"octal\":\"017\","
		"\"user\":\"a \\\"b\\\\ \\n\xc3\xa4 \\ufffd\",\"empty\":\"\","
		"\"quoted\":\"5\",\"word\":\"\",\"addr\":\"[::1]:5\","
		"\"big\":\"18446744073709551615\"}\n");
}
END_TEST

/* However little room there is: an object, closed, in one line. */
START_TEST(json_is_cut_between_values)
{
	char line[400], body[200];

	memset(body, '"', sizeof(body) - 1);
	memcpy(body, "a=\"x\" b=\"", 9);
	body[sizeof(body) - 1] = '\0';
	for (size_t size = 100; size < sizeof(line); size++) {
		size_t len = slog_line_json(line, size, noon_us, SLOG_INFO, "e", body);
		size_t quotes = 0;

		ck_assert_uint_le(len, size);
		ck_assert_mem_eq(line + len - 2, "}\n", 2);
		for (size_t i = 0; i < len; i++)
			quotes += line[i] == '"' && line[i - 1] != '\\';
		ck_assert_uint_eq(quotes % 2, 0);
	}
}
END_TEST

Suite *slog_line_suite(void)
{
	Suite *s = suite_create("base/slog_line");
	TCase *tc = tcase_create("slog_line");

	tcase_add_test(tc, conversions_are_those_of_printf);
	tcase_add_test(tc, values_are_escaped_where_they_must);
	tcase_add_test(tc, every_size_is_enough);
	tcase_add_test(tc, both_forms);
	tcase_add_test(tc, json_is_cut_between_values);
	suite_add_tcase(s, tc);
	return s;
}
