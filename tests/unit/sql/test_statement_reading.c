/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sql/statement_reading.h"
#include "sql/suites.h"

#define ON (LEXER_STANDARD_STRINGS | LEXER_UTF8)

enum { TOLD = STATEMENT_READS_TOLD, ALL = STATEMENT_READS_ALL };

static const struct {
	unsigned reading;
	const char *text;
} rows[] = {
	{ 0, "" },
	{ 0, "SELECT a, 1.5, X'1f' FROM t WHERE b = $1 AND c IS NOT NULL" },
	{ 0, "SELECT NULL, a >= 1 -- '1 EST' = NULL" },
	{ 0, "SELECT \"it's\" FROM t /* 'NULL' */" },
	{ TOLD, "SELECT * FROM t WHERE status = 'active'" },
	{ TOLD, "SELECT now() - interval '7 days', 'it''s'" },
	{ TOLD, "SELECT '2024-07-01 12:00'::timestamptz, '2024-07-01T12:00:00Z'" },
	{ TOLD, "SELECT '{}'::jsonb, '{a,b}', $$x$$, N'x'" },
	{ ALL, "SELECT 1 WHERE x = NULL" },
	{ ALL, "SELECT 1 WHERE x=(null)" },
	{ ALL, "SELECT 1 WHERE (NULL) /* x */ = x" },
	{ 0, "SELECT 1 WHERE x <> NULL OR NULL IS NULL OR y = z" },
	{ ALL, "SELECT '2024-07-01 12:00 EST'::timestamptz" },
	{ ALL, "SELECT '12:00 CEST'" },
	{ ALL, "SELECT '1 July 2024'" },
	{ ALL, "SELECT '{1,Null}'::int[]" },
	{ ALL, "SELECT '\\x4142'" },
	{ ALL, "SELECT E'\\x41'" },
	{ ALL, "SELECT 'a'::bytea" },
	{ ALL, "SELECT (1::float8 / 3)::text" },
	{ ALL, "SELECT (1::\"float8\" / 3)::text" },
	{ ALL, "SELECT CAST(1 AS double precision)" },
	{ 0, "SELECT realm_id, double_x::text FROM realm, log" },
	{ ALL, "SELECT sqrt(2)::text" },
	{ ALL, "SELECT sqrt(2) || ''" },
	{ ALL, "SELECT CAST(\"pi\"() AS text)" },
	{ ALL, "SELECT text(|/ 2)" },
	{ ALL, "SELECT (2 ^ 70)::varchar" },
	{ 0, "SELECT sqrt(x), 2 ^ y FROM t" },
	{ 0, "SELECT lower(x)::text FROM t" },
	{ ALL, "SELECT xmlparse(DOCUMENT $1)" },
	{ ALL, "SELECT quote_ident(a)" },
	{ ALL, "SELECT 'without an end" },
	{ ALL, "SELECT U&\"\\0066loat8\"" },
};

START_TEST(reads_each)
{
	const char *text = rows[_i].text;

	ck_assert_msg(statement_reading(text, strlen(text), ON) == rows[_i].reading, "%s", text);
}
END_TEST

/* A backslash that may end a string or not. */
START_TEST(flags_count)
{
	static const char text[] = "SELECT 'x\\', ' = NULL'";

	ck_assert_uint_eq(statement_reading(text, strlen(text), 0), ALL);
	ck_assert_uint_eq(statement_reading("SELECT '\x95\\'", 11, LEXER_UNSAFE_ENCODING), ALL);
}
END_TEST

Suite *statement_reading_suite(void)
{
	Suite *suite = suite_create("statement_reading");
	TCase *tc = tcase_create("statement_reading");

	tcase_add_loop_test(tc, reads_each, 0, COUNT_OF(rows));
	tcase_add_test(tc, flags_count);
	suite_add_tcase(suite, tc);
	return suite;
}
