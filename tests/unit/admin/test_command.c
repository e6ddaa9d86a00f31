/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "suites.h"

static const struct {
	const char *why;
	const char *text;
	const char *word, *argument, *value;
} good[] = {
	{ "a word", "RELOAD", "RELOAD", "", "" },
	{ "two words", "SHOW POOLS", "SHOW", "POOLS", "" },
	{ "case is kept", "sHow pools", "sHow", "pools", "" },
	{ "a semicolon", "SHOW POOLS;", "SHOW", "POOLS", "" },
	{ "several, and blanks", " \t\n SHOW\r\n POOLS ; ;; ", "SHOW", "POOLS", "" },
	{ "a quoted word", "SHOW \"my \"\"db\"", "SHOW", "my \"db", "" },
	{ "an empty quoted word", "SHOW \"\"", "SHOW", "", "" },
	{ "comments", "/* a /* b */ c */ SHOW -- x\nPOOLS -- y", "SHOW", "POOLS", "" },
	{ "digits and underscores", "SHOW stats_2", "SHOW", "stats_2", "" },
	{ "SET with an equals sign", "SET a=b", "SET", "a", "b" },
	{ "SET with TO", "SET a TO b;", "SET", "a", "b" },
	{ "a value in quotes", "SET a = 'it''s; so' ;", "SET", "a", "it's; so" },
	{ "a value of several words", "SET DateStyle = ISO, MDY ; ", "SET", "DateStyle",
		"ISO, MDY" },
	{ "an empty value in quotes", "SET a = ''", "SET", "a", "" },
};

START_TEST(reads)
{
	struct command c;

	ck_assert_msg(command_parse(good[_i].text, &c) == COMMAND_OK, "%s", good[_i].why);
	ck_assert_str_eq(c.word, good[_i].word);
	ck_assert_str_eq(c.argument, good[_i].argument);
	ck_assert_str_eq(c.value, good[_i].value);
	ck_assert(c.has_value == (strncmp(good[_i].text, "SET", 3) == 0));
}
END_TEST

static const char *const empty[] = { "", " \n", ";", " ; ; ", "-- x", "/* x */ ;",
	"-- x\n" };

START_TEST(finds_nothing_to_do)
{
	struct command c;

	ck_assert_int_eq(command_parse(empty[_i], &c), COMMAND_EMPTY);
}
END_TEST

static const struct {
	const char *why;
	const char *text;
} bad[] = {
	{ "two commands", "SHOW POOLS; SHOW POOLS" },
	{ "three words", "SHOW POOLS NOW" },
	{ "what is no word", "SELECT 1 + 1" },
	{ "an expression", "SELECT (1)" },
	{ "a first word in quotes", "\"SHOW\" POOLS" },
	{ "a quote that does not end", "SHOW \"POOLS" },
	{ "a value that does not end", "SET a = 'b" },
	{ "a value that is missing", "SET a =" },
	{ "a value that is missing behind TO", "SET a TO" },
	{ "something behind a value", "SET a = 'b' c" },
	{ "a comment that does not end", "SHOW /* POOLS" },
	{ "a comment that does not end, nested", "/* /* */" },
	{ "a number sign", "SHOW #" },
	{ "bytes that are no ASCII", "SHOW \xc3\xa4" },
};

START_TEST(refuses)
{
	struct command c;

	ck_assert_msg(command_parse(bad[_i].text, &c) == COMMAND_BAD, "%s", bad[_i].why);
}
END_TEST

/* A word, argument or value of that length. */
static enum command_result parse_long(const char *front, size_t len, const char *back)
{
	char text[1024];
	struct command c;
	size_t pos = strlen(front);

	memcpy(text, front, pos);
	memset(text + pos, 'x', len);
	memcpy(text + pos + len, back, strlen(back) + 1);
	return command_parse(text, &c);
}

START_TEST(knows_its_limits)
{
	ck_assert_int_eq(parse_long("", COMMAND_WORD_MAX, ""), COMMAND_OK);
	ck_assert_int_eq(parse_long("", COMMAND_WORD_MAX + 1, ""), COMMAND_BAD);
	ck_assert_int_eq(parse_long("SHOW ", COMMAND_ARGUMENT_MAX, ""), COMMAND_OK);
	ck_assert_int_eq(parse_long("SHOW ", COMMAND_ARGUMENT_MAX + 1, ""), COMMAND_BAD);
	ck_assert_int_eq(parse_long("SHOW \"", COMMAND_ARGUMENT_MAX, "\""), COMMAND_OK);
	ck_assert_int_eq(
		parse_long("SHOW \"", COMMAND_ARGUMENT_MAX + 1, "\""), COMMAND_BAD);
	ck_assert_int_eq(parse_long("SET a=", COMMAND_VALUE_MAX, ""), COMMAND_OK);
	ck_assert_int_eq(parse_long("SET a=", COMMAND_VALUE_MAX + 1, ""), COMMAND_BAD);
	ck_assert_int_eq(parse_long("SET a='", COMMAND_VALUE_MAX, "'"), COMMAND_OK);
	ck_assert_int_eq(parse_long("SET a='", COMMAND_VALUE_MAX + 1, "'"), COMMAND_BAD);
}
END_TEST

static const struct {
	const char *text;
	const char *commands[4];
} several[] = {
	{ "", { NULL } },
	{ " ;; -- x", { NULL } },
	{ "A", { "A" } },
	{ ";A b ;", { "A b " } },
	{ "A; B;;C", { "A", "B", "C" } },
	{ "A \"x;y\"; B 'it''s; so' -- ;\n; C /* ; */ d", { "A \"x;y\"",
		"B 'it''s; so' -- ;\n", "C /* ; */ d" } },
	{ "A \"x; B", { "A \"x; B" } },
	{ "A /* x; B", { "A /* x; B" } },
	{ "A; /* x; B", { "A", " /* x; B" } },
};

START_TEST(cuts_a_query_into_commands)
{
	char text[64], *rest = text, *one;
	size_t n = 0;

	(void)snprintf(text, sizeof(text), "%s", several[_i].text);
	while ((one = command_split(&rest)) != NULL) {
		ck_assert_ptr_nonnull(several[_i].commands[n]);
		ck_assert_str_eq(one, several[_i].commands[n++]);
	}
	ck_assert_ptr_null(several[_i].commands[n]);
}
END_TEST

Suite *command_suite(void)
{
	Suite *s = suite_create("admin/command");
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, reads, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, finds_nothing_to_do, 0, (int)COUNT_OF(empty));
	tcase_add_loop_test(tc, refuses, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, knows_its_limits);
	tcase_add_loop_test(tc, cuts_a_query_into_commands, 0, (int)COUNT_OF(several));
	suite_add_tcase(s, tc);
	return s;
}
