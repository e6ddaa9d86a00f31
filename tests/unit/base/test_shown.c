/* SPDX-License-Identifier: ISC */
#include <pthread.h>

#include "base/shown.h"
#include "suites.h"

enum { ROUNDS = 200000 };

static struct shown shown;
static _Atomic int is_over;

START_TEST(as_it_was_set)
{
	struct shown s = { 0 };
	char text[SHOWN_SIZE], longer[2 * SHOWN_SIZE];

	shown_get(&s, text);
	ck_assert_str_eq(text, "");
	shown_set(&s, "one");
	shown_get(&s, text);
	ck_assert_str_eq(text, "one");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	shown_set(&s, longer);
	shown_get(&s, text);
	ck_assert_uint_eq(strlen(text), SHOWN_SIZE - 1);
	shown_set(&s, "");
	shown_get(&s, text);
	ck_assert_str_eq(text, "");
}
END_TEST

static void *write_it(void *arg)
{
	static const char *const texts[] = { "",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbb" };

	(void)arg;
	for (size_t i = 0; i < ROUNDS; i++)
		shown_set(&shown, texts[i % COUNT_OF(texts)]);
	atomic_store(&is_over, 1);
	return NULL;
}

START_TEST(never_half_of_one)
{
	char text[SHOWN_SIZE];
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_it, NULL), 0);
	while (!atomic_load(&is_over)) {
		shown_get(&shown, text);
		ck_assert_uint_eq(strspn(text, text[0] == 'b' ? "b" : "a"), strlen(text));
		ck_assert(strlen(text) == 0 || strlen(text) == 17 || strlen(text) == 63);
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

Suite *shown_suite(void)
{
	Suite *suite = suite_create("shown");
	TCase *tcase = tcase_create("shown");

	tcase_add_test(tcase, as_it_was_set);
	tcase_add_test(tcase, never_half_of_one);
	suite_add_tcase(suite, tcase);
	return suite;
}
