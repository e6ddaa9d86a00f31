/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <check.h>

#include "pg/frame.h"
#include "session/unseen.h"
#include "suites.h"

enum { SECOND_US = 1000000, START_US = 77 * SECOND_US };

static struct unseen unseen;

static void setup(void)
{
	unseen_init(&unseen);
}

static void teardown(void)
{
	unseen_finish(&unseen);
}

static void answered(
	unsigned able, bool is_mighty, uint64_t generation, uint64_t asked_us)
{
	struct unseen_answer answer = { .known = "t,1",
		.name = "s.f",
		.able = (uint8_t)able,
		.is_mighty = is_mighty };

	unseen_take(&unseen, &answer, generation, asked_us, asked_us);
}

static enum unseen_verdict judged(unsigned code, uint64_t generation, uint64_t now_us)
{
	struct unseen_ran ran = {
		.client = 1, .since_us = now_us, .code = (uint8_t)code
	};

	return unseen_judge(&unseen, &ran, generation, 0, now_us);
}

/* --- verdicts ------------------------------------------------------------------------ */

START_TEST(nothing_that_ran_leaves_nothing)
{
	ck_assert_int_eq(judged(0, 1, START_US), UNSEEN_CANNOT);
}
END_TEST

START_TEST(an_answer_is_asked_for)
{
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US), UNSEEN_UNKNOWN);
	ck_assert_uint_eq(unseen_able(&unseen), UNSEEN_ALL);
	ck_assert_uint_eq(unseen_known_able(&unseen), 0);
	answered(0, false, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US), UNSEEN_CANNOT);
	ck_assert_uint_eq(unseen_able(&unseen), 0);
}
END_TEST

START_TEST(an_answer_gets_old)
{
	answered(0, false, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US + SECOND_US - 1), UNSEEN_CANNOT);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US + SECOND_US), UNSEEN_UNKNOWN);
}
END_TEST

START_TEST(changed_code_makes_it_old)
{
	answered(0, false, 65536, START_US);
	ck_assert_int_eq(judged(UNSEEN_CALL, 65536, START_US), UNSEEN_CANNOT);
	ck_assert_int_eq(judged(UNSEEN_CALL, 65537, START_US), UNSEEN_UNKNOWN);
}
END_TEST

START_TEST(only_what_may_and_has_run)
{
	answered(UNSEEN_CALL, false, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US + 1), UNSEEN_CANNOT);
	ck_assert_int_eq(
		judged(UNSEEN_DATA | UNSEEN_TEXT, 1, START_US + 1), UNSEEN_CANNOT);
	ck_assert_int_eq(judged(UNSEEN_DATA | UNSEEN_CALL, 1, START_US + 1), UNSEEN_MAY);
	ck_assert_uint_eq(unseen_known_able(&unseen), UNSEEN_CALL);
}
END_TEST

START_TEST(a_text_with_load_always_may)
{
	answered(0, false, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_LOAD, 1, START_US), UNSEEN_MAY);
}
END_TEST

START_TEST(what_was_there_when_it_ran_counts)
{
	const uint64_t later_us = START_US + 5 * SECOND_US;
	struct unseen_ran before = { .client = 1, .since_us = START_US, .code = UNSEEN_CALL };
	struct unseen_ran behind = { .client = 1, .since_us = later_us, .code = UNSEEN_CALL };

	answered(UNSEEN_CALL, false, 1, START_US + 1);
	answered(0, false, 2, later_us);
	ck_assert_int_eq(unseen_judge(&unseen, &before, 2, 0, later_us + 1), UNSEEN_MAY);
	ck_assert_int_eq(unseen_judge(&unseen, &behind, 2, 0, later_us + 1), UNSEEN_CANNOT);
	ck_assert(unseen_may(&unseen, &before, 0));
	ck_assert(!unseen_may(&unseen, &behind, 0));
	/* Whatever else may have been found since. */
	answered(UNSEEN_DATA, false, 2, later_us + 5);
	ck_assert(unseen_may(&unseen, &before, 0));
	ck_assert(!unseen_may(&unseen, &behind, 0));
}
END_TEST

