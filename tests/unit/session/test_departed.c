/* SPDX-License-Identifier: ISC */
#include "session/departed.h"

#include <string.h>

#include "suites.h"

enum { SECOND_US = 1000000 };

static struct departed departed;

static void begin(void)
{
	memset(&departed, 0, sizeof(departed));
}

START_TEST(who_has_left_is_known)
{
	ck_assert(!departed_has(&departed, 7, SECOND_US));
	departed_add(&departed, 7, SECOND_US);
	departed_add(&departed, 9, SECOND_US);
	ck_assert(departed_has(&departed, 7, SECOND_US));
	ck_assert(departed_has(&departed, 9, 100 * SECOND_US));
	ck_assert(!departed_has(&departed, 8, SECOND_US));
}
END_TEST

/* Nobody is missed. */
START_TEST(where_many_leave_everybody_may_have)
{
	uint64_t now_us = SECOND_US;

	for (uint64_t id = 1; id <= DEPARTED_MAX; id++)
		departed_add(&departed, id, now_us);
	ck_assert(departed_has(&departed, 1, now_us));
	ck_assert(!departed_has(&departed, DEPARTED_MAX + 1, now_us));
	departed_add(&departed, DEPARTED_MAX + 1, now_us);
	ck_assert(departed_has(&departed, 1, now_us));
	ck_assert(departed_has(&departed, 1, now_us + DEPARTED_KEPT_US - 1));
	ck_assert(!departed_has(&departed, 1, now_us + DEPARTED_KEPT_US));
	ck_assert(departed_has(&departed, DEPARTED_MAX + 1, now_us + DEPARTED_KEPT_US));
}
END_TEST

Suite *departed_suite(void)
{
	Suite *s = suite_create("session/departed");
	TCase *tc = tcase_create("departed");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, who_has_left_is_known);
	tcase_add_test(tc, where_many_leave_everybody_may_have);
	suite_add_tcase(s, tc);
	return s;
}
