/* SPDX-License-Identifier: ISC */
#include "admin/table.h"
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

#define EXPECT(b, bytes) expect((b), (bytes), sizeof(bytes) - 1)

static void expect(struct buf *b, const char *bytes, size_t len)
{
	ck_assert(buf_ok(b));
	ck_assert_uint_eq(buf_len(b), len);
	ck_assert_mem_eq(buf_data(b), bytes, len);
	buf_finish(b);
}

START_TEST(describes_columns)
{
	struct buf b;

	buf_init(&b, 0);
	table_head(&table, &b);
	EXPECT(&b,
		"T\0\0\0\x63\0\4"
		"name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		"count\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
		"sum\0\0\0\0\0\0\0\0\0\x6\xa4\xff\xff\xff\xff\xff\xff\0\0"
		"since\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
}
END_TEST

START_TEST(writes_rows)
{
	const struct row row = { "a", 7, UINT64_MAX, UINT64_C(1763634896123456) };
	struct buf b;

	buf_init(&b, 0);
	table_row(&table, &row, &b);
	EXPECT(&b,
		"D\0\0\0\x43\0\4\0\0\0\1a\0\0\0\1"
		"7\0\0\0\x14"
		"18446744073709551615\0\0\0\x17"
		"2025-11-20 10:34:56 UTC");
}
END_TEST

START_TEST(writes_nulls_and_empty_text)
{
	const struct row null = { .name = NULL }, empty = { .name = "" };
	struct buf b;

	buf_init(&b, 0);
	table_row(&table, &null, &b);
	EXPECT(&b,
		"D\0\0\0\x18\0\4\xff\xff\xff\xff\0\0\0\1"
		"0\0\0\0\1"
		"0\xff\xff\xff\xff");
	table_row(&table, &empty, &b);
	EXPECT(&b, "D\0\0\0\x18\0\4\0\0\0\0\0\0\0\1" "0\0\0\0\1" "0\xff\xff\xff\xff");
}
END_TEST

START_TEST(keeps_int4_within_its_range)
{
	const struct row row = { .name = "", .count = UINT32_MAX };
	struct buf b;

	buf_init(&b, 0);
	table_row(&table, &row, &b);
	EXPECT(&b,
		"D\0\0\0\x21\0\4\0\0\0\0\0\0\0\x0a"
		"2147483647\0\0\0\1"
		"0\xff\xff\xff\xff");
}
END_TEST

START_TEST(makes_text_utf8)
{
	static const struct table_column texts[] = {
		{ "a", TABLE_TEXT, 0, "", "" },
		{ "b", TABLE_TEXT, sizeof(char *), "", "" },
		{ "c", TABLE_TEXT, 2 * sizeof(char *), "", "" },
	};
	static const struct table three = TABLE_OF(texts);
	const char *const row[] = { "\xff", "\xc3\xa4", "x\xfe" };
	struct buf b;

	buf_init(&b, 0);
	table_row(&three, row, &b);
	EXPECT(&b, "D\0\0\0\x1d\0\3\0\0\0\4\\xff\0\0\0\2\xc3\xa4\0\0\0\5x\\xfe");
}
END_TEST

START_TEST(writes_times)
{
	char text[TABLE_TIME_SIZE];

	ck_assert_str_eq(table_time_text(0, text), "1970-01-01 00:00:00 UTC");
	ck_assert_str_eq(table_time_text(UINT64_C(951782400999999), text),
		"2000-02-29 00:00:00 UTC");
}
END_TEST

START_TEST(says_when_there_is_no_room)
{
	const struct row row = { .name = "a long name", .count = 1 };
	struct buf b;

	for (size_t max = 1; max < 36; max++) {
		buf_init(&b, max);
		table_row(&table, &row, &b);
		ck_assert(!buf_ok(&b));
		buf_finish(&b);
	}
}
END_TEST

Suite *table_suite(void)
{
	Suite *s = suite_create("admin/table");
	TCase *tc = tcase_create("render");

	tcase_add_test(tc, describes_columns);
	tcase_add_test(tc, writes_rows);
	tcase_add_test(tc, writes_nulls_and_empty_text);
	tcase_add_test(tc, keeps_int4_within_its_range);
	tcase_add_test(tc, makes_text_utf8);
	tcase_add_test(tc, writes_times);
	tcase_add_test(tc, says_when_there_is_no_room);
	suite_add_tcase(s, tc);
	return s;
}
