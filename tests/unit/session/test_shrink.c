/* SPDX-License-Identifier: ISC */
/* When the log tells of a budget that has shrunk. */
#include <check.h>

#include "session/shrink.h"
#include "suites.h"

struct step {
	const char *why;
	uint64_t at_ms;
	uint32_t used;
	uint32_t budget;
	bool tells;
};

static const struct step steps[] = {
	{ "nothing to drain", 0, 35, 35, false },
	{ "less is used", 100, 30, 35, false },
	{ "it has shrunk", 200, 30, 20, true },
	{ "nothing has changed", 300, 30, 20, false },
	{ "too soon for another line", 1199, 25, 20, false },
	{ "a second later", 1200, 25, 20, true },
	{ "nothing has changed for long", 9000, 25, 20, false },
	{ "the next change after that is told at once", 9001, 24, 20, true },
	{ "another reload, too", 9002, 24, 10, true },
	{ "too soon", 9003, 11, 10, false },
	{ "done", 9004, 10, 10, true },
	{ "once", 9005, 10, 10, false },
	{ "in use again", 12000, 5, 10, false },
	{ "it has shrunk to less", 12001, 5, 4, true },
	{ "and grown: done, whatever is used", 12002, 5, 40, true },
	{ "once more", 12003, 5, 40, false },
};

START_TEST(tells_of_begin_changes_and_end)
{
	struct shrink s = { .is_on = false };

	for (size_t i = 0; i < COUNT_OF(steps); i++)
		ck_assert_msg(
			shrink_step(&s, steps[i].used, steps[i].budget,
				1 + steps[i].at_ms * USEC_PER_MSEC) == steps[i].tells,
			"%zu: %s", i, steps[i].why);
}
END_TEST

Suite *shrink_suite(void)
{
	Suite *s = suite_create("session/shrink");
	TCase *tc = tcase_create("shrink");

	tcase_add_test(tc, tells_of_begin_changes_and_end);
	suite_add_tcase(s, tc);
	return s;
}