/* CREATE FUNCTION, a call, DROP FUNCTION. */
START_TEST(what_was_changed_may_be_gone)
{
	struct unseen_ran ran = {
		.client = 1, .changes = 4, .since_us = START_US, .code = UNSEEN_DATA
	};

	answered(0, true, 1, START_US);
	ck_assert_int_eq(unseen_judge(&unseen, &ran, 1, 4, START_US), UNSEEN_CANNOT);
	ck_assert_int_eq(unseen_judge(&unseen, &ran, 1, 5, START_US), UNSEEN_MAY);
	answered(0, false, 1, START_US);
	ck_assert_int_eq(unseen_judge(&unseen, &ran, 1, 5, START_US), UNSEEN_CANNOT);
}
END_TEST

START_TEST(an_older_answer_that_comes_later_changes_nothing)
{
	answered(0, false, 1, START_US + SECOND_US);
	answered(0, false, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US + SECOND_US + 5), UNSEEN_CANNOT);
}
END_TEST

START_TEST(no_answer_is_the_worst)
{
	answered(0, false, 1, START_US);
	unseen_fail(&unseen, 1, START_US + 1);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US + 2), UNSEEN_MAY);
	/* Not asked again at once, whatever has changed. */
	ck_assert_int_eq(judged(UNSEEN_DATA, 2, START_US + 9 * SECOND_US), UNSEEN_MAY);
	ck_assert_int_eq(judged(0, 2, START_US + 9 * SECOND_US), UNSEEN_CANNOT);
	ck_assert(!unseen_claim(&unseen, START_US + 9 * SECOND_US));
	ck_assert_int_eq(
		judged(UNSEEN_DATA, 1, START_US + 11 * SECOND_US), UNSEEN_UNKNOWN);
}
END_TEST

/* Who would be told the worst need not ask. */
START_TEST(the_worst_is_not_asked_for_again)
{
	answered(UNSEEN_CALL, true, 1, START_US);
	ck_assert_int_eq(judged(UNSEEN_CALL, 2, START_US), UNSEEN_MAY);
	ck_assert_int_eq(judged(UNSEEN_DATA, 2, START_US), UNSEEN_UNKNOWN);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, START_US), UNSEEN_CANNOT);
}
END_TEST

START_TEST(one_asks_in_time)
{
	answered(0, false, 1, START_US);
	ck_assert(!unseen_claim(&unseen, START_US + SECOND_US / 2));
	ck_assert(unseen_claim(&unseen, START_US + SECOND_US * 3 / 4));
	ck_assert(!unseen_claim(&unseen, START_US + SECOND_US * 3 / 4 + 1));
	/* It never came to it. */
	ck_assert(unseen_claim(&unseen, START_US + SECOND_US));
	answered(0, false, 1, START_US + SECOND_US);
	ck_assert(!unseen_claim(&unseen, START_US + SECOND_US * 3 / 2));
}
END_TEST

/* --- the answer ---------------------------------------------------------------------- */

static bool reads(
	struct unseen_answer *answer, const char *const *columns, uint16_t count)
{
	struct frame row = { .type = 'D' };
	struct buf body;
	bool is_read;

	buf_init(&body, 0);
	buf_add_u16(&body, count);
	for (uint16_t i = 0; i < count; i++) {
		buf_add_u32(&body,
			columns[i] == NULL ? UINT32_MAX : (uint32_t)strlen(columns[i]));
		if (columns[i] != NULL)
			buf_add_str(&body, columns[i]);
	}
	row.body = buf_data(&body);
	row.body_len = (uint32_t)buf_len(&body);
	row.available = row.body_len;
	is_read = unseen_row(&row, answer);
	buf_finish(&body);
	return is_read;
}

