/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "sql/words.h"
#include "suites.h"

static const struct {
	const char *text;
	enum word_category category;
} words[] = {
#define WORD(name, category, text) { text, WORD_##category },
#include "sql_words.def"
#undef WORD
};

static enum word find(const char *text)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, text, strlen(text), LEXER_STANDARD_STRINGS);
	(void)lexer_next(&lexer, &token);
	return words_find(&token);
}

START_TEST(finds_every_keyword)
{
	const char *text = words[_i].text;
	char other[32];

	ck_assert_int_eq(find(text), _i + 1);
	ck_assert_int_eq(words_find_text(text, strlen(text)), _i + 1);
	ck_assert_int_eq(words_category((enum word)(_i + 1)), words[_i].category);
	/* In order, so that the search finds them. */
	if (_i > 0)
		ck_assert_int_lt(strcmp(words[_i - 1].text, text), 0);
	/* Neither in quotes nor with a letter more. */
	(void)snprintf(other, sizeof(other), "\"%s\"", text);
	ck_assert_int_eq(find(other), WORD_PLAIN);
	(void)snprintf(other, sizeof(other), "%s_1", text);
	ck_assert_int_eq(find(other), WORD_PLAIN);
}
END_TEST

START_TEST(knows_no_others)
{
	static const char *const others[] = { "a", "z", "_", "zonee", "aborts",
		"tenant_id", "current_timestamps", "characteristicsx",
		"a_word_that_is_longer_than_all", "\xc3\xa9", "1", "'select'", "(" };

	for (size_t i = 0; i < COUNT_OF(others); i++)
		ck_assert_int_eq(find(others[i]), WORD_PLAIN);
	ck_assert_int_eq(find("SeLeCt"), WORD_SELECT);
	ck_assert_int_eq(words_category(WORD_PLAIN), WORD_UNRESERVED);
}
END_TEST

static const struct {
	const char *name;
	enum word_function function;
} functions[] = {
#define FUNCTION(class, name) { name, FUNCTION_##class },
#include "sql_functions.def"
#undef FUNCTION
};

START_TEST(finds_every_function)
{
	const char *name = functions[_i].name;

	ck_assert_int_eq(words_function(name, strlen(name)), functions[_i].function);
	if (_i > 0)
		ck_assert_int_lt(strcmp(functions[_i - 1].name, name), 0);
}
END_TEST

START_TEST(does_not_know_other_functions)
{
	ck_assert_int_eq(words_function("", 0), FUNCTION_UNKNOWN);
	ck_assert_int_eq(words_function("coun", 4), FUNCTION_UNKNOWN);
	ck_assert_int_eq(words_function("counts", 6), FUNCTION_UNKNOWN);
	ck_assert_int_eq(words_function("zzz", 3), FUNCTION_UNKNOWN);
	ck_assert_int_eq(words_function("SET_CONFIG", 10), FUNCTION_UNKNOWN);
}
END_TEST

Suite *words_suite(void)
{
	Suite *s = suite_create("sql/words");
	TCase *tc = tcase_create("words");

	tcase_add_loop_test(tc, finds_every_keyword, 0, (int)COUNT_OF(words));
	tcase_add_test(tc, knows_no_others);
	tcase_add_loop_test(tc, finds_every_function, 0, (int)COUNT_OF(functions));
	tcase_add_test(tc, does_not_know_other_functions);
	suite_add_tcase(s, tc);
	return s;
}
