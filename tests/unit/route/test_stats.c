/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <check.h>

#include "route/stats.h"
#include "suites.h"

START_TEST(sum_is_that_of_all_workers)
{
	static struct stats_block blocks[3];
	uint64_t sum[STAT_COUNT];

	memset(blocks, 0, sizeof(blocks));
	stats_add(&blocks[0], STAT_query_count, 1);
	stats_add(&blocks[2], STAT_query_count, 10);
	stats_add(&blocks[2], STAT_query_count, 100);
	stats_add(&blocks[1], STAT_sent, UINT32_MAX);
	stats_sum(blocks, 3, sum);
	ck_assert_uint_eq(sum[STAT_query_count], 111);
	ck_assert_uint_eq(sum[STAT_sent], UINT32_MAX);
	ck_assert_uint_eq(sum[STAT_received], 0);
	stats_sum(blocks, 0, sum);
	ck_assert_uint_eq(sum[STAT_query_count], 0);
}
END_TEST

START_TEST(every_counter_has_a_column)
{
	for (size_t i = 0; i < STAT_COUNT; i++)
		ck_assert_ptr_nonnull(stat_columns[i]);
}
END_TEST

Suite *stats_suite(void)
{
	Suite *s = suite_create("route/stats");
	TCase *tc = tcase_create("stats");

	tcase_add_test(tc, sum_is_that_of_all_workers);
	tcase_add_test(tc, every_counter_has_a_column);
	suite_add_tcase(s, tc);
	return s;
}