#define READS(answer, ...) \
	reads(answer, (const char *const[]){ __VA_ARGS__ }, \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))
#define MARK "pgtandem: unseen"

/* PostgreSQL is not busy with this alone; but what has changed is asked for at once. */
START_TEST(what_takes_long_holds_longer)
{
	const struct unseen_answer answer = { .known = "f,1", .able = 0 };
	const uint64_t end_us = START_US + 5 * SECOND_US;

	unseen_take(&unseen, &answer, 1, START_US, START_US + SECOND_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, end_us - 1), UNSEEN_CANNOT);
	ck_assert_int_eq(judged(UNSEEN_DATA, 1, end_us), UNSEEN_UNKNOWN);
	ck_assert_int_eq(judged(UNSEEN_DATA, 2, START_US + SECOND_US), UNSEEN_UNKNOWN);
	/* One asks, so much earlier as it may take. */
	ck_assert(!unseen_claim(&unseen, end_us - 3 * SECOND_US));
	ck_assert(unseen_claim(&unseen, end_us - 2 * SECOND_US));
	ck_assert(!unseen_claim(&unseen, end_us - 1));
	/* The next one counts, however long the last would have. */
	answered(UNSEEN_DATA, false, 2, START_US + SECOND_US);
	ck_assert_int_eq(judged(UNSEEN_DATA, 2, START_US + SECOND_US), UNSEEN_MAY);
	ck_assert_int_eq(judged(UNSEEN_CALL, 2, START_US + 2 * SECOND_US), UNSEEN_UNKNOWN);
	/* There is an end to it. */
	unseen_take(&unseen, &answer, 2, end_us, end_us + 60 * SECOND_US);
	ck_assert_int_eq(judged(UNSEEN_CALL, 2, end_us + 10 * SECOND_US), UNSEEN_UNKNOWN);
}
END_TEST

/* Of all others that would ask none does, nor waits. */
START_TEST(one_asks_what_takes_long)
{
	const struct unseen_answer answer = { .known = "f,1", .able = 0 };
	const uint64_t later_us = START_US + SECOND_US;

	ck_assert(!unseen_is_asked(&unseen, START_US));
	unseen_ask(&unseen, START_US);
	ck_assert(!unseen_is_asked(&unseen, START_US + SECOND_US / 2 - 1));
	ck_assert(unseen_is_asked(&unseen, START_US + SECOND_US / 2));
	/* It is lost. */
	ck_assert(!unseen_is_asked(&unseen, START_US + 6 * SECOND_US));
	unseen_take(&unseen, &answer, 1, START_US, later_us);
	ck_assert(!unseen_is_asked(&unseen, later_us));
	/* Now it is known from the beginning. */
	unseen_ask(&unseen, later_us);
	ck_assert(unseen_is_asked(&unseen, later_us));
	unseen_ask_ends(&unseen);
	ck_assert(!unseen_is_asked(&unseen, later_us));
}
END_TEST

START_TEST(reads_the_answer)
{
	struct unseen_answer a;

	ck_assert(READS(&a, MARK, "t,f,3,-17,4", "tft public.f"));
	ck_assert_str_eq(a.known, "t,f,3,-17,4");
	ck_assert_str_eq(a.name, "public.f");
	ck_assert_uint_eq(a.able, UNSEEN_DATA | UNSEEN_TEXT);
	ck_assert(a.is_mighty && !a.is_same);
	ck_assert(READS(&a, MARK, "f,f,0", "ftf="));
	ck_assert_uint_eq(a.able, UNSEEN_CALL);
	ck_assert(!a.is_mighty && a.is_same);
	ck_assert(READS(&a, MARK, "f,f,0", "fff "));
	ck_assert_str_eq(a.name, "");
}
END_TEST

