/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy.h"
#include "net/suites.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static const struct {
	const char *bytes;
	size_t len;
	const char *source;             /* NULL: none */
} good[] = {
#define HEADER(bytes, source) { bytes, sizeof(bytes) - 1, source }
	HEADER("PROXY TCP4 192.0.2.1 198.51.100.1 56324 5432\r\n", "192.0.2.1:56324"),
	HEADER("PROXY TCP6 2001:db8::1 ::1 65535 1\r\n", "[2001:db8::1]:65535"),
	HEADER("PROXY UNKNOWN\r\n", NULL),
	HEADER("PROXY UNKNOWN ffff::1 what ever\r\n", NULL),
	HEADER(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\x15\x38", "192.0.2.1:56324"),
	HEADER(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\xdc\4\x15\x38\4\0\0",
		"192.0.2.1:56324"),
	HEADER(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\x50\x15\x38", "[2001:db8::1]:80"),
	HEADER(V2 "\x20\0\0\0", NULL),
	HEADER(V2 "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\x15\x38", NULL),
	HEADER(V2 "\x21\0\0\0", NULL),
	HEADER(V2 "\x21\x31\0\3abc", NULL),
};

/* In memory of its exact size, and with the next bytes behind it. */
static enum proxy_result parse(const char *bytes, size_t len, struct proxy_header *h)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	enum proxy_result result;

	memcpy(copy, bytes, len);
	result = proxy_parse(copy, len, h);
	free(copy);
	return result;
}

START_TEST(tells_the_source)
{
	struct proxy_header h;
	char text[ADDR_TEXT_MAX], more[200];

	memcpy(more, good[_i].bytes, good[_i].len);
	memset(more + good[_i].len, 'x', 10);
	for (size_t behind = 0; behind <= 10; behind += 10) {
		ck_assert_int_eq(parse(more, good[_i].len + behind, &h), PROXY_OK);
		ck_assert_uint_eq(h.len, good[_i].len);
		ck_assert_int_eq(h.has_source, good[_i].source != NULL);
		if (h.has_source)
			ck_assert_str_eq(addr_text(&h.source, text, sizeof(text)), good[_i].source);
	}
}
END_TEST

START_TEST(asks_for_more_at_every_cut)
{
	struct proxy_header h;

	for (size_t cut = 0; cut < good[_i].len; cut++)
		ck_assert_int_eq(parse(good[_i].bytes, cut, &h), PROXY_NEED_MORE);
}
END_TEST

#define BAD(bytes) { bytes, sizeof(bytes) - 1 }
static const struct {
	const char *bytes;
	size_t len;
} bad[] = {
	BAD("x"),
	BAD("\0\0\0\x08\4\xd2\x16\x2f"),
	BAD("PROXX"),
	BAD("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
	BAD("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
	BAD("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
	BAD("PROXY TCP4 ::1 ::1 1 2\r\n"),
	BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
	BAD("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"),
	BAD("PROXY UNKNOWNS\r\n"),
	BAD("PROXY \r\n"),
	BAD("PROXY\r\n"),
	BAD("PROXY TCP4 1111111111111111111111111111111111111111111111111111111111111111111111"
		"11111111111111111111111111111111"),
	BAD("\r\n\r\n\0\r\nQUIT\r"),
	BAD(V2 "\x11\x11\0\x0c"),
	BAD(V2 "\x22\x11\0\x0c"),
	BAD(V2 "\x21\x11\xff\xff"),
	BAD(V2 "\x21\x11\0\x0b" "abcdefghijk"),
	BAD(V2 "\x21\x21\0\x0c" "abcdefghijkl"),
};

START_TEST(refuses)
{
	struct proxy_header h;

	ck_assert_int_eq(parse(bad[_i].bytes, bad[_i].len, &h), PROXY_BAD);
}
END_TEST

Suite *proxy_suite(void)
{
	Suite *s = suite_create("net/proxy");
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, tells_the_source, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, asks_for_more_at_every_cut, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, refuses, 0, (int)COUNT_OF(bad));
	suite_add_tcase(s, tc);
	return s;
}
