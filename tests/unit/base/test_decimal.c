/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdio.h>

#include "base/decimal.h"
#include "suites.h"

static void is_as_printed(uint64_t value)
{
	char text[DECIMAL_SIZE], printed[32];

	(void)snprintf(printed, sizeof(printed), "%" PRIu64, value);
	ck_assert_str_eq(decimal_text(value, text), printed);
}

/* Around each power of ten, where the number of digits changes, and at both ends. */
START_TEST(is_what_printf_writes)
{
	is_as_printed(0);
	is_as_printed(UINT64_MAX);
	for (uint64_t value = 1;; value *= 10) {
		is_as_printed(value - 1);
		is_as_printed(value);
		is_as_printed(value + 1);
		is_as_printed(value * 12 / 10);
		if (value > UINT64_MAX / 12 / 10)
			break;
	}
}
END_TEST

Suite *decimal_suite(void)
{
	Suite *s = suite_create("base/decimal");
	TCase *tc = tcase_create("decimal_text");

	tcase_add_test(tc, is_what_printf_writes);
	suite_add_tcase(s, tc);
	return s;
}