/* Of a database in another encoding: its bytes become more on their way. */
START_TEST(reads_a_long_name)
{
	struct unseen_answer a;
	char text[300];

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "tff ", 4);
	text[sizeof(text) - 1] = '\0';
	ck_assert(READS(&a, MARK, "f,f,0", text));
	ck_assert_uint_eq(a.able, UNSEEN_DATA);
	ck_assert_uint_eq(strlen(a.name), UNSEEN_NAME_MAX - 1);
}
END_TEST

START_TEST(takes_no_other_row_for_it)
{
	struct unseen_answer a;

	ck_assert(!READS(&a, MARK));
	ck_assert(!READS(&a, MARK, "f,f,0"));
	ck_assert(!READS(&a, MARK, "f,f,0", "fff ", "x"));
	ck_assert(!READS(&a, "pgtandem: not", "f,f,0", "fff "));
	ck_assert(!READS(&a, NULL, "f,f,0", "fff "));
	ck_assert(!READS(&a, MARK, NULL, "fff "));
	ck_assert(!READS(&a, MARK, "f,f,0", NULL));
	ck_assert(!READS(&a, MARK, "", "fff "));
	ck_assert(!READS(&a, MARK, "f';DROP", "fff "));
	ck_assert(!READS(&a, MARK, "f,f,0", "ff"));
	ck_assert(!READS(&a, MARK, "f,f,0", "fxf "));
	ck_assert(!READS(&a, MARK, "f,f,0", "fff"));
	ck_assert(!READS(&a, MARK, "f,f,0", "fff=x"));
}
END_TEST

START_TEST(asks_again_with_what_it_knows)
{
	struct unseen_answer same = {
		.known = "t,1", .able = UNSEEN_DATA, .is_same = true
	};
	char name[UNSEEN_NAME_MAX];
	struct buf sql;

	answered(UNSEEN_DATA | UNSEEN_CALL, false, 1, START_US);
	buf_init(&sql, 0);
	unseen_question(&unseen, false, &sql);
	buf_add_cstr(&sql, "");
	ck_assert(buf_ok(&sql));
	ck_assert_ptr_nonnull(strstr((const char *)buf_data(&sql), "'t,1' THEN 'ttf='"));
	ck_assert_ptr_nonnull(strstr((const char *)buf_data(&sql), "sqlbody"));
	buf_clear(&sql);
	unseen_question(&unseen, true, &sql);
	buf_add_cstr(&sql, "");
	ck_assert_ptr_null(strstr((const char *)buf_data(&sql), "sqlbody"));
	buf_finish(&sql);
	unseen_take(&unseen, &same, 1, START_US + 1, START_US + 2);
	unseen_name(&unseen, name);
	ck_assert_str_eq(name, "s.f");
}
END_TEST

Suite *unseen_suite(void)
{
	Suite *s = suite_create("session/unseen");
	TCase *tc = tcase_create("unseen_judge");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_that_ran_leaves_nothing);
	tcase_add_test(tc, an_answer_is_asked_for);
	tcase_add_test(tc, an_answer_gets_old);
	tcase_add_test(tc, changed_code_makes_it_old);
	tcase_add_test(tc, only_what_may_and_has_run);
	tcase_add_test(tc, a_text_with_load_always_may);
	tcase_add_test(tc, what_was_there_when_it_ran_counts);
	tcase_add_test(tc, what_was_changed_may_be_gone);
	tcase_add_test(tc, an_older_answer_that_comes_later_changes_nothing);
	tcase_add_test(tc, no_answer_is_the_worst);
	tcase_add_test(tc, the_worst_is_not_asked_for_again);
	tcase_add_test(tc, one_asks_in_time);
	tcase_add_test(tc, what_takes_long_holds_longer);
	tcase_add_test(tc, one_asks_what_takes_long);
	tcase_add_test(tc, reads_the_answer);
	tcase_add_test(tc, reads_a_long_name);
	tcase_add_test(tc, takes_no_other_row_for_it);
	tcase_add_test(tc, asks_again_with_what_it_knows);
	suite_add_tcase(s, tc);
	return s;
}
