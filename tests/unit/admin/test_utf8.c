/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
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
	{ "a backslash", "C:\\temp", "C:\\temp" },
	{ "what a byte would become", "\\xf6", "\\\\xf6" },
	{ "... twice", "\\\\xf6", "\\\\\\\\xf6" },
	{ "a backslash before a byte", "\\\xf6", "\\\\\\xf6" },
	{ "digits that are none", "\\xF6\\x\\x1", "\\xF6\\x\\x1" },
	{ "the last one", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
};

START_TEST(cleans)
{
	struct buf b;

	buf_init(&b, 0);
	utf8_add_clean(&b, rows[_i].text);
	ck_assert(buf_ok(&b));
	ck_assert_str_eq((const char *)buf_data(&b), rows[_i].clean);
	ck_assert_msg(utf8_is_clean(rows[_i].text) ==
			(strcmp(rows[_i].text, rows[_i].clean) == 0),
		"%s", rows[_i].why);
	ck_assert(utf8_is_valid(rows[_i].clean));
	buf_finish(&b);
}
END_TEST

/* All texts of up to six of these: none becomes what another one does. */
static const char alphabet[] = { '\\', 'x', 'f', '6', (char)0xf6, 'a' };

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

START_TEST(no_two_become_one)
{
	enum { LEN = 6, BASE = COUNT_OF(alphabet) };
	size_t count = 0, most = 60000;
	char **found = calloc(most, sizeof(*found));

	for (size_t len = 0; len <= LEN; len++) {
		size_t texts = 1;

		for (size_t i = 0; i < len; i++)
			texts *= BASE;
		for (size_t n = 0; n < texts; n++) {
			char text[LEN + 1] = "";
			size_t rest = n;
			struct buf b;

			for (size_t i = 0; i < len; i++, rest /= BASE)
				text[i] = alphabet[rest % BASE];
			buf_init(&b, 0);
			utf8_add_clean(&b, text);
			ck_assert_uint_lt(count, most);
			found[count++] = strdup((const char *)buf_data(&b));
			buf_finish(&b);
		}
	}
	qsort(found, count, sizeof(*found), compare_texts);
	for (size_t i = 1; i < count; i++)
		ck_assert_msg(strcmp(found[i - 1], found[i]) != 0, "%s", found[i]);
	for (size_t i = 0; i < count; i++)
		free(found[i]);
	free(found);
}
END_TEST

Suite *utf8_suite(void)
{
	Suite *s = suite_create("admin/utf8");
	TCase *tc = tcase_create("clean");

	tcase_add_loop_test(tc, cleans, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, no_two_become_one);
	suite_add_tcase(s, tc);
	return s;
}
