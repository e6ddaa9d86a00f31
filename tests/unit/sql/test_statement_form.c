/* SPDX-License-Identifier: ISC */
/*
 * The form of a text, and that what is found out about it holds for the text.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sql/statement_end.h"
#include "sql/statement_form.h"
#include "sql/statement_may.h"
#include "sql/suites.h"

#define ON (LEXER_STANDARD_STRINGS | LEXER_UTF8)

static const struct {
	const char *text, *form;
} rows[] = {
	{ "", "" },
	{ "SELECT a FROM t", "SELECT a FROM t" },
	{ "SELECT 1", "SELECT 0" },
	{ "7", "0" },
	{ "12345678", "0" },
	{ "SELECT abalance FROM pgbench_accounts WHERE aid = 123456;",
		"SELECT abalance FROM pgbench_accounts WHERE aid = 0;" },
	{ "SELECT -1.50, .5, 5., 1..10, 1e+5", "SELECT -0.0, .0, 0., 0..0, 1e+0" },
	/* Names, parameters, tags. */
	{ "SELECT t1.a2, int4(b_3) FROM t1", "SELECT t1.a2, int4(b_3) FROM t1" },
	{ "SELECT $1, $23, a$4", "SELECT $1, $23, a$4" },
	{ "SELECT $a1$ 1 $a1$, 1$a$ 2$a$", "SELECT $a1$ 0 $a1$, 1$a$ 2$a$" },
	{ "SELECT \xc3\xa4" "1, 1\xc3\xa4", "SELECT \xc3\xa4" "1, 1\xc3\xa4" },
	/* Numbers of another kind, and errors. */
	{ "SELECT 0x1F, 0b11, 1_000, 1e5, 1x2, 1_", "SELECT 0x1F, 0b11, 1_000, 1e5, 1x2, 1_" },
	/* What is in quotes is not told apart. */
	{ "SELECT 'a 12', '12', E'\\12', \"12\"", "SELECT 'a 0', '0', E'\\0', \"0\"" },
	{ "SELECT 1 & 2", "SELECT 1 & 2" },
	{ "SELECT U&\"\\0041\", 5", "SELECT U&\"\\0041\", 5" },
	{ "SELECT '2024-01-31 10:00:00+01'", "SELECT '0-0-0 0:0:0+0'" },
};

START_TEST(numbers_that_stand_alone_are_zero)
{
	size_t len = strlen(rows[_i].text);
	/* Room of its own size, so that a sanitizer sees what is beyond. */
	char *text = malloc(len + 1), *room = malloc(len + 1);
	struct sql_range form;

	ck_assert(text != NULL && room != NULL);
	memcpy(text, rows[_i].text, len + 1);
	form = statement_form(text, len, room);
	ck_assert_msg(form.len == strlen(rows[_i].form) &&
			memcmp(form.data, rows[_i].form, form.len) == 0,
		"%s: %.*s", text, (int)form.len, form.data);
	free(text);
	free(room);
}
END_TEST

static void check_alike(const char *text, size_t len, unsigned flags)
{
	char room[512];
	struct sql_range form = statement_form(text, len, room);

	ck_assert_uint_eq(statement_may(text, len), statement_may(form.data, form.len));
	ck_assert_int_eq(statement_may_load(text, len), statement_may_load(form.data, form.len));
	ck_assert_msg(statement_text_end(text, len, flags) ==
				statement_text_end(form.data, form.len, flags) &&
			statement_text_code(text, len, flags) ==
				statement_text_code(form.data, form.len, flags) &&
			statement_leaves_nothing(text, len, flags) ==
				statement_leaves_nothing(form.data, form.len, flags),
		"%.*s: %.*s", (int)len, text, (int)form.len, form.data);
}

/* Parts that mean something else beside digits than alone. */
static const char *const parts[] = { "SELECT ", "select", "COMMIT", "SHOW ", "SET ", "SAVEPOINT ",
	"FETCH ", "LOAD ", "DO ", "INSERT INTO t VALUES (", "FROM ", "int4(", "set_config(", "f(",
	"pg_temp", "pg_temp_", "setseed(", "u", "e", "E'", "x", "b'", "0x", "_", ".", "..", "-", "--",
	"/*", "*/", "'", "''", "\"", "\\", "$", "$$", "$a$", "$a1$", "(", ")", ",", ";", ":", "::", "+",
	" ", "\n", "\xe4", "1", "0", "12", "345", "00", "98765", "1.5", "7" };

START_TEST(what_is_said_of_the_form_holds_for_the_text)
{
	char text[512];

	srand((unsigned)_i);
	for (int round = 0; round < 20000; round++) {
		size_t len = 0;

		for (int count = rand() % 16; count > 0; count--) {
			const char *part = parts[(size_t)rand() % COUNT_OF(parts)];

			memcpy(text + len, part, strlen(part));
			len += strlen(part);
		}
		/* Names that are cut may not be understood: see statement_form.h. */
		if (memchr(text, '"', len) == NULL || memchr(text, '\xe4', len) == NULL)
			check_alike(text, len, (unsigned)rand() % 8);
	}
}
END_TEST

Suite *statement_form_suite(void)
{
	Suite *s = suite_create("statement_form");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, numbers_that_stand_alone_are_zero, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, what_is_said_of_the_form_holds_for_the_text, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}
