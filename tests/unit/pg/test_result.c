/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "pg/result.h"

static const struct {
	const char *text;
	enum result_tag tag;
	uint64_t rows;
} tags[] = {
	{ "SELECT 3", RESULT_SELECT, 3 },
	{ "SELECT", RESULT_OTHER, 0 },
	{ "SELECT x", RESULT_OTHER, 0 },
	{ "INSERT 0 12", RESULT_INSERT, 12 },
	{ "UPDATE 0", RESULT_UPDATE, 0 },
	{ "DELETE 7", RESULT_DELETE, 7 },
	{ "MERGE 1", RESULT_MERGE, 1 },
	{ "COPY 5", RESULT_COPY, 5 },
	{ "COPY", RESULT_COPY, 0 },
	{ "FETCH 1", RESULT_FETCH, 1 },
	{ "MOVE 1", RESULT_MOVE, 1 },
	{ "SHOW", RESULT_SHOW, 0 },
	{ "EXPLAIN", RESULT_EXPLAIN, 0 },
	{ "BEGIN", RESULT_BEGIN, 0 },
	{ "START TRANSACTION", RESULT_BEGIN, 0 },
	{ "COMMIT", RESULT_COMMIT, 0 },
	{ "COMMIT PREPARED", RESULT_COMMIT_PREPARED, 0 },
	{ "ROLLBACK", RESULT_ROLLBACK, 0 },
	{ "ROLLBACK PREPARED", RESULT_ROLLBACK_PREPARED, 0 },
	{ "SAVEPOINT", RESULT_SAVEPOINT, 0 },
	{ "RELEASE", RESULT_RELEASE, 0 },
	{ "SET", RESULT_SET, 0 },
	{ "SET CONSTRAINTS", RESULT_SET_CONSTRAINTS, 0 },
	{ "RESET", RESULT_RESET, 0 },
	{ "DISCARD ALL", RESULT_DISCARD_ALL, 0 },
	{ "DISCARD PLANS", RESULT_DISCARD, 0 },
	{ "DISCARD TEMP", RESULT_DISCARD, 0 },
	{ "LISTEN", RESULT_LISTEN, 0 },
	{ "UNLISTEN", RESULT_UNLISTEN, 0 },
	{ "NOTIFY", RESULT_NOTIFY, 0 },
	{ "DECLARE CURSOR", RESULT_DECLARE, 0 },
	{ "CLOSE CURSOR", RESULT_CLOSE, 0 },
	{ "CLOSE CURSOR ALL", RESULT_CLOSE_ALL, 0 },
	{ "PREPARE", RESULT_PREPARE, 0 },
	{ "PREPARE TRANSACTION", RESULT_PREPARE_TRANSACTION, 0 },
	{ "DEALLOCATE", RESULT_DEALLOCATE, 0 },
	{ "DEALLOCATE ALL", RESULT_DEALLOCATE_ALL, 0 },
	{ "LOAD", RESULT_LOAD, 0 },
	{ "LOCK TABLE", RESULT_LOCK, 0 },
	{ "DO", RESULT_DO, 0 },
	{ "CALL", RESULT_CALL, 0 },
	{ "CREATE TABLE", RESULT_CREATE, 0 },
	{ "CREATE MATERIALIZED VIEW", RESULT_CREATE, 0 },
	{ "ALTER ROLE", RESULT_ALTER, 0 },
	{ "DROP OWNED", RESULT_DROP, 0 },
	{ "VACUUM", RESULT_OTHER, 0 },
	{ "REFRESH MATERIALIZED VIEW", RESULT_OTHER, 0 },
	{ "", RESULT_OTHER, 0 },
	{ "SETT", RESULT_OTHER, 0 },
	{ "set", RESULT_OTHER, 0 },
	{ "CREATE", RESULT_OTHER, 0 },
	{ "3", RESULT_OTHER, 0 },
	{ "SELECT 18446744073709551615", RESULT_SELECT, UINT64_MAX },
	{ "SELECT 18446744073709551616", RESULT_SELECT, 0 },
};

START_TEST(classifies_tags)
{
	const uint8_t *body = (const uint8_t *)tags[_i].text;
	size_t len = strlen(tags[_i].text);

	ck_assert_msg(result_classify(body, len + 1) == tags[_i].tag, "%s", tags[_i].text);
	ck_assert_msg(result_classify(body, len) == tags[_i].tag, "%s", tags[_i].text);
	ck_assert_msg(result_rows(body, len + 1) == tags[_i].rows, "%s", tags[_i].text);
}
END_TEST

START_TEST(takes_no_body)
{
	ck_assert_int_eq(result_classify(NULL, 0), RESULT_OTHER);
	ck_assert_uint_eq(result_rows(NULL, 0), 0);
}
END_TEST

Suite *result_suite(void);
Suite *result_suite(void)
{
	Suite *s = suite_create("pg/result");
	TCase *tc = tcase_create("result");

	tcase_add_loop_test(tc, classifies_tags, 0, (int)COUNT_OF(tags));
	tcase_add_test(tc, takes_no_body);
	suite_add_tcase(s, tc);
	return s;
}
