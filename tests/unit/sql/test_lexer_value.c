/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sql/lexer.h"
#include "suites.h"

#define ON    (LEXER_STANDARD_STRINGS | LEXER_UTF8)
#define OFF   LEXER_UTF8
#define THERE (ON | LEXER_UTF8_THERE)
#define OTHER LEXER_STANDARD_STRINGS /* client_encoding is not UTF8 */

#define A60 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"

/* The value of a text that is one token; NULL and why not otherwise. */
static const struct {
	const char *text, *value;
	unsigned flags;
	enum lexer_value problem;
} rows[] = {
	{ "abc", "abc", ON, 0 },
	{ "SELECT", "select", ON, 0 },
	{ "A$Z_9", "a$z_9", ON, 0 },
	{ A60 "GGG", A60 "ggg", ON, 0 },
	{ A60 "gggg", A60 "ggg", ON, 0 },
	{ "\"" A60 "GGGG\"", A60 "GGG", ON, 0 },
	{ "\"Abc\"", "Abc", ON, 0 },
	{ "\"a\"\"b\"\"\"", "a\"b\"", ON, 0 },
	{ "\"a\\nb\"", "a\\nb", OFF, 0 },
	{ "\xc3\x89", NULL, ON, LEXER_VALUE_UNKNOWN },
	{ "A\xc3\x89", "a\xc3\x89", THERE, 0 },
	{ A60 "a\xc3\x89", A60 "a\xc3\x89", THERE, 0 },
	{ A60 "ab\xc3\x89", A60 "ab", THERE, 0 },
	{ "\"" A60 "\xe4\xbd\xa0\xe4\xbd\xa0\"", A60 "\xe4\xbd\xa0", THERE, 0 },
	{ "\"" A60 "ab\xe4\xbd\xa0\"", A60 "ab", THERE, 0 },
	{ "\"\xc3\x89\"", "\xc3\x89", ON, 0 },
	{ "\"" A60 "\xc3\x89\"", A60 "\xc3\x89", ON, 0 },
	{ "\"" A60 "ab\xc3\x89\"", NULL, ON, LEXER_VALUE_UNKNOWN },
	{ "\"" A60 "\xc3\x89\"", NULL, OTHER, LEXER_VALUE_UNKNOWN },
	{ "\"aaaaaaaaaaaaa\xc3\x89\"", "aaaaaaaaaaaaa\xc3\x89", OTHER, 0 },
	{ "\"aaaaaaaaaaaaaa\xc3\x89\"", NULL, OTHER, LEXER_VALUE_UNKNOWN },
	{ "U&\"set\\005Fconfig\"", "set_config", ON, 0 },
	{ "U&\"A\\+000062\"\"c\"", "Ab\"c", ON, 0 },
	{ "U&\"d!0061t!+000061\" UESCAPE '!'", "data", ON, 0 },
	{ "U&\"a!!b\\\" UESCAPE '!'", "a!b\\", OFF, 0 },
	{ "U&\"a\\00e9\"", "a\xc3\xa9", ON, 0 },
	{ "U&\"a\\00e9\"", NULL, OTHER, LEXER_VALUE_UNKNOWN },
	{ "U&\"a\\0000\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"a\\006\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"a\\\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"a\" UESCAPE 'a'", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"\\d83d\\de00\"", "\xf0\x9f\x98\x80", ON, 0 },
	{ "U&\"\\+00d83d\\de00\"", "\xf0\x9f\x98\x80", ON, 0 },
	{ "U&\"\\d83d\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"\\de00\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"\\d83da\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"\\d83d\\0061\"", NULL, ON, LEXER_VALUE_INVALID },
	{ "U&\"\\+110000\"", NULL, ON, LEXER_VALUE_INVALID },

	{ "'a''b'", "a'b", ON, 0 },
	{ "''", "", ON, 0 },
	{ "'a\\nb'", "a\\nb", ON, 0 },
	{ "'a\\nb\\'c\\\\'", "a\nb'c\\", OFF, 0 },
	{ "'a' --x\n 'b'\n'c''d'", "abc'd", ON, 0 },
	{ "'\xc3\xa9'", "\xc3\xa9", OTHER, 0 },
	{ "N'a\\n'", "a\\n", ON, 0 },
	{ "n'a\\n'", "a\n", OFF, 0 },
	{ "$$a'b\\n$$", "a'b\\n", OFF, 0 },
	{ "$x$ $$ $x$", " $$ ", ON, 0 },
	{ "$$$$", "", ON, 0 },

	{ "E'\\b\\f\\n\\r\\t\\v\\'\\\\\\q'", "\b\f\n\r\tv'\\q", ON, 0 },
	{ "e'\\101\\1018\\60'", "AA80", ON, 0 },
	{ "E'\\x41\\x414\\x9z\\xg'", "AA4\tzxg", ON, 0 },
	{ "E'\\400'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\0'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\x00'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\xc3\\xa9'", NULL, ON, LEXER_VALUE_UNKNOWN },
	{ "E'\\303'", NULL, ON, LEXER_VALUE_UNKNOWN },
	{ "E'\\u0041\\U00000042'", "AB", ON, 0 },
	{ "E'\\u00e9'", "\xc3\xa9", ON, 0 },
	{ "E'\\u20ac'", "\xe2\x82\xac", ON, 0 },
	{ "E'\\u00e9'", NULL, OTHER, LEXER_VALUE_UNKNOWN },
	{ "E'\\u004'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\U0000004'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\u0000'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\ud83d\\ude00'", "\xf0\x9f\x98\x80", ON, 0 },
	{ "E'\\ud83d\\U0000de00'", "\xf0\x9f\x98\x80", ON, 0 },
	{ "E'\\ud83d'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\ud83d'\n'\\ude00'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\ude00'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'\\U00110000'", NULL, ON, LEXER_VALUE_INVALID },
	{ "E'a\\\nb'", "a\nb", ON, 0 },
	{ "E'a'\n'\\x62'", "ab", ON, 0 },
	{ "E'a''b'", "a'b", ON, 0 },

	{ "U&'a\\0062''c'", "ab'c", ON, 0 },
	{ "U&'a'", NULL, OFF, LEXER_VALUE_INVALID },
	{ "U&'a\\\\b'", "a\\b", ON, 0 },
	{ "U&'a'\n'b'", "ab", ON, 0 },
	{ "U&'a\\00'\n'62'", NULL, ON, LEXER_VALUE_UNKNOWN },
	{ "U&'a!0062' UESCAPE E'\\x21'", "ab", ON, 0 },
	{ "U&'a\\0000'", NULL, ON, LEXER_VALUE_INVALID },

	{ "B'01'", NULL, ON, LEXER_VALUE_INVALID },
	{ "1", NULL, ON, LEXER_VALUE_INVALID },
	{ "$1", NULL, ON, LEXER_VALUE_INVALID },
	{ "'a", NULL, ON, LEXER_VALUE_INVALID },
};

