/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "admin/utf8.h"
#include "suites.h"

static const struct {
	const char *why;
	const char *text;
	const char *clean;
} rows[] = {
	{ "nothing", "", "" },
	{ "ASCII", "abc", "abc" },
	{ "two, three and four bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98",
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98" },
	{ "Latin-1", "w\xf6rk", "w\\xf6rk" },
	{ "a byte at the end", "a\xff", "a\\xff" },
	{ "a character that ends early", "a\xe2\x82", "a\\xe2\\x82" },
	{ "a continuation alone", "\x80""b", "\\x80b" },
	{ "an overlong NUL", "\xc0\x80", "\\xc0\\x80" },
	{ "an overlong slash", "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
	{ "a surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80" },
	{ "beyond U+10FFFF", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	{ "the last one", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
};

START_TEST(cleans)
{
	struct buf b;

	buf_init(&b, 0);
	utf8_add_clean(&b, rows[_i].text);
	ck_assert(buf_ok(&b));
	ck_assert_str_eq((const char *)buf_data(&b), rows[_i].clean);
	ck_assert_msg(utf8_is_valid(rows[_i].text) ==
			(strcmp(rows[_i].text, rows[_i].clean) == 0),
		"%s", rows[_i].why);
	ck_assert(utf8_is_valid(rows[_i].clean));
	buf_finish(&b);
}
END_TEST

Suite *utf8_suite(void)
{
	Suite *s = suite_create("admin/utf8");
	TCase *tc = tcase_create("clean");

	tcase_add_loop_test(tc, cleans, 0, (int)COUNT_OF(rows));
	suite_add_tcase(s, tc);
	return s;
}
