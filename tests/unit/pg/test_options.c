/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "pg/options.h"

static const struct {
	const char *why, *text;
	const char *expected;   /* "name=value;" for each; NULL: an error */
} rows[] = {
	{ "nothing", "", "" },
	{ "white space", " \t\n\v\f\r ", "" },
	{ "-c and a word", "-c a=1", "a=1;" },
	{ "-c in one word", "-ca=1", "a=1;" },
	{ "two dashes", "--a=1", "a=1;" },
	{ "several", " -c a=1\t--b=2  -cc=3 ", "a=1;b=2;c=3;" },
	{ "dashes become underscores", "--work-mem=4MB -c search-path=a-b",
		"work_mem=4MB;search_path=a-b;" },
	{ "an escaped space", "-c a=x\\ y", "a=x y;" },
	{ "an escaped backslash", "-c a=x\\\\y", "a=x\\y;" },
	{ "an escape of nothing special", "-c \\a=\\1", "a=1;" },
	{ "a backslash at the end", "-c a=1\\", "a=1;" },
	{ "an empty value", "-c a=", "a=;" },
	{ "equals signs in the value", "-c a=b=c", "a=b=c;" },
	{ "a name with a dot", "-c app.tenant=7", "app.tenant=7;" },
	{ "a quote is nothing special", "-c a='x y'", NULL },
	{ "no value", "-c a", NULL },
	{ "no name", "-c =1", NULL },
	{ "no setting", "-c", NULL },
	{ "no setting, but space", "-c  ", NULL },
	{ "an empty word", "-c a=1 \\", NULL },
	{ "an empty setting", "--", NULL },
	{ "another switch", "-e", NULL },
	{ "a bare word", "a=1", NULL },
	{ "a switch after settings", "-c a=1 -d 5", NULL },
};

START_TEST(reads_as_postgresql_does)
{
	struct buf out, seen;
	struct diag diag;
	const char *name, *value;
	size_t pos = 0;
	bool is_fine;

	buf_init(&out, 0);
	buf_init(&seen, 0);
	diag_clear(&diag);
	is_fine = options_parse(rows[_i].text, &out, &diag);
	ck_assert_msg(is_fine == (rows[_i].expected != NULL), "%s", rows[_i].why);
	ck_assert_msg(diag_is_set(&diag) != is_fine, "%s", rows[_i].why);
	while (options_next(&out, &pos, &name, &value))
		buf_addf(&seen, "%s=%s;", name, value);
	buf_add_u8(&seen, 0);
	ck_assert_msg(strcmp((const char *)buf_data(&seen),
			      is_fine ? rows[_i].expected : "") == 0,
		"%s: %s", rows[_i].why, (const char *)buf_data(&seen));
	buf_finish(&out);
	buf_finish(&seen);
}
END_TEST

START_TEST(names_the_wrong_word)
{
	struct buf out;
	struct diag diag;

	buf_init(&out, 0);
	diag_clear(&diag);
	buf_add_str(&out, "before");
	ck_assert(!options_parse("-c a=1 -x\\ y", &out, &diag));
	ck_assert_ptr_nonnull(strstr(diag.text, "\"-x y\""));
	ck_assert_uint_eq(buf_len(&out), 6);
	buf_finish(&out);
}
END_TEST

START_TEST(fails_without_room)
{
	struct buf out;
	struct diag diag;

	buf_init(&out, 4);
	diag_clear(&diag);
	ck_assert(!options_parse("-c abc=1", &out, &diag));
	ck_assert(!buf_ok(&out));
	buf_finish(&out);
}
END_TEST

Suite *options_suite(void);
Suite *options_suite(void)
{
	Suite *s = suite_create("pg/options");
	TCase *tc = tcase_create("options");

	tcase_add_loop_test(tc, reads_as_postgresql_does, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, names_the_wrong_word);
	tcase_add_test(tc, fails_without_room);
	suite_add_tcase(s, tc);
	return s;
}
