/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "base/histogram.h"
#include "base/rand.h"
#include "suites.h"

START_TEST(nothing_added_gives_zero)
{
	struct histogram h = { 0 };

	ck_assert_uint_eq(histogram_permille(&h, 500), 0);
	ck_assert_uint_eq(histogram_permille(&h, 1000), 0);
}
END_TEST

START_TEST(one_value_is_every_percentile)
{
	static const uint64_t values[] = { 0, 1, 15, 16, 17, 1000, UINT64_C(1) << 39,
		UINT64_C(1) << 40, UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		struct histogram h = { 0 };

		histogram_add(&h, values[i]);
		ck_assert_uint_eq(histogram_permille(&h, 1), values[i]);
		ck_assert_uint_eq(histogram_permille(&h, 1000), values[i]);
		ck_assert_uint_eq(h.max, values[i]);
	}
}
END_TEST

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Against the sorted values themselves: never below, at most 1/16 above. */
START_TEST(percentiles_are_within_a_sixteenth)
{
	enum { COUNT = 3000 };
	static const uint32_t permilles[] = { 1, 10, 500, 900, 990, 999, 1000 };
	uint64_t values[COUNT];
	struct rand_small r;

	rand_small_init(&r, (uint64_t)_i + 1);
	for (int round = 0; round < 20; round++) {
		struct histogram h = { 0 };

		for (int i = 0; i < COUNT; i++) {
			values[i] =
				rand_small_next(&r) >> (24 + rand_small_below(&r, 40));
			histogram_add(&h, values[i]);
		}
		qsort(values, COUNT, sizeof(values[0]), compare);
		for (size_t i = 0; i < COUNT_OF(permilles); i++) {
			uint64_t rank = ((uint64_t)COUNT * permilles[i] + 999) / 1000;
			uint64_t exact = values[rank - 1];
			uint64_t got = histogram_permille(&h, permilles[i]);

			ck_assert_uint_ge(got, exact);
			ck_assert_uint_le(got, exact + exact / 16);
		}
	}
}
END_TEST

Suite *histogram_suite(void)
{
	Suite *s = suite_create("base/histogram");
	TCase *tc = tcase_create("histogram");

	tcase_add_test(tc, nothing_added_gives_zero);
	tcase_add_test(tc, one_value_is_every_percentile);
	tcase_add_loop_test(tc, percentiles_are_within_a_sixteenth, 0, 5);
	suite_add_tcase(s, tc);
	return s;
}
