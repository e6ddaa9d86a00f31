/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "admin/json.h"
#include "admin/table.h"
#include "pg/msg_out.h"
#include "suites.h"

struct row {
	const char *name;
	uint32_t count;
	uint64_t total;
	uint64_t since;
};

static const struct table_column columns[] = {
	TABLE_COLUMN(TEXT, row, name, "", "Any."),
	TABLE_COLUMN(U32, row, count, "", "Any."),
	TABLE_COLUMN_AS("sum", NUMERIC, row, total, "", "Any."),
	TABLE_COLUMN(TIME, row, since, "", "Any."),
};
static const struct table table = TABLE_OF(columns);

static void check_json(struct buf *answer, bool ok, const char *wanted)
{
	struct buf out;

	buf_init(&out, 0);
	buf_add_str(&out, "x");
	ck_assert(json_from_answer(buf_data(answer), buf_len(answer), &out) == ok);
	buf_add_u8(&out, 0);
	ck_assert_str_eq((const char *)buf_data(&out), wanted);
	buf_finish(&out);
	buf_finish(answer);
}

START_TEST(rows_become_objects)
{
	const struct row rows[] = {
		{ "a\"b\\c\n\t\x01\xc3\xa4", 7, UINT64_MAX, UINT64_C(1763634896123456) },
		{ NULL, 0, 0, 0 },
		{ "", 1, 2, 0 },
	};
	struct buf answer;

	buf_init(&answer, 0);
	table_head(&table, &answer);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		table_row(&table, &rows[i], &answer);
	msg_out_command_complete(&answer, "SHOW");
	check_json(&answer, true,
		"x[{\"name\":\"a\\\"b\\\\c\\n\\t\\u0001\xc3\xa4\",\"count\":7,"
		"\"sum\":18446744073709551615,\"since\":\"2025-11-20 10:34:56 UTC\"},"
		"{\"name\":null,\"count\":0,\"sum\":0,\"since\":null},"
		"{\"name\":\"\",\"count\":1,\"sum\":2,\"since\":null}]");
}
END_TEST

START_TEST(nothing_is_an_empty_array)
{
	struct buf answer;

	buf_init(&answer, 0);
	table_head(&table, &answer);
	msg_out_command_complete(&answer, "SHOW");
	check_json(&answer, true, "x[]");
	buf_init(&answer, 0);
	check_json(&answer, true, "x[]");
}
END_TEST

START_TEST(an_error_is_told_as_text)
{
	const struct msg_out_error error = { .severity = "ERROR",
		.sqlstate = "53200",
		.message = "out of memory" };
	struct buf answer;

	buf_init(&answer, 0);
	msg_out_error(&answer, &error);
	check_json(&answer, false, "xout of memory");
}
END_TEST

/* Cut anywhere it is no answer, or ends before the cut; it is never read beyond. */
START_TEST(cut_answers_are_read_no_further)
{
	const struct row row = { "a", 7, 8, 0 };
	struct buf answer;
	size_t len;

	buf_init(&answer, 0);
	table_head(&table, &answer);
	table_row(&table, &row, &answer);
	len = buf_len(&answer);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t copy[256];
		struct buf out;

		memcpy(copy, buf_data(&answer), cut);
		buf_init(&out, 0);
		if (json_from_answer(copy, cut, &out)) {
			buf_add_u8(&out, 0);
			ck_assert_str_eq((const char *)buf_data(&out), "[]");
		}
		buf_finish(&out);
	}
	buf_finish(&answer);
}
END_TEST

Suite *json_suite(void)
{
	Suite *s = suite_create("admin/json");
	TCase *tc = tcase_create("json");

	tcase_add_test(tc, rows_become_objects);
	tcase_add_test(tc, nothing_is_an_empty_array);
	tcase_add_test(tc, an_error_is_told_as_text);
	tcase_add_test(tc, cut_answers_are_read_no_further);
	suite_add_tcase(s, tc);
	return s;
}
