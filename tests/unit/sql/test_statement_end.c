/* SPDX-License-Identifier: ISC */
/*
 * What a text does to its transaction (tests/integration/test_sql_oracle.py asks
 * PostgreSQL the same).
 */
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "sql/statement_end.h"
#include "sql/suites.h"

#define ON (LEXER_STANDARD_STRINGS | LEXER_UTF8)

static const struct {
	enum text_end end;
	const char *text;
} rows[] = {
	{ TEXT_PLAIN, "" },
	{ TEXT_PLAIN, " ; /* COMMIT */ ;" },
	{ TEXT_PLAIN, "SELECT 1" },
	{ TEXT_PLAIN, "(SELECT 'BEGIN')" },
	{ TEXT_PLAIN, "SELECT 1; SELECT 2;" },
	{ TEXT_PLAIN, "TABLE t" },
	{ TEXT_PLAIN, "VALUES (1), (2)" },
	{ TEXT_PLAIN, "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x" },
	{ TEXT_PLAIN, "SELECT anybody_s($1, now(), nextval('s'))" },
	{ TEXT_PLAIN, "INSERT INTO t VALUES ('a'::text) ON CONFLICT DO NOTHING" },
	{ TEXT_PLAIN, "UPDATE t SET a = 1; DELETE FROM t" },
	{ TEXT_PLAIN, "SHOW work_mem" },
	{ TEXT_ENDS, "COMMIT" },
	{ TEXT_ENDS, "/* x */ eNd Transaction ;" },
	{ TEXT_ENDS, "ROLLBACK WORK AND NO CHAIN" },
	{ TEXT_ENDS, "ABORT" },
	{ TEXT_OTHER, "COMMIT AND CHAIN" },
	{ TEXT_OTHER, "ROLLBACK TO s" },
	{ TEXT_OTHER, "ROLLBACK TO SAVEPOINT s" },
	{ TEXT_OTHER, "COMMIT PREPARED 'x'" },
	{ TEXT_OTHER, "PREPARE TRANSACTION 'x'" },
	{ TEXT_OTHER, "COMMIT; SELECT 1" },
	{ TEXT_OTHER, "SELECT 1; COMMIT" },
	{ TEXT_OTHER, "COMMIT; COMMIT" },
	{ TEXT_OTHER, "COMMIT and nonsense" },
	{ TEXT_OTHER, "BEGIN" },
	{ TEXT_OTHER, "BEGIN; SELECT 1; COMMIT" },
	{ TEXT_OTHER, "SELECT 1; START TRANSACTION" },
	{ TEXT_OTHER, "SAVEPOINT s" },
	{ TEXT_OTHER, "COPY t FROM STDIN" },
	{ TEXT_OTHER, "COPY (SELECT 1) TO STDOUT" },
	{ TEXT_OTHER, "CALL p()" },
	{ TEXT_OTHER, "DO $$ BEGIN COMMIT; END $$" },
	{ TEXT_OTHER, "SET app.x = '1'" },
	{ TEXT_OTHER, "SET LOCAL app.x = '1'" },
	{ TEXT_OTHER, "RESET ALL" },
	{ TEXT_OTHER, "SELECT set_config('app.x', '1', false)" },
	{ TEXT_OTHER, "SELECT pg_advisory_lock(1)" },
	{ TEXT_OTHER, "SELECT pg_advisory_unlock(1)" },
	{ TEXT_OTHER, "SELECT setseed(0.5)" },
	{ TEXT_OTHER, "SELECT dblink_connect('x')" },
	{ TEXT_OTHER, "SELECT 1 INTO TEMP t" },
	{ TEXT_OTHER, "SELECT 1 INTO t" },
	{ TEXT_OTHER, "CREATE TEMP TABLE t (a int)" },
	{ TEXT_OTHER, "PREPARE p AS SELECT 1" },
	{ TEXT_OTHER, "EXECUTE p" },
	{ TEXT_OTHER, "DECLARE c CURSOR WITH HOLD FOR SELECT 1" },
	{ TEXT_OTHER, "LISTEN c" },
	{ TEXT_OTHER, "LOAD 'x'" },
	{ TEXT_OTHER, "DISCARD ALL" },
	{ TEXT_OTHER, "VACUUM" },
	{ TEXT_OTHER, "nonsense" },
	{ TEXT_OTHER, "SELECT 'open" },
};

START_TEST(tells_what_a_text_does)
{
	const char *text = rows[_i].text;

	ck_assert_msg(statement_text_end(text, strlen(text), ON) == rows[_i].end, "%s", text);
}
END_TEST

/* What comes first is not made up for by anything behind it. */
START_TEST(one_other_makes_all_other)
{
	char text[256] = "SELECT 1; ";

	if (rows[_i].end == TEXT_OTHER) {
		strcat(text, rows[_i].text);
		ck_assert_msg(statement_text_end(text, strlen(text), ON) == TEXT_OTHER, "%s",
			text);
	}
}
END_TEST

