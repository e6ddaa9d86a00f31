/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <check.h>

#include "session/target.h"
#include "suites.h"

#define FITS  TARGET_FITS
#define UNFIT TARGET_UNFIT

/* What libpq's words mean for each kind of server: PostgreSQL documentation, 34.1.2. */
static const struct {
	const char *in_hot_standby;
	const char *default_read_only;
	enum target_verdict verdicts[6];        /* by enum route_target */
} reported[] = {
	{ "off", "off", { FITS, FITS, UNFIT, FITS, UNFIT, UNFIT } },
	{ "off", "on", { FITS, UNFIT, FITS, FITS, UNFIT, UNFIT } },
	{ "on", "off", { FITS, UNFIT, FITS, UNFIT, FITS, FITS } },
	{ "on", "on", { FITS, UNFIT, FITS, UNFIT, FITS, FITS } },
	{ NULL, NULL, { FITS, TARGET_ASK, TARGET_ASK, TARGET_ASK, TARGET_ASK, TARGET_ASK } },
	{ NULL, "off", { FITS, TARGET_ASK, TARGET_ASK, TARGET_ASK, TARGET_ASK, TARGET_ASK } },
	{ NULL, "on", { FITS, UNFIT, FITS, TARGET_ASK, TARGET_ASK, TARGET_ASK } },
};

START_TEST(reported_settings_decide)
{
	struct target_facts facts = { TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN };
	struct params params;

	params_init(&params);
	if (reported[_i].in_hot_standby != NULL)
		ck_assert(params_set(&params, "in_hot_standby", reported[_i].in_hot_standby));
	if (reported[_i].default_read_only != NULL)
		ck_assert(params_set(&params, "default_transaction_read_only",
			reported[_i].default_read_only));
	target_learn(&facts, &params);
	for (int wants = ROUTE_TARGET_ANY; wants <= ROUTE_TARGET_PREFER_STANDBY; wants++)
		ck_assert_msg(target_decide((enum route_target)wants, &facts) ==
			reported[_i].verdicts[wants], "%s",
			route_target_name((enum route_target)wants));
	params_finish(&params);
}
END_TEST

static const struct {
	enum route_target wants;
	const char *answer;
	enum target_verdict verdict;
	const char *words;              /* of one that does not fit */
} asked[] = {
	{ ROUTE_TARGET_READ_WRITE, "off", FITS, NULL },
	{ ROUTE_TARGET_READ_WRITE, "on", UNFIT, "is read-only" },
	{ ROUTE_TARGET_READ_ONLY, "on", FITS, NULL },
	{ ROUTE_TARGET_READ_ONLY, "off", UNFIT, "is not read-only" },
	{ ROUTE_TARGET_PRIMARY, "f", FITS, NULL },
	{ ROUTE_TARGET_PRIMARY, "t", UNFIT, "is in hot standby" },
	{ ROUTE_TARGET_STANDBY, "t", FITS, NULL },
	{ ROUTE_TARGET_STANDBY, "f", UNFIT, "is not in hot standby" },
	{ ROUTE_TARGET_PREFER_STANDBY, "t", FITS, NULL },
	{ ROUTE_TARGET_PREFER_STANDBY, "f", UNFIT, "is not in hot standby" },
	/* A walsender is asked with SHOW. */
	{ ROUTE_TARGET_PRIMARY, "off", FITS, NULL },
	{ ROUTE_TARGET_STANDBY, "on", FITS, NULL },
	{ ROUTE_TARGET_PRIMARY, "", TARGET_ASK, "does not tell what it is" },
	{ ROUTE_TARGET_READ_WRITE, "offline", TARGET_ASK, "does not tell what it is" },
	{ ROUTE_TARGET_READ_WRITE, "o", TARGET_ASK, "does not tell what it is" },
};

START_TEST(answers_decide)
{
	struct target_facts facts = { TARGET_UNKNOWN, TARGET_UNKNOWN, TARGET_UNKNOWN };

	ck_assert_int_eq(target_decide(asked[_i].wants, &facts), TARGET_ASK);
	target_answer(&facts, asked[_i].wants, asked[_i].answer, strlen(asked[_i].answer));
	ck_assert_int_eq(target_decide(asked[_i].wants, &facts), asked[_i].verdict);
	if (asked[_i].words != NULL)
		ck_assert_str_eq(target_describe(asked[_i].wants, &facts), asked[_i].words);
}
END_TEST

START_TEST(a_walsender_is_asked_what_it_knows)
{
	ck_assert_str_eq(target_question(ROUTE_TARGET_READ_WRITE, false),
		"SHOW transaction_read_only");
	ck_assert_str_eq(target_question(ROUTE_TARGET_PRIMARY, false),
		"SELECT pg_catalog.pg_is_in_recovery()");
	ck_assert_str_eq(target_question(ROUTE_TARGET_STANDBY, true),
		"SHOW transaction_read_only");
}
END_TEST

START_TEST(what_holds_for_a_role_only_is_told_from_the_rest)
{
	struct target_facts facts = { TARGET_NO, TARGET_YES, TARGET_UNKNOWN };

	ck_assert(target_is_by_role(ROUTE_TARGET_READ_WRITE, &facts));
	ck_assert_str_eq(target_describe(ROUTE_TARGET_READ_WRITE, &facts),
		"is read-only by default_transaction_read_only");
	ck_assert(!target_is_by_role(ROUTE_TARGET_STANDBY, &facts));
	facts.in_hot_standby = TARGET_YES;
	ck_assert(!target_is_by_role(ROUTE_TARGET_READ_WRITE, &facts));
	ck_assert_str_eq(target_describe(ROUTE_TARGET_READ_WRITE, &facts),
		"is in hot standby");
}
END_TEST

Suite *target_suite(void)
{
	Suite *s = suite_create("session/target");
	TCase *tc = tcase_create("target");

	tcase_add_loop_test(tc, reported_settings_decide, 0, COUNT_OF(reported));
	tcase_add_loop_test(tc, answers_decide, 0, COUNT_OF(asked));
	tcase_add_test(tc, a_walsender_is_asked_what_it_knows);
	tcase_add_test(tc, what_holds_for_a_role_only_is_told_from_the_rest);
	suite_add_tcase(s, tc);
	return s;
}
