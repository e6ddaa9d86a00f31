/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/diag.h"
#include "suites.h"

static const struct {
	const char *file;
	uint32_t line, column;
	const char *text;
} places[] = {
	{ "a.yaml", 3, 7, "a.yaml:3:7: no" },
	{ "a.yaml", 3, 0, "a.yaml:3: no" },
	{ "a.yaml", 0, 7, "a.yaml: no" },
	{ "a.yaml", 0, 0, "a.yaml: no" },
	{ "", 3, 7, "no" },
	{ NULL, 0, 0, "no" },
};

START_TEST(leaves_out_what_is_unknown)
{
	struct diag d;
	char text[64];

	diag_clear(&d);
	ck_assert(!diag_is_set(&d));
	diag_set(&d, places[_i].file, places[_i].line, places[_i].column, "%s", "no");
	ck_assert(diag_is_set(&d));
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)), places[_i].text);
}
END_TEST

START_TEST(first_reason_wins)
{
	struct diag d;

	diag_clear(&d);
	diag_set(&d, "a", 1, 1, "first");
	diag_set(&d, "b", 2, 2, "second");
	ck_assert_str_eq(d.text, "first");
	ck_assert_str_eq(d.file, "a");
	diag_clear(&d);
	diag_set(&d, "b", 2, 2, "second");
	ck_assert_str_eq(d.text, "second");
}
END_TEST

START_TEST(long_texts_are_cut)
{
	char text[2 * DIAG_TEXT_MAX], small[8];
	struct diag d;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	diag_clear(&d);
	diag_set(&d, text, 1, 1, "%s", text);
	ck_assert_uint_eq(strlen(d.text), DIAG_TEXT_MAX - 1);
	ck_assert_uint_eq(strlen(d.file), DIAG_FILE_MAX - 1);
	ck_assert_str_eq(diag_format(&d, small, sizeof(small)), "xxxxxxx");
}
END_TEST

Suite *diag_suite(void)
{
	Suite *s = suite_create("base/diag");
	TCase *tc = tcase_create("diag");

	tcase_add_loop_test(tc, leaves_out_what_is_unknown, 0, (int)COUNT_OF(places));
	tcase_add_test(tc, first_reason_wins);
	tcase_add_test(tc, long_texts_are_cut);
	suite_add_tcase(s, tc);
	return s;
}