static void take(const char *text, unsigned flags, struct lexer_token *token)
{
	struct lexer_token end;
	struct lexer lexer;

	lexer_init(&lexer, text, strlen(text), flags);
	(void)lexer_next(&lexer, token);
	ck_assert_msg(lexer_next(&lexer, &end) == LEXER_END, "%s: several tokens", text);
}

START_TEST(gives_the_value)
{
	const char *value = rows[_i].value;
	enum lexer_value result;
	struct lexer_token token;
	char to[128];
	size_t len;

	take(rows[_i].text, rows[_i].flags, &token);
	result = lexer_value(&token, rows[_i].flags, to, sizeof(to), &len);
	ck_assert_msg(result == rows[_i].problem, "%s: %d", rows[_i].text, (int)result);
	if (value == NULL)
		return;
	ck_assert_msg(strcmp(to, value) == 0, "%s: %s", rows[_i].text, to);
	ck_assert_uint_eq(len, strlen(value));
}
END_TEST

/* Every size of the caller's buffer: all of it or nothing, and no byte more. */
START_TEST(keeps_to_the_buffer)
{
	struct lexer_token token;

	if (rows[_i].value == NULL)
		return;
	take(rows[_i].text, rows[_i].flags, &token);
	for (size_t size = 0; size <= strlen(rows[_i].value) + 1; size++) {
		char *to = malloc(size > 0 ? size : 1);
		bool fits = size > strlen(rows[_i].value);
		size_t len;

		ck_assert_int_eq(lexer_value(&token, rows[_i].flags, to, size, &len),
			fits ? LEXER_VALUE_OK : LEXER_VALUE_TOO_LONG);
		ck_assert_uint_eq(len, fits ? strlen(rows[_i].value) : 0);
		free(to);
	}
}
END_TEST

START_TEST(knows_encodings)
{
	ck_assert_uint_eq(lexer_encoding_flags("UTF8"), LEXER_UTF8);
	ck_assert_uint_eq(lexer_encoding_flags("utf-8"), LEXER_UTF8);
	ck_assert_uint_eq(lexer_encoding_flags("Unicode"), LEXER_UTF8);
	ck_assert_uint_eq(lexer_encoding_flags("LATIN1"), 0);
	ck_assert_uint_eq(lexer_encoding_flags("ISO_8859_5"), 0);
	ck_assert_uint_eq(lexer_encoding_flags("EUC_JP"), 0);
	ck_assert_uint_eq(lexer_encoding_flags("SQL_ASCII"), 0);
	ck_assert_uint_eq(lexer_encoding_flags("SJIS"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("BIG5"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("GBK"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("GB18030"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("UHC"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("JOHAB"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("latin"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags("latin11"), LEXER_UNSAFE_ENCODING);
	ck_assert_uint_eq(lexer_encoding_flags(""), LEXER_UNSAFE_ENCODING);
}
END_TEST

Suite *lexer_value_suite(void)
{
	Suite *s = suite_create("sql/lexer_value");
	TCase *tc = tcase_create("lexer_value");

	tcase_add_loop_test(tc, gives_the_value, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, keeps_to_the_buffer, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, knows_encodings);
	suite_add_tcase(s, tc);
	return s;
}