/* In an encoding in which a byte may be part of a character nothing is sure. */
START_TEST(does_not_trust_some_encodings)
{
	const char *text = "SELECT '\x83\x27; COMMIT; --'";

	ck_assert_int_eq(statement_text_end(text, strlen(text),
				 LEXER_STANDARD_STRINGS | LEXER_UNSAFE_ENCODING),
		TEXT_OTHER);
}
END_TEST

static const struct {
	bool nothing;
	const char *text;
} leaves[] = {
	{ true, "" },
	{ true, ";" },
	{ true, "SELECT 1" },
	{ true, "select 1.5 AS \"A\", 'x' b, TRUE, null; -- c" },
	{ true, "BEGIN" },
	{ true, "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY" },
	{ true, "START TRANSACTION" },
	{ true, "SAVEPOINT s; ROLLBACK TO s; RELEASE s" },
	{ true, "BEGIN; SELECT 1; COMMIT" },
	{ true, "ABORT AND CHAIN" },
	{ true, "SHOW TRANSACTION ISOLATION LEVEL" },
	{ true, "select\t\r\n1" },
	{ true, "SELECT/**/1" },
	{ true, "SELECT--\n1" },
	{ true, " -- SELECT x\nSELECT 1" },
	{ true, "SELECT'a'" },
	{ false, "SELECT '\\', ', f() --'" },
	{ false, "SELECT '\\d'" },
	{ false, "SELECT x'1f'" },
	{ false, "SELECT e'a'" },
	{ false, "SELECT N'a'" },
	{ false, "SELECT U&'\\0041'" },
	{ false, "SELECT $$a$$" },
	{ false, "SELECT $a$a$a$" },
	{ true, "SELECT .5" },
	{ true, "SELECT TRUE;" },
	{ true, "SELECT null" },
	{ true, "SELECT FALSE, NULL" },
	{ true, ";;SELECT 1" },
	{ false, "SELECT" },
	{ false, "SELECT x" },
	{ false, "SELECT nullx" },
	{ false, "SELECT null_x" },
	{ false, "SELECT \"true\"" },
	{ false, "SELECT *" },
	{ false, "SELECT U&\"a\"" },
	{ false, "INSERT INTO t VALUES (1)" },
	{ false, "WITH x AS (SELECT 1) SELECT 1" },
	{ false, "selects" },
	{ false, "SELECT $1" },
	{ false, "SELECT f()" },
	{ false, "SELECT 1 f()" },
	{ false, "SELECT -1" },
	{ false, "SELECT 1 + 1" },
	{ false, "SELECT 1::x" },
	{ false, "SELECT x '1'" },
	{ false, "SELECT CAST (1 AS x)" },
	{ false, "SELECT '1' COLLATE x" },
	{ false, "SELECT 1 FROM t" },
	{ false, "SELECT 1 AS x FROM t" },
	{ false, "SELECT 1 WHERE f()" },
	{ false, "SELECT 1 INTO t" },
	{ false, "SELECT 1 UNION TABLE t" },
	{ false, "SELECT 1 ORDER BY 1" },
	{ false, "SELECT (1)" },
	{ false, "SELECT ARRAY[1]" },
	{ false, "SELECT DISTINCT 1" },
	{ false, "SELECT 1,, 2" },
	{ false, "SELECT 'open" },
	{ false, "VALUES (1)" },
	{ false, "TABLE t" },
	{ false, "PREPARE TRANSACTION 'x'" },
	{ false, "SET LOCAL app.x = 1" },
	{ false, "SELECT 1; SET app.x = 1" },
	{ false, "LISTEN c" },
	{ false, "NOTIFY c" },
	{ false, "EXECUTE p" },
	{ false, "nonsense" },
};

START_TEST(tells_what_leaves_nothing)
{
	const char *text = leaves[_i].text;

	ck_assert_msg(statement_leaves_nothing(text, strlen(text), ON) == leaves[_i].nothing,
		"%s", text);
}
END_TEST

