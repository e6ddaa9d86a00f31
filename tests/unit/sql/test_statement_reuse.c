/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <check.h>

#include "sql/statement_reuse.h"
#include "sql/suites.h"

#define ON (LEXER_STANDARD_STRINGS | LEXER_UTF8)

static const char *const reusable[] = {
	"SELECT 1",
	"SELECT abalance FROM pgbench_accounts WHERE aid = $1",
	"SELECT $1::int + 1;",
	"/* by key */ select * from \"T\" where a = $1 and b in ('x', 'y z') -- all",
	"WITH x AS (SELECT $1 AS a) SELECT * FROM x JOIN t USING (a)",
	"VALUES ($1, $2)",
	"TABLE t",
	"(SELECT 1) UNION ALL SELECT 2.5e3",
	"INSERT INTO t (a, b) VALUES ($1, 'fresh') RETURNING id",
	"UPDATE t SET a = $1, state = 'running' WHERE id = nextval('s')",
	"DELETE FROM t WHERE name LIKE 'a%'",
	"SELECT now(), current_date, my_function($1)",
	"SELECT now FROM today",
	"SELECT count(*) FROM t FOR UPDATE",
	"SELECT a63456789012345678901234567890123456789012345678901234567890123",
};

static const char *const not_reusable[] = {
	"",
	"   -- nothing",
	"SELECT 1; SELECT 2",
	"BEGIN",
	"COMMIT",
	"SET search_path = x",
	"SHOW work_mem",
	"CREATE TABLE t (a int)",
	"CREATE TABLE t AS SELECT 1",
	"SELECT 1 INTO t",
	"EXPLAIN SELECT 1",
	"COPY t TO STDOUT",
	"TRUNCATE t",
	"LOCK t",
	"PREPARE x AS SELECT 1",
	"EXECUTE x",
	"DECLARE c CURSOR FOR SELECT 1",
	"LISTEN x",
	"DO $$ BEGIN END $$",
	"CALL p()",
	"SELECT set_config('a.b', 'c', false)",
	"SELECT setseed($1)",
	"SELECT pg_advisory_lock($1)",
	"SELECT * FROM pg_temp.t",
	/* Constants of a type, which are read under who knows what. */
	"SELECT 'x'::regclass",
	"SELECT CAST('x' AS regtype)",
	"SELECT date 'x'",
	"SELECT ARRAY['x']::regclass[]",
	"SELECT * FROM t WHERE a = '{n\\ow}'",
	"SELECT * FROM t WHERE a = '(n\"o\"w)'",
	/* Times. */
	"SELECT * FROM t WHERE a = 'knowing'",
	"SELECT * FROM t WHERE a > 'now'",
	"SELECT * FROM t WHERE a > ' ToDay '",
	"SELECT * FROM t WHERE a > '_tomorrow_'",
	"SELECT * FROM t WHERE a > 'yesterday allballs'",
	"SELECT * FROM t WHERE a > 'no'\n'w'",
	"SELECT * FROM t WHERE a > E'n\\x6fw'",
	"SELECT * FROM t WHERE a > U&'\\006eow'",
	"SELECT * FROM t WHERE a > $$now$$",
	"SELECT * FROM t WHERE a > N'x'",
	"SELECT * FROM t WHERE a = '12:00'",
	"SELECT * FROM t WHERE a = 'it''s'",
	/* Names that are cut off. */
	"SELECT a634567890123456789012345678901234567890123456789012345678901234",
	"SELECT 1 AS \"a6345678901234567890123456789012345678901234567890123456789012345\"",
	"SELECT 1 AS U&\"a\"",
	/* Not understood. */
	"SELECT 'x",
	"SELECT $1 FROM /* t",
	"SELECT \\ 1",
	"SELEC 1",
};

START_TEST(what_may_be_read_once)
{
	ck_assert_msg(statement_is_reusable(reusable[_i], strlen(reusable[_i]), ON), "%s",
		reusable[_i]);
}
END_TEST

START_TEST(what_is_to_be_read_each_time)
{
	ck_assert_msg(!statement_is_reusable(not_reusable[_i], strlen(not_reusable[_i]), ON),
		"%s", not_reusable[_i]);
}
END_TEST

/* With escapes in plain strings PostgreSQL has warnings; and bytes of some encodings look
 * like quotes. */
