/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/lexer.h"
#include "suites.h"

#define ON  (LEXER_STANDARD_STRINGS | LEXER_UTF8)
#define OFF LEXER_UTF8

/* A letter for each kind of token, in the order of enum lexer_kind. */
static const char letters[] = "-wqusEUNDbhnpo*.=,?!";

/* Tokens as letter and text, with a blank between them; ! at the end: unsure. */
static void render(const char *text, size_t len, unsigned flags, char *to, size_t size)
{
	struct lexer_token token;
	struct lexer lexer;
	size_t used = 0;

	lexer_init(&lexer, text, len, flags);
	while (lexer_next(&lexer, &token) != LEXER_END && used < size)
		used += (size_t)snprintf(to + used, size - used, "%s%c%.*s",
			used > 0 ? " " : "", letters[token.kind], (int)token.len,
			token.text);
	if (lexer.unsure && used < size)
		used += (size_t)snprintf(
			to + used, size - used, "%s!", used > 0 ? " " : "");
	ck_assert_uint_lt(used, size);
	to[used] = '\0';
}

static const struct {
	const char *why, *text, *tokens;
	unsigned flags;
} rows[] = {
	{ "nothing", "", "", ON },
	{ "white space", " \t\r\n\f\v", "", ON },
	{ "words", "SELECT a_1 b$c _x", "wSELECT wa_1 wb$c w_x", ON },
	{ "words beyond ASCII", "\xc3\xa9t\xc3\xa9 x\xff", "w\xc3\xa9t\xc3\xa9 wx\xff",
		ON },
	{ "a word does not begin with a dollar", "$a", "?$ wa !", ON },
	{ "a word goes on behind a dollar", "a$b$ c$$", "wa$b$ wc$$", ON },
	{ "a comment ends a word", "SE/**/T", "wSE wT", ON },

	{ "comment to the end of the line", "a--b\nc", "wa wc", ON },
	{ "comment to a carriage return", "a--b\rc", "wa wc", ON },
	{ "comment to the end of the text", "a -- b", "wa", ON },
	{ "nested comments", "a /* /* b */ c */ d", "wa wd", ON },
	{ "a slash does not open and close", "a /*/ b */ c", "wa wc", ON },
	{ "several stars", "a /***/ b /****/ c", "wa wb wc", ON },
	{ "line comment in a comment", "/* -- */ a", "wa", ON },
	{ "comment in a line comment", "-- /*\na", "wa", ON },
	{ "open comment", "a /* b", "wa !/* b !", ON },
	{ "open inner comment", "a /* /* b */", "wa !/* /* b */ !", ON },
	{ "quote in a comment", "/* ' */ a", "wa", ON },
	{ "end of a comment that was not begun", "a */ b", "wa o*/ wb", ON },

	{ "string", "'a' 'b'", "s'a' s'b'", ON },
	{ "doubled quote", "'a''b' ''", "s'a''b' s''", ON },
	{ "open string", "a 'b", "wa !'b !", ON },
	{ "open string with a doubled quote", "'b''", "!'b'' !", ON },
	{ "backslash is nothing special", "'a\\' b", "s'a\\' wb", ON },
	{ "backslash takes the quote", "'a\\' b' c", "s'a\\' b' wc", OFF },
	{ "backslash and doubled quote", "'a\\'''b", "!'a\\'''b !", OFF },
	{ "two backslashes", "'a\\\\' b", "s'a\\\\' wb", OFF },
	{ "escapes", "E'a\\'b' e'\\\\'", "EE'a\\'b' Ee'\\\\'", ON },
	{ "escape at the end", "E'a\\", "!E'a\\ !", ON },
	{ "E and the quote are one", "E 'a\\'", "wE s'a\\'", ON },
	{ "E at the end of a word", "xE'a\\'", "wxE s'a\\'", ON },
	{ "national", "N'a''b' n'\\'", "NN'a''b' Nn'\\'", ON },
	{ "national with escapes", "N'\\'' a", "NN'\\'' wa", OFF },
	{ "bits", "B'01' b'' X'1f' x'zz'", "bB'01' bb'' hX'1f' hx'zz'", ON },
	{ "bits know no doubled quote", "B'0''1'", "bB'0' s'1'", ON },
	{ "bits go on", "B'0'\n'1'", "bB'0'\n'1'", ON },
	{ "dollars", "$$a'b$$ $x$ $$ $y$ $x$", "D$$a'b$$ D$x$ $$ $y$ $x$", ON },
	{ "dollars: case matters", "$x$ $X$ $x$", "D$x$ $X$ $x$", ON },
	{ "dollars: the last of one begins the next", "$a$ $b$a$", "D$a$ $b$a$", ON },
	{ "dollars: inner tag with the end", "$$ $a$$", "D$$ $a$$", ON },
	{ "dollars: a digit is no tag", "$1$ $1$", "p$1 ?$ p$1 ?$ !", ON },
	{ "dollars: tag with a digit", "$a1$b$a1$", "D$a1$b$a1$", ON },
	{ "dollars: beyond ASCII", "$\xc3\xa9$b$\xc3\xa9$", "D$\xc3\xa9$b$\xc3\xa9$",
		ON },
	{ "dollars: open", "a $x$ b $ x$", "wa !$x$ b $ x$ !", ON },
	{ "dollars: within a word", "a$$b$$", "wa$$b$$", ON },

	{ "goes on in the next line", "'a'\n'b'", "s'a'\n'b'", ON },
	{ "goes on behind white space", "'a' \t\r\n 'b' 'c'", "s'a' \t\r\n 'b' s'c'",
		ON },
	{ "goes on behind a comment", "'a' --x\n--y'\n 'b'", "s'a' --x\n--y'\n 'b'", ON },
	{ "not in the same line", "'a' 'b'", "s'a' s'b'", ON },
	{ "not behind a long comment", "'a' /*\n*/ 'b'", "s'a' s'b'", ON },
	{ "not a word in between", "'a'\nb'0'", "s'a' bb'0'", ON },
	{ "not a name", "'a'\n\"b\"", "s'a' q\"b\"", ON },
	{ "a string with escapes goes on so", "E'a'\n'\\'' b", "EE'a'\n'\\'' wb", ON },
	{ "the second part is not an E", "'a'\nE'b'", "s'a' EE'b'", ON },
	{ "open second part", "'a'\n'b", "!'a'\n'b !", ON },
	{ "a quote alone in the next line", "'a'\n'", "!'a'\n' !", ON },

	{ "quoted name", "\"a\" \"A\"\"b\" \"'\"", "q\"a\" q\"A\"\"b\" q\"'\"", ON },
	{ "quoted name does not go on", "\"a\"\n\"b\"", "q\"a\" q\"b\"", ON },
	{ "quoted name knows no backslash", "\"a\\\" b", "q\"a\\\" wb", OFF },
	{ "empty name", "a \"\"", "wa q\"\" !", ON },
	{ "open name", "a \"b", "wa !\"b !", ON },
	{ "U&", "U&\"a\" u&'b' U&c", "uU&\"a\" Uu&'b' wU o& wc", ON },
	{ "U& in pieces", "U &'b' U& 'b'", "wU o& s'b' wU o& s'b'", ON },
	{ "U& with UESCAPE", "U&'b' /**/ UEscape '!' x", "UU&'b' /**/ UEscape '!' wx",
		ON },
	{ "UESCAPE in dollars", "U&'b' uescape $$!$$", "UU&'b' uescape $$!$$", ON },
	{ "UESCAPE with an escape", "U&'b' uescape E'\\x21'", "UU&'b' uescape E'\\x21'",
		ON },
	{ "UESCAPE with a digit", "U&'b' UESCAPE '1'", "UU&'b' UESCAPE '1' !", ON },
	{ "UESCAPE with two", "U&'b' UESCAPE '!!'", "UU&'b' UESCAPE '!!' !", ON },
	{ "UESCAPE alone", "U&\"b\" UESCAPE", "uU&\"b\" UESCAPE !", ON },
	{ "UESCAPE with a word", "U&\"b\" UESCAPE a", "uU&\"b\" UESCAPE a !", ON },
	{ "UESCAPE behind another string", "'b' UESCAPE '!'", "s'b' wUESCAPE s'!'", ON },
	{ "U& strings need standard strings", "U&'b'", "UU&'b' !", OFF },
	{ "U& names do not", "U&\"b\"", "uU&\"b\"", OFF },
	{ "doubled quotes in U&", "U&'a''b'", "UU&'a''b'", ON },

	{ "numbers", "1 1.5 .5 1. 1e5 1.5E-3 .5e+1",
		"n1 n1.5 n.5 n1. n1e5 n1.5E-3 n.5e+1", ON },
	{ "a sign is an operator", "-1 +1", "o- n1 o+ n1", ON },
	{ "a range", "1..10", "n1 ... n10", ON },
	{ "two points", "1.5.6", "n1.5 n.6", ON },
	{ "bases", "0x1F 0o17 0B101 0x_f", "n0x1F n0o17 n0B101 n0x_f", ON },
	{ "no digits of that base", "0x", "n0 wx !", ON },
	{ "digits of another base", "0o18 0b12", "n0o1 n8 n0b1 n2", ON },
	{ "underscores", "1_000 1_000.5_5", "n1_000 n1_000.5_5", ON },
	{ "underscores that are none", "1_ 1__0", "n1 w_ n1 w__0 !", ON },
	{ "a word sticks to a number", "1a", "n1 wa !", ON },
	{ "an exponent without digits", "1e 1e+", "n1 we n1 we o+ !", ON },
	{ "function behind a number", "1set_config", "n1 wset_config !", ON },
	{ "a column behind a number", "1 a", "n1 wa", ON },
	{ "parameters", "$1 $23", "p$1 p$23", ON },
	{ "a word sticks to a parameter", "$1a", "p$1 wa !", ON },
	{ "a name and a point", "a.b.5", "wa ,. wb n.5", ON },

	{ "operators", "a<=b<>c!=d||e->>f", "wa o<= wb o<> wc o!= wd o|| we o->> wf",
		ON },
	{ "one operator", "@>? ?|", "o@>? o?|", ON },
	{ "a sign is cut off", "a=-1", "wa o= o- n1", ON },
	{ "signs are cut off", "a<=+-1", "wa o<= o+ o- n1", ON },
	{ "signs by themselves", "a+-+-b", "wa o+ o- o+ o- wb", ON },
	{ "signs behind an operator", "a<+-+-1", "wa o< o+ o- o+ o- n1", ON },
	{ "signs up to a comment", "a*+-+--b\n-+1", "wa o* o+ o- o+ o- o+ n1", ON },
	{ "signs that stay", "a+-@+-1", "wa o+-@+- n1", ON },
	{ "a sign is not cut off", "a@-1", "wa o@- n1", ON },
	{ "a sign alone", "+", "o+", ON },
	{ "a comment in an operator", "a+/* b */c", "wa o+ wc", ON },
	{ "a line comment in an operator", "a+--b\nc", "wa o+ wc", ON },
	{ "a comment and a sign", "a*-/*b*/c", "wa o* o- wc", ON },
	{ "operator of 64 bytes",
		"<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
		"o<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<< !",
		ON },
	{ "casts", "a::b:c:=d::", "wa *:: wb ,: wc =:= wd *::", ON },
	{ "punctuation", "(a[1],b);.", ",( wa ,[ n1 ,] ,, wb ,) ,; ,.", ON },
	{ "what begins nothing", "{a} \\ \x01", "?{ wa ?} ?\\ ?\x01 !", ON },

	{ "an encoding with ASCII in characters", "'\x83\x5c'", "s'\x83\x5c' !",
		ON | LEXER_UNSAFE_ENCODING },
	{ "such an encoding, text of ASCII", "'a'", "s'a'", ON | LEXER_UNSAFE_ENCODING },
	{ "settings that may change, a backslash", "'a\\'", "s'a\\' !",
		ON | LEXER_MAY_CHANGE },
	{ "settings that may change, not ASCII", "'\xc3\xbc'", "s'\xc3\xbc' !",
		ON | LEXER_MAY_CHANGE },
	{ "settings that may change, neither", "'a'", "s'a'", ON | LEXER_MAY_CHANGE },
};

