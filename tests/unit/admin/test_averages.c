/* SPDX-License-Identifier: ISC */
#include "admin/averages.h"

#include <stdlib.h>

#include "suites.h"

#define SECONDS UINT64_C(1000000)

enum { PERIOD = 60 };

/* A look at two databases, of which a has so many queries that took so long. */
static void note(struct averages *a, uint64_t at_s, uint64_t queries, uint64_t query_us)
{
	struct averages_row *rows = calloc(2, sizeof(*rows));
	struct averages_look look = { .rows = rows, .count = 2, .at_us = at_s * SECONDS };

	ck_assert_ptr_nonnull(rows);
	rows[0] = (struct averages_row){ .name = "a" };
	rows[1] = (struct averages_row){ .name = "b" };
	rows[0].totals[STAT_query_count] = queries;
	rows[0].totals[STAT_query_time] = query_us;
	rows[1].totals[STAT_query_count] = 2 * queries;
	averages_note(a, &look);
	ck_assert_ptr_null(look.rows);
}

static uint64_t average(
	const struct averages *a, const char *name, enum stats_field field)
{
	uint64_t values[STAT_COUNT];

	averages_get(a, name, values);
	return values[field];
}

START_TEST(are_zero_before_the_first_period_ends)
{
	struct averages a;

	averages_init(&a, 100 * SECONDS);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 0);
	ck_assert(!averages_are_due(&a, PERIOD * SECONDS, 160 * SECONDS - 1));
	ck_assert(averages_are_due(&a, PERIOD * SECONDS, 160 * SECONDS));
	ck_assert_uint_eq(average(&a, "a", STAT_query_time), 0);
	averages_finish(&a);
}
END_TEST

START_TEST(are_of_the_last_full_period)
{
	struct averages a;

	averages_init(&a, 100 * SECONDS);
	note(&a, 160, 600, 6000);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 10);
	ck_assert_uint_eq(average(&a, "a", STAT_query_time), 10);
	ck_assert(!averages_are_due(&a, PERIOD * SECONDS, 219 * SECONDS));
	ck_assert(averages_are_due(&a, PERIOD * SECONDS, 220 * SECONDS));
	/* A period that took longer. */
	note(&a, 240, 1000, 14000);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 5);
	ck_assert_uint_eq(average(&a, "a", STAT_query_time), 20);
	averages_finish(&a);
}
END_TEST

START_TEST(add_up_for_all_together)
{
	struct averages a;

	averages_init(&a, 100 * SECONDS);
	note(&a, 160, 600, 9000);
	ck_assert_uint_eq(average(&a, NULL, STAT_query_count), 30);
	ck_assert_uint_eq(average(&a, NULL, STAT_query_time), 5);
	averages_finish(&a);
}
END_TEST

START_TEST(are_zero_for_who_did_nothing)
{
	struct averages a;

	averages_init(&a, 100 * SECONDS);
	note(&a, 160, 600, 6000);
	note(&a, 220, 600, 6000);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 0);
	ck_assert_uint_eq(average(&a, "a", STAT_query_time), 0);
	ck_assert_uint_eq(average(&a, "c", STAT_query_count), 0);
	averages_finish(&a);
}
END_TEST

/* What nobody has logged in to is swept; its name may come again. */
START_TEST(are_no_less_than_zero_for_what_was_forgotten)
{
	struct averages_look look = { .rows = calloc(1, sizeof(*look.rows)),
		.count = 1,
		.gone = { [STAT_query_count] = 1200 },
		.at_us = 220 * SECONDS };
	struct averages a;

	averages_init(&a, 100 * SECONDS);
	note(&a, 160, 600, 6000);
	ck_assert_ptr_nonnull(look.rows);
	look.rows[0] = (struct averages_row){ .name = "b" };
	averages_note(&a, &look);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 0);
	ck_assert_uint_eq(average(&a, "a", STAT_query_time), 0);
	/* All together: 1800 before, and 1200 are not seen any more but known. */
	ck_assert_uint_eq(average(&a, NULL, STAT_query_count), 0);
	note(&a, 280, 60, 600);
	ck_assert_uint_eq(average(&a, "a", STAT_query_count), 1);
	averages_finish(&a);
}
END_TEST

Suite *averages_suite(void)
{
	Suite *s = suite_create("admin/averages");
	TCase *tc = tcase_create("averages");

	tcase_add_test(tc, are_zero_before_the_first_period_ends);
	tcase_add_test(tc, are_of_the_last_full_period);
	tcase_add_test(tc, add_up_for_all_together);
	tcase_add_test(tc, are_zero_for_who_did_nothing);
	tcase_add_test(tc, are_no_less_than_zero_for_what_was_forgotten);
	suite_add_tcase(s, tc);
	return s;
}
