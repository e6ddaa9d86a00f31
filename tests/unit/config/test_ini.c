/* SPDX-License-Identifier: ISC */
/* PgBouncer's file as a list of lines. */
#include <check.h>
#include <string.h>

#include "base/diag.h"
#include "config/ini.h"
#include "support.h"

Suite *ini_suite(void);

static struct ini ini;
static struct diag diag;

static int parse(const char *text)
{
	ini_finish(&ini);
	diag_clear(&diag);
	return ini_parse(&ini, text, strlen(text), "x.ini", false, &diag);
}

static void begin(void)
{
	ini_init(&ini);
}

static void end(void)
{
	ini_finish(&ini);
}

static const struct {
	const char *why, *text, *key, *value;
	enum ini_section section;
} good[] = {
	{ "a setting", "[pgbouncer]\nlisten_port = 6432", "listen_port", "6432", INI_PGBOUNCER },
	{ "no value", "[pgbouncer]\nauth_file =", "auth_file", "", INI_PGBOUNCER },
	{ "blanks at the ends", "[users]\n \t a.b-c\t=\t x y \r\n", "a.b-c", "x y", INI_USERS },
	{ "a star", "[databases]\n* = host=h", "*", "host=h", INI_DATABASES },
	{ "a quoted key", "[databases]\n\"a \"\"b\"=x", "a \"b", "x", INI_DATABASES },
	{ "a key in single quotes", "[databases]\n'a=b' = x", "a=b", "x", INI_DATABASES },
	{ "no comment behind a value", "[peers]\n1 = x ; y # z", "1", "x ; y # z", INI_PEERS },
	{ "comments", "; a\n  # b\n[pgbouncer]\n;c\nuser=u\n", "user", "u", INI_PGBOUNCER },
	{ "an equals sign in the value", "[users]\nu = a=b", "u", "a=b", INI_USERS },
};

START_TEST(reads_a_line)
{
	ck_assert_msg(parse(good[_i].text) == 0, "%s: %s", good[_i].why, diag.text);
	ck_assert_uint_eq(ini.count, 1);
	ck_assert_str_eq(ini.first->key, good[_i].key);
	ck_assert_str_eq(ini.first->value, good[_i].value);
	ck_assert_int_eq(ini.first->section, good[_i].section);
}
END_TEST

/* Cut anywhere it is a shorter file, or one with an error in its last line. */
START_TEST(any_beginning_of_it_is_read_or_refused)
{
	const char *text = good[_i].text;

	for (size_t len = 0; len < strlen(text); len++) {
		uint32_t lines = 1;

		ini_finish(&ini);
		diag_clear(&diag);
		for (size_t i = 0; i < len; i++)
			lines += text[i] == '\n';
		if (ini_parse(&ini, text, len, "x.ini", false, &diag) < 0)
			ck_assert_uint_eq(diag.line, lines);
		ck_assert_uint_le(ini.count, 1);
	}
}
END_TEST

static const struct {
	const char *text;
	uint32_t line;
} bad[] = {
	{ "user = u", 1 },
	{ "[nonsense]\n", 1 },
	{ "[pgbouncer]\n\nuser", 3 },
	{ "[pgbouncer]\n= x", 2 },
	{ "[pgbouncer]\nus er = x", 2 },
	{ "[pgbouncer]\n\"user = x", 2 },
	{ "[pgbouncer\n", 1 },
	{ "%include", 1 },
	{ "%includex y", 1 },
	{ "%other y", 1 },
	{ "[users]\nu = a\x01", 2 },
	{ "[users]\n\"u\x7f\" = a", 2 },
	{ "[databases]\n\n\"\xc3\xa4\" = host=\xc3\xa4\n\"\xe4\" = host=a", 4 },
};

START_TEST(refuses)
{
	ck_assert_int_lt(parse(bad[_i].text), 0);
	ck_assert_uint_eq(diag.line, bad[_i].line);
	ck_assert_str_eq(diag.file, "x.ini");
}
END_TEST

START_TEST(keeps_order_sections_and_lines)
{
	ck_assert_int_eq(parse("[users]\na = 1\n[databases]\nb = 2\n[users]\nc = 3"), 0);
	ck_assert_uint_eq(ini.count, 3);
	ck_assert_str_eq(ini.first->next->key, "b");
	ck_assert_uint_eq(ini.first->next->line, 4);
	ck_assert_int_eq(ini.first->next->next->section, INI_USERS);
}
END_TEST

static const struct {
	const char *text;
	const char *pairs[5];           /* key, value, ... */
	int end;
} strings[] = {
	{ "", { NULL }, 0 },
	{ "  ", { NULL }, 0 },
	{ "host=a port=1", { "host", "a", "port", "1" }, 0 },
	{ "host = a  ", { "host", "a" }, 0 },
	{ "password='it''s; so' user=u", { "password", "it's; so", "user", "u" }, 0 },
	{ "a=''", { "a", "" }, 0 },
	{ "a=", { NULL }, -1 },
	{ "a", { NULL }, -1 },
	{ "=a", { NULL }, -1 },
	{ "a=b c", { "a", "b" }, -1 },
	{ "a='b", { NULL }, -1 },
};

START_TEST(splits_connection_strings)
{
	char key[INI_KEY_MAX + 1], value[INI_VALUE_MAX + 1];
	const char *at = strings[_i].text;
	size_t n = 0;
	int found;

	while ((found = ini_next_pair(&at, key, value)) > 0) {
		ck_assert_ptr_nonnull(strings[_i].pairs[n]);
		ck_assert_str_eq(key, strings[_i].pairs[n++]);
		ck_assert_str_eq(value, strings[_i].pairs[n++]);
	}
	ck_assert_ptr_null(strings[_i].pairs[n]);
	ck_assert_int_eq(found, strings[_i].end);
}
END_TEST

Suite *ini_suite(void)
{
	Suite *s = suite_create("config/ini");
	TCase *tc = tcase_create("ini");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, reads_a_line, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, any_beginning_of_it_is_read_or_refused, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, refuses, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, keeps_order_sections_and_lines);
	tcase_add_loop_test(tc, splits_connection_strings, 0, (int)COUNT_OF(strings));
	suite_add_tcase(s, tc);
	return s;
}