START_TEST(finds_the_tokens)
{
	char found[512];

	render(rows[_i].text, strlen(rows[_i].text), rows[_i].flags, found,
		sizeof(found));
	ck_assert_msg(strcmp(found, rows[_i].tokens) == 0, "%s: %s: found %s",
		rows[_i].why, rows[_i].text, found);
}
END_TEST

/* Every beginning of every text, in memory of exactly that size: tokens come in
 * order, are not empty, and do not overlap. */
START_TEST(reads_every_beginning)
{
	size_t whole = strlen(rows[_i].text);

	for (size_t len = 0; len <= whole; len++) {
		char *copy = malloc(len > 0 ? len : 1), *pos = copy;
		struct lexer_token token;
		struct lexer lexer;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, rows[_i].text, len);
		lexer_init(&lexer, copy, len, rows[_i].flags);
		while (lexer_next(&lexer, &token) != LEXER_END) {
			ck_assert(token.text >= pos);
			ck_assert_uint_gt(token.len, 0);
			pos = copy + (token.text - copy) + token.len;
			ck_assert(pos <= copy + len);
			ck_assert_ptr_eq(lexer.pos, pos);
		}
		ck_assert_int_eq(lexer_next(&lexer, &token), LEXER_END);
		free(copy);
	}
}
END_TEST

