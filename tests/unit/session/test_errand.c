/* SPDX-License-Identifier: ISC */
/* What PostgreSQL sends as a row for the router itself, good and bad. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pg/frame.h"
#include "session/errand.h"
#include "suites.h"

static struct errand_column seen[ERRAND_COLUMNS_MAX];
static size_t seen_count;
static int rows;

static void on_row(struct errand *e, const struct errand_column *columns, size_t count)
{
	(void)e;
	memcpy(seen, columns, count * sizeof(*columns));
	seen_count = count;
	rows++;
}

static void on_done(struct errand *e, enum errand_result result,
	const struct pool_error *error)
{
	(void)e;
	(void)result;
	(void)error;
	ck_abort_msg("a row is not the end");
}

static const struct errand_ops ops = { .row = on_row, .done = on_done };
static struct errand errand;

static void begin(void)
{
	errand_init(&errand, &ops);
	rows = 0;
}

/* The body of a DataRow: "100", null, "". */
static const uint8_t row[] = { 0, 3, 0, 0, 0, 3, '1', '0', '0', 0xff, 0xff, 0xff, 0xff,
	0, 0, 0, 0 };

static bool take(const uint8_t *body, size_t len)
{
	struct frame f = { .type = 'D', .body = body, .body_len = (uint32_t)len,
		.available = len };

	return errand_row(&errand, &f);
}

START_TEST(gives_the_columns)
{
	ck_assert(take(row, sizeof(row)));
	ck_assert_int_eq(rows, 1);
	ck_assert_uint_eq(seen_count, 3);
	ck_assert_uint_eq(seen[0].len, 3);
	ck_assert_mem_eq(seen[0].data, "100", 3);
	ck_assert_ptr_null(seen[1].data);
	ck_assert_ptr_nonnull(seen[2].data);
	ck_assert_uint_eq(seen[2].len, 0);
}
END_TEST

/* The bytes behind the cut are not ours to read. */
START_TEST(refuses_every_cut)
{
	uint8_t *copy = malloc((size_t)_i + 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, row, (size_t)_i);
	ck_assert(!take(copy, (size_t)_i));
	ck_assert_int_eq(rows, 0);
	free(copy);
}
END_TEST

static const struct {
	const char *why;
	uint8_t bytes[16];
	size_t len;
} bad[] = {
	{ "more columns than are taken", { 0, 17 }, 2 },
	{ "as many as there can be", { 0xff, 0xff }, 2 },
	{ "a column longer than the row", { 0, 1, 0, 0, 0, 9, 'x' }, 7 },
	{ "a length below null", { 0, 1, 0xff, 0xff, 0xff, 0xfe }, 6 },
	{ "bytes behind the last column", { 0, 1, 0, 0, 0, 1, 'x', 'y' }, 8 },
};

START_TEST(refuses_what_makes_no_sense)
{
	ck_assert_msg(!take(bad[_i].bytes, bad[_i].len), "%s", bad[_i].why);
	ck_assert_int_eq(rows, 0);
}
END_TEST

Suite *errand_suite(void)
{
	Suite *s = suite_create("session/errand");
	TCase *tc = tcase_create("row");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, gives_the_columns);
	tcase_add_loop_test(tc, refuses_every_cut, 0, (int)sizeof(row));
	tcase_add_loop_test(tc, refuses_what_makes_no_sense, 0, (int)COUNT_OF(bad));
	suite_add_tcase(s, tc);
	return s;
}
