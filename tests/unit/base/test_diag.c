/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include <string.h>

#include "base/diag.h"

static const struct {
	const char *why;
	const char *file;
	uint32_t line, column;
	const char *wanted;
} places[] = {
	{ "all is known", "a.yaml", 3, 7, "a.yaml:3:7: wrong" },
	{ "no column", "a.yaml", 3, 0, "a.yaml:3: wrong" },
	{ "no line", "a.yaml", 0, 0, "a.yaml: wrong" },
	{ "no file", NULL, 0, 0, "wrong" },
};

START_TEST(leaves_out_what_is_unknown)
{
	char text[DIAG_FILE_MAX + DIAG_TEXT_MAX];
	struct diag d;

	diag_clear(&d);
	ck_assert(!diag_is_set(&d));
	diag_set(&d, places[_i].file, places[_i].line, places[_i].column, "wr%s", "ong");
	ck_assert(diag_is_set(&d));
	ck_assert_msg(strcmp(diag_format(&d, text, sizeof(text)), places[_i].wanted) == 0,
		"%s: %s", places[_i].why, text);
}
END_TEST

START_TEST(keeps_the_first_problem)
{
	char text[64];
	struct diag d;

	diag_clear(&d);
	diag_set(&d, "f", 1, 1, "first");
	diag_set(&d, "f", 2, 2, "second");
	ck_assert_str_eq(diag_format(&d, text, sizeof(text)), "f:1:1: first");
}
END_TEST

START_TEST(cuts_what_is_too_long)
{
	char file[2 * DIAG_FILE_MAX], text[32];
	struct diag d;

	memset(file, 'f', sizeof(file) - 1);
	file[sizeof(file) - 1] = '\0';
	diag_clear(&d);
	diag_set(&d, file, 1, 1, "%s%s%s", file, file, file);
	ck_assert_uint_eq(strlen(d.file), DIAG_FILE_MAX - 1);
	ck_assert_uint_eq(strlen(d.text), DIAG_TEXT_MAX - 1);
	diag_format(&d, text, sizeof(text));
	ck_assert_uint_eq(strlen(text), sizeof(text) - 1);
}
END_TEST

Suite *diag_suite(void)
{
	Suite *s = suite_create("base/diag");
	TCase *tc = tcase_create("diag");

	tcase_add_loop_test(tc, leaves_out_what_is_unknown, 0,
		(int)(sizeof(places) / sizeof(places[0])));
	tcase_add_test(tc, keeps_the_first_problem);
	tcase_add_test(tc, cuts_what_is_too_long);
	suite_add_tcase(s, tc);
	return s;
}