START_TEST(takes_no_text_at_all)
{
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, NULL, 0, ON);
	ck_assert_int_eq(lexer_next(&lexer, &token), LEXER_END);
	ck_assert(!lexer.unsure);
}
END_TEST

/* The protocol's texts end at their first NUL, so what has one is not one. */
START_TEST(trusts_no_nul)
{
	static const char text[] = "'a\0b'";
	struct lexer_token token;
	struct lexer lexer;
	char to[8];
	size_t len;

	lexer_init(&lexer, text, sizeof(text) - 1, ON);
	ck_assert(lexer.unsure);
	ck_assert_int_eq(lexer_next(&lexer, &token), LEXER_STRING);
	ck_assert_int_eq(
		lexer_value(&token, ON, to, sizeof(to), &len), LEXER_VALUE_INVALID);
}
END_TEST

START_TEST(compares_words)
{
	struct lexer_token token;
	struct lexer lexer;
	static const char text[] = "SeT \"set\" sets <=";

	lexer_init(&lexer, text, strlen(text), ON);
	(void)lexer_next(&lexer, &token);
	ck_assert(lexer_is_word(&token, "set"));
	ck_assert(!lexer_is_word(&token, "se"));
	ck_assert(!lexer_is_word(&token, "sets"));
	ck_assert(lexer_is_name(&token));
	(void)lexer_next(&lexer, &token);
	ck_assert(!lexer_is_word(&token, "set"));
	ck_assert(lexer_is_name(&token));
	ck_assert(lexer_value_is(&token, ON, "set"));
	(void)lexer_next(&lexer, &token);
	ck_assert(!lexer_is_word(&token, "set"));
	(void)lexer_next(&lexer, &token);
	ck_assert(lexer_is_operator(&token, "<="));
	ck_assert(!lexer_is_operator(&token, "<"));
	ck_assert(!lexer_is_name(&token));
}
END_TEST

Suite *lexer_suite(void)
{
	Suite *s = suite_create("sql/lexer");
	TCase *tc = tcase_create("lexer_next");

	tcase_add_loop_test(tc, finds_the_tokens, 0, (int)COUNT_OF(rows));
	tcase_add_loop_test(tc, reads_every_beginning, 0, (int)COUNT_OF(rows));
	tcase_add_test(tc, takes_no_text_at_all);
	tcase_add_test(tc, trusts_no_nul);
	tcase_add_test(tc, compares_words);
	suite_add_tcase(s, tc);
	return s;
}