START_TEST(nothing_under_settings_that_few_have)
{
	static const char text[] = "SELECT 'x'";

	ck_assert(statement_is_reusable(text, sizeof(text) - 1, ON));
	ck_assert(!statement_is_reusable(text, sizeof(text) - 1, LEXER_UTF8));
	ck_assert(!statement_is_reusable(text, sizeof(text) - 1, ON | LEXER_UNSAFE_ENCODING));
}
END_TEST

/* Proven with PostgreSQL: test_postgresql_freezes_it() of tests/integration/test_prepared.py. */
static const struct {
	const char *text;
	bool depends;
} times[] = {
	{ "SELECT 'now'::timestamptz", true },
	{ "SELECT ' Today '::date", true },
	{ "SELECT timestamptz 'TOMORROW'", true },
	{ "INSERT INTO t VALUES ('yesterday')", true },
	{ "SELECT $$now$$::date", true },
	{ "SELECT $x$now$x$::date", true },
	{ "SELECT '2024-01-01 now'", true },
	{ "SELECT '_now_'::timestamptz", true },
	{ "SELECT 'today12:30'::timestamp", true },
	{ "SELECT '1now'", true },
	{ "SELECT 'allballs today'", true },
	{ "SELECT E'n\\x6fw'::timestamptz", true },
	{ "SELECT E'n\\157w'::timestamptz", true },
	{ "SELECT U&'n\\006fw'::timestamptz", true },
	{ "SELECT U&'n!006fw' UESCAPE '!'", true },
	{ "SELECT 'no'\n'w'::timestamptz", true },
	{ "SELECT 'to' -- a\n  'day'::date", true },
	{ "SELECT '{n\\ow}'::timestamptz[]", true },
	{ "SELECT '{now,today}'::timestamptz[]", true },
	{ "SELECT '[today,)'::tstzrange", true },
	{ "SELECT '(n\"o\"w)'::r", true },
	{ "SELECT E'{n\\\\ow}'::timestamptz[]", true },
	{ "SELECT date('today')", true },
	{ "SELECT '12:30'::timetz", true },
	{ "SELECT '2024-01-01 12:30'", false },
	{ "SELECT '2024-01-01'::date, 'a:b', '1:', 'x'", false },
	{ "SELECT now()", false },
	{ "SELECT now ( ), now", false },
	{ "SELECT known, unknown, nowhere FROM t", false },
	{ "SELECT 'unknown', 'known', 'Nowhere'", false },
	{ "SELECT my_now FROM t WHERE a = 'x'", false },
	{ "SELECT \"now\" FROM t WHERE a = 'x'", false },
	{ "SELECT 'x' -- 'now'", false },
	{ "SELECT '\\d+'", false },
	{ "SELECT E'it''s\\n'", false },
	{ "SELECT '{\"a\": \"unknown\"}'::jsonb", true },
	{ "SELECT $1, todays FROM yesterdays", false },
	{ "", false },
	{ "no", false },
	{ "now", false },
};

START_TEST(constants_that_depend_on_the_time_are_found)
{
	const char *text = times[_i].text;

	ck_assert_msg(statement_depends_on_time(text, strlen(text), ON) == times[_i].depends,
		"%s", text);
}
END_TEST

/* Without standard_conforming_strings, and where nothing is sure. */
START_TEST(constants_with_escapes_are_found)
{
	static const char escape[] = "SELECT 'n\\x6fw'", plain[] = "SELECT 'x'";
	static const char other[] = "SELECT '\x83\x5c'";

	ck_assert(statement_depends_on_time(escape, sizeof(escape) - 1, LEXER_UTF8));
	ck_assert(!statement_depends_on_time(escape, sizeof(escape) - 1, ON));
	ck_assert(!statement_depends_on_time(plain, sizeof(plain) - 1, LEXER_UTF8));
	ck_assert(statement_depends_on_time(other, sizeof(other) - 1, LEXER_UNSAFE_ENCODING));
}
END_TEST

Suite *statement_reuse_suite(void)
{
	Suite *s = suite_create("sql/statement_reuse");
	TCase *tc = tcase_create("texts");

	tcase_add_loop_test(tc, what_may_be_read_once, 0, (int)COUNT_OF(reusable));
	tcase_add_loop_test(tc, what_is_to_be_read_each_time, 0, (int)COUNT_OF(not_reusable));
	tcase_add_loop_test(tc, constants_that_depend_on_the_time_are_found, 0,
		(int)COUNT_OF(times));
	tcase_add_test(tc, constants_with_escapes_are_found);
	tcase_add_test(tc, nothing_under_settings_that_few_have);
	suite_add_tcase(s, tc);
	return s;
}
