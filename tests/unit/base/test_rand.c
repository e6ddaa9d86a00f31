/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "suites.h"

START_TEST(same_seed_same_numbers)
{
	struct rand_small a, b, c;
	int equal = 0;

	rand_small_init(&a, 42);
	rand_small_init(&b, 42);
	rand_small_init(&c, 43);
	for (int i = 0; i < 100; i++) {
		uint64_t number = rand_small_next(&a);

		ck_assert_uint_eq(number, rand_small_next(&b));
		equal += number == rand_small_next(&c);
	}
	ck_assert_int_eq(equal, 0);
}
END_TEST

START_TEST(seed_of_zero_is_as_good_as_any)
{
	struct rand_small r;

	rand_small_init(&r, 0);
	ck_assert_uint_ne(rand_small_next(&r), rand_small_next(&r));
}
END_TEST

START_TEST(below_reaches_all_and_stays_below)
{
	uint32_t seen[7] = { 0 };
	struct rand_small r;

	rand_small_init(&r, 1);
	ck_assert_uint_eq(rand_small_below(&r, 0), 0);
	ck_assert_uint_eq(rand_small_below(&r, 1), 0);
	for (int i = 0; i < 7000; i++) {
		uint64_t number = rand_small_below(&r, 7);

		ck_assert_uint_lt(number, 7);
		seen[number]++;
	}
	for (int i = 0; i < 7; i++)
		ck_assert_uint_gt(seen[i], 700);
}
END_TEST

START_TEST(kernel_bytes_fill_exactly_what_was_asked)
{
	uint8_t a[600] = { 0 }, b[600] = { 0 }, none[8] = { 0 };

	rand_bytes(a, sizeof(a) - 8);
	rand_bytes(b, sizeof(b) - 8);
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_eq(a + sizeof(a) - 8, none, 8);
	rand_bytes(none, 0);
	ck_assert_mem_eq(a + sizeof(a) - 8, none, 8);
}
END_TEST

START_TEST(monotonic_clock_never_goes_back_and_is_never_zero)
{
	uint64_t last = clock_now_us();

	ck_assert_uint_ne(last, 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_now_us();

		ck_assert_uint_ge(now, last);
		last = now;
	}
	/* 2020-01-01, in microseconds. */
	ck_assert_uint_gt(clock_wall_us(), UINT64_C(1577836800000000));
}
END_TEST

Suite *rand_suite(void)
{
	Suite *s = suite_create("base/rand");
	TCase *tc = tcase_create("rand and clock");

	tcase_add_test(tc, same_seed_same_numbers);
	tcase_add_test(tc, seed_of_zero_is_as_good_as_any);
	tcase_add_test(tc, below_reaches_all_and_stays_below);
	tcase_add_test(tc, kernel_bytes_fill_exactly_what_was_asked);
	tcase_add_test(tc, monotonic_clock_never_goes_back_and_is_never_zero);
	suite_add_tcase(s, tc);
	return s;
}
