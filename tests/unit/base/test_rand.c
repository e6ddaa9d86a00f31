/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include <string.h>

#include "base/rand.h"

START_TEST(small_numbers_stay_below_their_limit)
{
	struct rand_small r;
	unsigned seen[7] = { 0 };

	rand_small_init(&r, (uint64_t)_i);
	for (int i = 0; i < 7000; i++) {
		uint64_t value = rand_small_below(&r, 7);

		ck_assert_uint_lt(value, 7);
		seen[value]++;
	}
	for (int i = 0; i < 7; i++)
		ck_assert_uint_gt(seen[i], 700);
}
END_TEST

START_TEST(one_seed_gives_one_sequence)
{
	struct rand_small a, b;

	rand_small_init(&a, 42);
	rand_small_init(&b, 42);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(rand_small_next(&a), rand_small_next(&b));
}
END_TEST

START_TEST(keys_differ)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 }, zero[32] = { 0 };

	rand_bytes(a, sizeof(a));
	rand_bytes(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_ne(a, zero, sizeof(a));
}
END_TEST

Suite *rand_suite(void)
{
	Suite *s = suite_create("base/rand");
	TCase *tc = tcase_create("rand");

	/* A seed of 0 must not make a generator that stands still. */
	tcase_add_loop_test(tc, small_numbers_stay_below_their_limit, 0, 5);
	tcase_add_test(tc, one_seed_gives_one_sequence);
	tcase_add_test(tc, keys_differ);
	suite_add_tcase(s, tc);
	return s;
}