static const struct {
	enum text_code code;
	const char *text;
} codes[] = {
	{ TEXT_CODE_NONE, "" },
	{ TEXT_CODE_NONE, "SELECT 1" },
	{ TEXT_CODE_NONE, "SELECT lower(name), count(*) FROM t WHERE id = $1 AND at > now() GROUP BY 1" },
	{ TEXT_CODE_NONE, "INSERT INTO t (a, b) VALUES ($1, 'x') ON CONFLICT (a) DO NOTHING RETURNING id" },
	{ TEXT_CODE_NONE, "UPDATE t SET a = a + 1 WHERE id = 5" },
	{ TEXT_CODE_NONE, "DELETE FROM t USING u WHERE t.id = u.id" },
	{ TEXT_CODE_NONE, "COPY t FROM STDIN" },
	{ TEXT_CODE_NONE, "BEGIN; SET LOCAL app.x = '1'; SELECT * FROM t; COMMIT" },
	{ TEXT_CODE_NONE, "SELECT set_config('app.x', 'a', true)" },
	{ TEXT_CODE_NONE, "SELECT pg_advisory_lock(1)" },
	{ TEXT_CODE_NONE, "DECLARE c CURSOR FOR SELECT * FROM t; FETCH 5 FROM c" },
	{ TEXT_CODE_NONE, "LISTEN a" },
	{ TEXT_CODE_CALLS, "SELECT f()" },
	{ TEXT_CODE_CALLS, "SELECT 1; SELECT s.f(1)" },
	{ TEXT_CODE_CALLS, "INSERT INTO t SELECT f(x) FROM u" },
	{ TEXT_CODE_CALLS, "DECLARE c CURSOR FOR SELECT f()" },
	{ TEXT_CODE_CALLS, "COPY (SELECT f()) TO STDOUT" },
	{ TEXT_CODE_ANY, "DO $$ BEGIN END $$" },
	{ TEXT_CODE_CALLS, "CALL p()" },
	{ TEXT_CODE_CALLS, "PREPARE p AS SELECT 1" },
	{ TEXT_CODE_ANY, "EXECUTE p" },
	{ TEXT_CODE_ANY, "EXPLAIN ANALYZE EXECUTE p" },
	{ TEXT_CODE_CALLS, "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'" },
	{ TEXT_CODE_CALLS, "CREATE VIEW v AS SELECT 1" },
	{ TEXT_CODE_CALLS, "LOAD 'x'" },
	{ TEXT_CODE_CALLS, "SELECT dblink_connect('x')" },
	{ TEXT_CODE_CALLS, "DISCARD ALL" },
	{ TEXT_CODE_CALLS, "VACUUM" },
	{ TEXT_CODE_ANY, "SELECT 'not closed" },
	{ TEXT_CODE_ANY, "nonsense" },
	{ TEXT_CODE_ANY, "SELECT f(1); DO 'BEGIN END'; SELECT 1" },
	{ TEXT_CODE_ANY, "SELECT query_to_xml('SELECT f()', true, true, '')" },
	{ TEXT_CODE_ANY, "SELECT pg_catalog.\"database_to_xml\"(true, true, '')" },
	{ TEXT_CODE_ANY, "SELECT * FROM ts_stat('SELECT f()')" },
	{ TEXT_CODE_ANY, "SELECT TS_REWRITE('a'::tsquery, 'SELECT f()')" },
	{ TEXT_CODE_ANY, "SELECT U&\"query\\005fto_xml\"('SELECT f()', true, true, '')" },
	{ TEXT_CODE_ANY, "CREATE TABLE t AS SELECT query_to_xml('SELECT f()', true, true, '')" },
	{ TEXT_CODE_NONE, "SELECT load, 'load it' FROM loads" },
	{ TEXT_CODE_CALLS, "SELECT f(load, 'LOAD x')" },
	{ TEXT_CODE_CALLS, "CALL p('LOAD x')" },
	{ TEXT_CODE_LOADS, "DO $$ BEGIN LOAD 'x'; END $$" },
	{ TEXT_CODE_LOADS, "SELECT 1; do language plpgsql 'BEGIN Load \\x; END'" },
	{ TEXT_CODE_LOADS, "nonsense, load" },
	{ TEXT_CODE_LOADS, "SELECT 'load" },
	{ TEXT_CODE_CALLS, "SELECT (x).f" },
	{ TEXT_CODE_NONE, "SELECT (x).length, t.f FROM t" },
	{ TEXT_CODE_CALLS, "SELECT ('x').dblink_connect" },
	{ TEXT_CODE_ANY, "SELECT ('SELECT f()').ts_stat" },
	{ TEXT_CODE_ANY, "SELECT TREAT('SELECT f()' AS ts_stat)" },
	/* Constants, and calls if escapes are on by then. */
	{ TEXT_CODE_CALLS, "SELECT '\\', ', f() --'" },
	{ TEXT_CODE_ANY, "SELECT '\\', '; DO $$ $$; --'" },
	{ TEXT_CODE_NONE, "SELECT '\\d'" },
	/* Half of a character in some encodings. */
	{ TEXT_CODE_ANY, "SELECT E'\x83\\', f() --'" },
};

START_TEST(tells_what_runs_code)
{
	const char *text = codes[_i].text;

	ck_assert_msg(statement_text_code(text, strlen(text), ON) == codes[_i].code, "%s", text);
}
END_TEST

Suite *statement_end_suite(void)
{
	Suite *s = suite_create("sql/statement_end");
	TCase *tc = tcase_create("statement_text_end");

	tcase_add_loop_test(tc, tells_what_a_text_does, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, one_other_makes_all_other, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, does_not_trust_some_encodings);
	tcase_add_loop_test(tc, tells_what_leaves_nothing, 0, (int)COUNT_OF(leaves));
	tcase_add_loop_test(tc, tells_what_runs_code, 0, (int)COUNT_OF(codes));
	suite_add_tcase(s, tc);
	return s;
}
