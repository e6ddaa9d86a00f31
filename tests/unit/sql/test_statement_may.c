/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sql/statement_may.h"
#include "sql/suites.h"

enum { SET = STATEMENT_MAY_SET, NAME = STATEMENT_MAY_NAME, PIN = STATEMENT_MAY_PIN };

static const struct {
	unsigned may;
	const char *word;
} words[] = {
	{ PIN, "advisory" },
	{ PIN, "backup" },
	{ PIN, "dblink" },
	{ NAME, "deallocate" },
	{ SET, "discard" },
	{ NAME, "execute" },
	{ PIN, "hold" },
	{ PIN, "listen" },
	{ SET | PIN, "load" },
	{ NAME, "prepare" },
	{ PIN, "seed" },
	{ SET | PIN, "session_setup" },
	{ SET, "set" },
	{ PIN, "slot" },
	{ PIN, "temp" },
	{ SET | PIN, "u&" },
};

/* The same, as it would be done by hand. */
static unsigned slowly(const char *text, size_t len)
{
	unsigned may = 0;

	for (size_t w = 0; w < COUNT_OF(words); w++) {
		size_t word_len = strlen(words[w].word);

		for (size_t at = 0; at + word_len <= len; at++) {
			size_t n = 0;

			while (n < word_len && tolower((unsigned char)text[at + n]) == words[w].word[n])
				n++;
			may |= n == word_len ? words[w].may : 0;
		}
	}
	return may;
}

START_TEST(finds_each_word_wherever_it_stands)
{
	const char *word = words[_i].word;
	char text[64];
	size_t len = strlen(word);

	for (unsigned capitals = 0; capitals < 1u << len; capitals += 1 + capitals / 5) {
		for (size_t at = 0; at < 3; at++) {
			memset(text, ' ', sizeof(text));
			for (size_t i = 0; i < len; i++)
				text[at + i] = (char)((capitals >> i & 1) != 0 ?
						toupper((unsigned char)word[i]) : word[i]);
			ck_assert_uint_eq(statement_may(text, at + len), words[_i].may);
			ck_assert_uint_eq(statement_may(text, at + len + 1), words[_i].may);
			/* All but its last letter. */
			ck_assert_uint_eq(statement_may(text, at + len - 1),
				slowly(text, at + len - 1));
		}
	}
}
END_TEST

START_TEST(finds_all_of_them)
{
	ck_assert_uint_eq(statement_may("", 0), 0);
	ck_assert_uint_eq(statement_may("SELECT abalance FROM pgbench_accounts WHERE aid = 1", 51), 0);
	ck_assert_uint_eq(statement_may("SET a = 1; EXECUTE b; LISTEN c", 30), STATEMENT_MAY_ALL);
	ck_assert_uint_eq(statement_may("tempreparesetemp", 16), SET | NAME | PIN);
}
END_TEST

/* CREATE and INTO by themselves, but for INTO of an INSERT. */
START_TEST(finds_what_makes_a_table)
{
	static const struct {
		const char *text;
		bool may;
	} cases[] = {
		{ "CREATE TABLE a AS SELECT 1", true },
		{ "create/**/table a as select 1", true },
		{ "SELECT 1 INTO a", true },
		{ "SELECT 1into a", true },
		{ "SELECT 'x'INTO\"a\"", true },
		{ "INSERT INTO a VALUES (1); SELECT 1 INTO b", true },
		{ "into", true },
		{ "INSERT INTO a VALUES (1)", false },
		{ "insert\n\t into a values (1)", false },
		{ "MERGE INTO a USING b ON true", false },
		{ "SELECT created_at, recreate, create_1, create2 FROM a", false },
		{ "SELECT pinto, into_it FROM a", false },
		{ "SELECT 1 INT", false },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		ck_assert_uint_eq(statement_may(cases[i].text, strlen(cases[i].text)),
			cases[i].may ? STATEMENT_MAY_MAKE : 0);
}
END_TEST

/* Letters that come close, and some that only look like them by their last bits. */
START_TEST(is_what_a_slow_look_finds)
{
	static const char letters[] = "setupamlodxcriSETLOAD&6_'\x13\x05\xc5\xe5\xf4";
	char *text;

	srand((unsigned)_i);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)rand() % 24;

		text = malloc(len + 1);
		ck_assert_ptr_nonnull(text);
		for (size_t i = 0; i < len; i++)
			text[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		ck_assert_uint_eq(statement_may(text, len), slowly(text, len));
		free(text);
	}
}
END_TEST

Suite *statement_may_suite(void)
{
	Suite *s = suite_create("statement_may");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, finds_each_word_wherever_it_stands, 0, (int)COUNT_OF(words));
	tcase_add_test(tc, finds_all_of_them);
	tcase_add_test(tc, finds_what_makes_a_table);
	tcase_add_loop_test(tc, is_what_a_slow_look_finds, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}
