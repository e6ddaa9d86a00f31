/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <check.h>

#include "session/seen.h"
#include "suites.h"

static struct seen seen;

static void begin(void)
{
	memset(&seen, 0, sizeof(seen));
}

static uint64_t hash_of(uint32_t mark, uint32_t place)
{
	return (uint64_t)mark << 32 | place;
}

START_TEST(each_time_counts)
{
	for (uint32_t i = 1; i <= SEEN_MOST; i++)
		ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), i);
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), SEEN_MOST);
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 2)), 1);
}
END_TEST

START_TEST(the_later_one_takes_the_place)
{
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 1);
	ck_assert_uint_eq(seen_again(&seen, hash_of(8, 1 + SEEN_PLACES)), 1);
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 1);
}
END_TEST

START_TEST(one_that_is_barred_stays_so_until_another_comes)
{
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 1);
	seen_bar(&seen, hash_of(7, 1));
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 0);
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 0);
	ck_assert_uint_eq(seen_again(&seen, hash_of(8, 1)), 1);
	ck_assert_uint_eq(seen_again(&seen, hash_of(7, 1)), 1);
}
END_TEST

Suite *seen_suite(void)
{
	Suite *s = suite_create("session/seen");
	TCase *tc = tcase_create("seen");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, each_time_counts);
	tcase_add_test(tc, the_later_one_takes_the_place);
	tcase_add_test(tc, one_that_is_barred_stays_so_until_another_comes);
	suite_add_tcase(s, tc);
	return s;
}
