/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "sql/fingerprint.h"
#include "sql/lexer.h"
#include "sql/suites.h"

static uint64_t of(const char *text)
{
	return fingerprint_of(text, strlen(text), LEXER_STANDARD_STRINGS);
}

START_TEST(constants_make_no_difference)
{
	static const char *const same[] = {
		"SELECT a FROM t WHERE b = 1 AND c IN (1, 2, 3)",
		"select a from t where b = 'x' and c in ($1)",
		"select a from t -- one\n where b=2.5e3 and c in ('a',1, E'\\n' )",
		"SELECT/**/a FROM T WHERE b = $$x$$ AND c IN (X'ff', B'1')",
	};

	for (size_t i = 1; i < COUNT_OF(same); i++)
		ck_assert_msg(of(same[i]) == of(same[0]), "%s", same[i]);
}
END_TEST

START_TEST(everything_else_does)
{
	static const char *const other[] = { "", "select", "select 1", "select 1 2", "select a",
		"select b", "select \"A\"", "select \"a\"", "select ab", "select a b",
		"select 1 + 2", "select 1 - 2", "select (1, a)", "select (1), a",
		"select 1,", "select ,1", "select 'open", "\xff" };

	for (size_t i = 0; i < COUNT_OF(other); i++) {
		ck_assert(of(other[i]) != 0);
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(of(other[i]) != of(other[k]), "%s|%s", other[i], other[k]);
	}
}
END_TEST

/* Nothing is read beyond the end, wherever that is: sanitizers watch the copies. */
START_TEST(cut_anywhere)
{
	static const char text[] = "SELECT 'a', $1, \"b\" FROM c /* d */ WHERE e = E'\\'' -- f\n";

	for (size_t len = 0; len < sizeof(text); len++) {
		char copy[sizeof(text)];

		memcpy(copy, text, len);
		ck_assert(fingerprint_of(copy, len, 0) != 0);
	}
	ck_assert(fingerprint_of(NULL, 0, 0) != 0);
}
END_TEST

Suite *fingerprint_suite(void)
{
	Suite *s = suite_create("sql/fingerprint");
	TCase *tc = tcase_create("fingerprint");

	tcase_add_test(tc, constants_make_no_difference);
	tcase_add_test(tc, everything_else_does);
	tcase_add_test(tc, cut_anywhere);
	suite_add_tcase(s, tc);
	return s;
}
