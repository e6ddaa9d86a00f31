/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include <check.h>

#include "route/times.h"
#include "suites.h"

START_TEST(bounds_belong_to_their_bucket)
{
	struct times_block *blocks = times_create(1);
	struct times_sum sum;

	for (uint32_t i = 0; i < TIMES_BOUNDS; i++) {
		ck_assert(i == 0 || times_bounds_us[i] > times_bounds_us[i - 1]);
		times_add(blocks, times_bounds_us[i]);
		times_add(blocks, times_bounds_us[i] + 1);
	}
	times_read(blocks, 1, 1, &sum);
	ck_assert_uint_eq(sum.up_to[0], 1);
	for (uint32_t i = 1; i < TIMES_BOUNDS; i++)
		ck_assert_uint_eq(sum.up_to[i], 2 * i + 1);
	ck_assert_uint_eq(sum.up_to[TIMES_BOUNDS], 2 * TIMES_BOUNDS);
	free(blocks);
}
END_TEST

START_TEST(sum_is_that_of_every_stride)
{
	struct times_block *blocks = times_create(6);
	struct times_sum sum;

	times_add(&blocks[0], 10);
	times_add(&blocks[1], 1000000);
	times_add(&blocks[2], 20);
	times_add(&blocks[4], 3);
	times_read(blocks, 3, 2, &sum);
	ck_assert_uint_eq(sum.sum_us, 33);
	ck_assert_uint_eq(sum.up_to[0], 3);
	ck_assert_uint_eq(sum.up_to[TIMES_BOUNDS], 3);
	times_read(blocks, 0, 2, &sum);
	ck_assert_uint_eq(sum.up_to[TIMES_BOUNDS], 0);
	ck_assert_uint_eq((uintptr_t)blocks % 128, 0);
	free(blocks);
}
END_TEST

START_TEST(permille_is_the_bound_of_its_bucket)
{
	struct times_block *blocks = times_create(1);
	struct times_sum sum;

	times_read(blocks, 1, 1, &sum);
	ck_assert_uint_eq(times_permille(&sum, 500), 0);
	for (uint32_t i = 0; i < 998; i++)
		times_add(blocks, 60);
	times_add(blocks, 4000);
	times_add(blocks, 2 * times_bounds_us[TIMES_BOUNDS - 1] + 1);
	times_read(blocks, 1, 1, &sum);
	ck_assert_uint_eq(times_permille(&sum, 1), 100);
	ck_assert_uint_eq(times_permille(&sum, 998), 100);
	ck_assert_uint_eq(times_permille(&sum, 999), 5000);
	ck_assert_uint_eq(times_permille(&sum, 1000), 2 * times_bounds_us[TIMES_BOUNDS - 1]);
	free(blocks);
}
END_TEST

Suite *times_suite(void)
{
	Suite *s = suite_create("route/times");
	TCase *tc = tcase_create("times");

	tcase_add_test(tc, bounds_belong_to_their_bucket);
	tcase_add_test(tc, sum_is_that_of_every_stride);
	tcase_add_test(tc, permille_is_the_bound_of_its_bucket);
	suite_add_tcase(s, tc);
	return s;
}
