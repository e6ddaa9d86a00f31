/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "session/texts.h"
#include "suites.h"

static struct texts texts;

static void begin(void)
{
	memset(&texts, 0, sizeof(texts));
}

START_TEST(what_was_found_out_is_found_again)
{
	char first[] = "SELECT 1", second[] = "SELECT 1";

	texts_find(&texts, first, strlen(first), 1)->leaves = 2;
	ck_assert_uint_eq(texts_find(&texts, second, strlen(second), 1)->leaves, 2);
}
END_TEST

START_TEST(another_text_or_reading_is_not_the_same)
{
	texts_find(&texts, "SELECT 1", 8, 1)->ends = 1;
	ck_assert_uint_eq(texts_find(&texts, "SELECT 1", 8, 0)->ends, 0);
	texts_find(&texts, "SELECT 1", 8, 1)->ends = 1;
	ck_assert_uint_eq(texts_find(&texts, "SELECT 1;", 9, 1)->ends, 0);
	texts_find(&texts, "SELECT 1", 8, 1)->ends = 1;
	ck_assert_uint_eq(texts_find(&texts, "SELECT 1", 7, 1)->ends, 0);
	texts_find(&texts, "a\0b", 3, 1)->ends = 1;
	ck_assert_uint_eq(texts_find(&texts, "a\0c", 3, 1)->ends, 0);
}
END_TEST

/* Each answer is that of its own text, or none: who asks takes the place. */
START_TEST(those_that_meet_in_a_place_are_told_apart)
{
	enum { TEXTS = TEXTS_PLACES / 4 };
	size_t known = 0;
	char text[32];

	for (unsigned i = 0; i < TEXTS; i++) {
		int len = snprintf(text, sizeof(text), "SELECT a%u", i);

		texts_find(&texts, text, (size_t)len, 1)->ends = (uint8_t)(1 + i % 200);
	}
	for (unsigned i = 0; i < TEXTS; i++) {
		int len = snprintf(text, sizeof(text), "SELECT a%u", i);
		struct text *t = texts_find(&texts, text, (size_t)len, 1);

		ck_assert(t->ends == 0 || t->ends == 1 + i % 200);
		known += t->ends != 0;
	}
	ck_assert_uint_gt(known, TEXTS / 2);
}
END_TEST

START_TEST(those_that_differ_in_their_numbers_are_one)
{
	char text[512];

	for (int padding = 0; padding < 400; padding += 133) {
		for (unsigned i = 0; i < 8; i++) {
			int len = snprintf(text, sizeof(text),
				"%*sSELECT a1 FROM t WHERE b = %u AND c IN (%u, '%u')", padding, "",
				i * 7919, i, i * i);
			struct text *t = texts_find(&texts, text, (size_t)len, 1);

			/* A long one has a place when it comes for the second time. */
			ck_assert(i == 0 || t != NULL);
			ck_assert(i < 2 || t->ends == 3);
			if (t != NULL)
				t->ends = 3;
		}
		(void)snprintf(text, sizeof(text),
			"%*sSELECT a2 FROM t WHERE b = 1 AND c IN (1, '1')", padding, "");
		for (int again = 0; again < 3; again++) {
			struct text *t = texts_find(&texts, text, strlen(text), 1);

			ck_assert(t == NULL || t->ends == 0);
		}
	}
	texts_finish(&texts);
}
END_TEST

/* One that comes as it is has a place of its own in the end, and is found there. */
START_TEST(long_ones_with_numbers_that_come_again_are_found)
{
	static const char *const all[] = { "1", "22", "333" };
	unsigned known[COUNT_OF(all)] = { 0 };
	char text[512];

	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < COUNT_OF(all); i++) {
			int len = snprintf(text, sizeof(text), "%*sSELECT %s", 300, "", all[i]);
			struct text *t = texts_find(&texts, text, (size_t)len, 1);

			if (t != NULL && t->ends == 3)
				known[i]++;
			else if (t != NULL)
				t->ends = 3;
		}
	}
	for (unsigned i = 0; i < COUNT_OF(all); i++)
		ck_assert_uint_ge(known[i], 3);
	texts_finish(&texts);
}
END_TEST

START_TEST(long_texts_are_kept_when_they_come_again)
{
	static char text[TEXTS_LEN_MAX + 1];

	memset(text, 'x', sizeof(text));
	ck_assert_ptr_nonnull(texts_find(&texts, text, TEXTS_SHORT_MAX, 0));
	ck_assert_ptr_null(texts_find(&texts, text, TEXTS_SHORT_MAX + 1, 0));
	ck_assert_ptr_nonnull(texts_find(&texts, text, TEXTS_SHORT_MAX + 1, 0));
	ck_assert_ptr_null(texts_find(&texts, text, TEXTS_LEN_MAX, 0));
	texts_find(&texts, text, TEXTS_LEN_MAX, 0)->ends = 3;
	ck_assert_uint_eq(texts_find(&texts, text, TEXTS_LEN_MAX, 0)->ends, 3);
	ck_assert_uint_eq(texts_find(&texts, text, TEXTS_LEN_MAX, 1)->ends, 0);
	text[TEXTS_LEN_MAX - 1] = 'y';
	ck_assert_ptr_null(texts_find(&texts, text, TEXTS_LEN_MAX, 0));
	ck_assert_ptr_null(texts_find(&texts, text, TEXTS_LEN_MAX + 1, 0));
	ck_assert_ptr_null(texts_find(&texts, text, TEXTS_LEN_MAX + 1, 0));
	ck_assert_ptr_nonnull(texts_find(&texts, "", 0, 0));
	texts_finish(&texts);
}
END_TEST

/* As it says whoever looks at it for the first time, short and long, again and again. */
START_TEST(what_may_stand_in_a_text)
{
	static const struct {
		const char *text;
		unsigned may;
	} cases[] = {
		{ "SELECT 1", 0 },
		{ "", 0 },
		{ "set a = 1", TEXT_MAY_TOUCH },
		{ "EXECUTE a", TEXT_MAY_NAME },
		{ "CREATE TEMP TABLE a ()", TEXT_MAY_PIN },
		{ "PREPARE a AS CREATE TEMP TABLE b AS SELECT set_config('a', 'b', false)",
			TEXT_MAY_ALL },
	};
	char text[512];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (int padding = 0; padding < 400; padding += 133) {
			int len = snprintf(
				text, sizeof(text), "%*s%s", padding, "", cases[i].text);

			for (int again = 0; again < 4; again++)
				ck_assert_uint_eq(texts_may(&texts, text, (size_t)len, 1) &
						TEXT_MAY_ALL,
					cases[i].may);
		}
	}
	texts_finish(&texts);
}
END_TEST

Suite *texts_suite(void)
{
	Suite *s = suite_create("session/texts");
	TCase *tc = tcase_create("texts");

	tcase_add_checked_fixture(tc, begin, NULL);
	tcase_add_test(tc, what_was_found_out_is_found_again);
	tcase_add_test(tc, another_text_or_reading_is_not_the_same);
	tcase_add_test(tc, those_that_meet_in_a_place_are_told_apart);
	tcase_add_test(tc, those_that_differ_in_their_numbers_are_one);
	tcase_add_test(tc, long_ones_with_numbers_that_come_again_are_found);
	tcase_add_test(tc, long_texts_are_kept_when_they_come_again);
	tcase_add_test(tc, what_may_stand_in_a_text);
	suite_add_tcase(s, tc);
	return s;
}
