/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "suites.h"

START_TEST(digits_are_those_of_the_c_library)
{
	for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
		const char text[] = { (char)c, '\0' };
		bool is_digit = c > 0 && c < 128 && isxdigit(c);

		ck_assert_int_eq(hex_value((char)c),
			is_digit ? (int)strtol(text, NULL, 16) : -1);
	}
}
END_TEST

START_TEST(all_bytes_go_there_and_back)
{
	uint8_t bytes[256], back[256];
	char text[512];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	hex_write(text, bytes, sizeof(bytes));
	ck_assert_mem_eq(text, "000102", 6);
	ck_assert_mem_eq(text + 506, "fdfeff", 6);
	ck_assert(hex_read(back, text, sizeof(back)));
	ck_assert_mem_eq(back, bytes, sizeof(bytes));
}
END_TEST

START_TEST(what_is_no_digit_is_refused)
{
	uint8_t byte;

	ck_assert(hex_read(&byte, "aF", 1));
	ck_assert_uint_eq(byte, 0xaf);
	ck_assert(!hex_read(&byte, "g0", 1));
	ck_assert(!hex_read(&byte, "0 ", 1));
	ck_assert(!hex_read(&byte, "0", 1));
}
END_TEST

START_TEST(ascii_ends_at_0x7f)
{
	ck_assert(text_is_ascii(""));
	ck_assert(text_is_ascii("a\x7f"));
	ck_assert(!text_is_ascii("a\x80"));
	ck_assert(!text_is_ascii("\xc3\xa4"));
}
END_TEST

Suite *text_suite(void)
{
	Suite *s = suite_create("base/text");
	TCase *tc = tcase_create("text");

	tcase_add_test(tc, digits_are_those_of_the_c_library);
	tcase_add_test(tc, all_bytes_go_there_and_back);
	tcase_add_test(tc, what_is_no_digit_is_refused);
	tcase_add_test(tc, ascii_ends_at_0x7f);
	suite_add_tcase(s, tc);
	return s;
}
