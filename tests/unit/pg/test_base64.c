/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "pg/base64.h"

/* RFC 4648, section 10. */
static const struct {
	const char *plain, *text;
} rows[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	{ "\xfb\xef\xff", "++//" },
};

START_TEST(encodes_and_decodes)
{
	size_t plain_len = strlen(rows[_i].plain), len;
	char text[16];
	uint8_t plain[16];

	ck_assert_uint_eq(base64_encode((const uint8_t *)rows[_i].plain, plain_len, text,
				  sizeof(text)),
		strlen(rows[_i].text));
	ck_assert_str_eq(text, rows[_i].text);
	ck_assert(base64_decode(text, strlen(text), plain, sizeof(plain), &len));
	ck_assert_uint_eq(len, plain_len);
	ck_assert_mem_eq(plain, rows[_i].plain, len);
	if (plain_len > 0)
		ck_assert(!base64_decode(text, strlen(text), plain, plain_len - 1, &len));
}
END_TEST

static const struct {
	const char *why, *text;
} bad[] = {
	{ "no padding", "Zg" },
	{ "half of the padding", "Zg=" },
	{ "too much padding", "Z===" },
	{ "padding alone", "====" },
	{ "padding inside", "Zg==Zm9v" },
	{ "white space", "Zm9v\n" },
	{ "white space inside", "Zm 9" },
	{ "letters of URLs", "-_-_" },
	{ "unused bits, one byte", "Zh==" },
	{ "unused bits, two bytes", "Zm9=" },
	{ "a digit after padding", "Zg=v" },
	{ "a high byte", "Zm9\xc3" },
};

START_TEST(refuses_what_is_not_base64)
{
	uint8_t to[16];
	size_t len;

	ck_assert_msg(!base64_decode(bad[_i].text, strlen(bad[_i].text), to, sizeof(to), &len),
		"%s", bad[_i].why);
}
END_TEST

START_TEST(each_digit_has_its_value)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";

	for (int c = 1; c < 256; c++) {
		const char text[] = { 'A', 'A', 'A', (char)c };
		const char *at = strchr(digits, c);
		uint8_t bytes[3] = { 1, 1, 1 };
		size_t len;
		bool is_fine = base64_decode(text, sizeof(text), bytes, sizeof(bytes), &len);

		/* Padding, of which "AAA=" has one. */
		if (c == '=')
			continue;
		ck_assert_msg(is_fine == (at != NULL), "%d", c);
		if (at == NULL)
			continue;
		ck_assert_uint_eq(len, 3);
		ck_assert(bytes[0] == 0 && bytes[1] == 0 && bytes[2] == at - digits);
	}
}
END_TEST

Suite *base64_suite(void);
Suite *base64_suite(void)
{
	Suite *s = suite_create("pg/base64");
	TCase *tc = tcase_create("base64");

	tcase_add_loop_test(tc, encodes_and_decodes, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, each_digit_has_its_value);
	tcase_add_loop_test(tc, refuses_what_is_not_base64, 0, (int)COUNT_OF(bad));
	suite_add_tcase(s, tc);
	return s;
}
