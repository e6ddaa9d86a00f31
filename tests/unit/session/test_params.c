/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "session/params.h"
#include "suites.h"

static struct params p;

static void begin(void)
{
	params_init(&p);
}

static void end(void)
{
	params_finish(&p);
}

static void set(const char *name, const char *value)
{
	ck_assert(params_set(&p, name, value));
}

static uint32_t count(void)
{
	const char *name, *value;
	uint32_t n = 0;
	size_t pos = 0;

	while (params_next(&p, &pos, &name, &value))
		n++;
	return n;
}

/* --- lists ---------------------------------------------------------------------- */

START_TEST(empty_list_has_nothing)
{
	ck_assert_ptr_null(params_get(&p, "TimeZone"));
	ck_assert_uint_eq(count(), 0);
	params_seal(&p);
	ck_assert_uint_eq(p.key, 0);
}
END_TEST

START_TEST(name_is_found_in_any_case)
{
	set("TimeZone", "UTC");
	ck_assert_str_eq(params_get(&p, "timezone"), "UTC");
	ck_assert_str_eq(params_get(&p, "TIMEZONE"), "UTC");
	ck_assert_ptr_null(params_get(&p, "TimeZon"));
	ck_assert_ptr_null(params_get(&p, "UTC"));
}
END_TEST

START_TEST(name_is_set_once_and_keeps_its_place)
{
	const char *name, *value;
	size_t pos = 0;

	set("DateStyle", "ISO");
	set("TimeZone", "UTC");
	set("datestyle", "German, much longer than before");
	ck_assert_uint_eq(count(), 2);
	ck_assert(params_next(&p, &pos, &name, &value));
	ck_assert_str_eq(name, "DateStyle");
	ck_assert_str_eq(value, "German, much longer than before");
	ck_assert_str_eq(params_get(&p, "TimeZone"), "UTC");
}
END_TEST

START_TEST(empty_value_is_a_value)
{
	set("application_name", "");
	set("search_path", "");
	ck_assert_str_eq(params_get(&p, "application_name"), "");
	ck_assert_uint_eq(count(), 2);
	set("application_name", "web");
	ck_assert_str_eq(params_get(&p, "application_name"), "web");
	ck_assert_str_eq(params_get(&p, "search_path"), "");
}
END_TEST

START_TEST(copy_is_its_own)
{
	struct params copy;

	set("TimeZone", "UTC");
	params_seal(&p);
	params_init(&copy);
	ck_assert(params_set(&copy, "what", "was there"));
	ck_assert(params_copy(&copy, &p));
	set("TimeZone", "CET");
	ck_assert_str_eq(params_get(&copy, "TimeZone"), "UTC");
	ck_assert_ptr_null(params_get(&copy, "what"));
	ck_assert(copy.key != 0);
	params_finish(&copy);
}
END_TEST

/* --- limits --------------------------------------------------------------------- */

static char *letters(size_t len)
{
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

START_TEST(exactly_the_limit_fits)
{
	char *most = letters(PARAMS_BYTES_MAX - sizeof("a") - 1);
	char *more = letters(PARAMS_BYTES_MAX - sizeof("a"));

	ck_assert(!params_set(&p, "a", more));
	set("a", most);
	ck_assert(!params_set(&p, "b", ""));
	ck_assert_uint_eq(count(), 1);
	free(most);
	free(more);
}
END_TEST

/* What did not fit has left nothing behind, not even half of itself. */
START_TEST(list_is_whole_after_a_refusal)
{
	char *value = letters(PARAMS_BYTES_MAX - 100), *name = letters(80);

	set("a", value);
	ck_assert(!params_set(&p, name, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"));
	ck_assert_uint_eq(count(), 1);
	ck_assert_ptr_null(params_get(&p, name));
	set("b", "small enough");
	ck_assert_str_eq(params_get(&p, "b"), "small enough");
	ck_assert(!params_set(&p, "b", value));
	ck_assert_str_eq(params_get(&p, "b"), "small enough");
	ck_assert_uint_eq(strlen(params_get(&p, "a")), PARAMS_BYTES_MAX - 100);
	free(name);
	free(value);
}
END_TEST

/* --- keys ----------------------------------------------------------------------- */

static uint64_t key_of(const char *name, const char *value)
{
	uint64_t key;

	begin();
	set(name, value);
	params_seal(&p);
	key = p.key;
	end();
	return key;
}

START_TEST(key_tells_lists_apart)
{
	ck_assert(key_of("a", "bc") != key_of("ab", "c"));
	ck_assert(key_of("a", "") != key_of("b", ""));
	ck_assert(key_of("a", "1") != key_of("a", "2"));
	ck_assert(key_of("a", "1") == key_of("a", "1"));
	ck_assert(key_of("a", "1") != 0);
}
END_TEST

/* --- replay --------------------------------------------------------------------- */

/* The text of the Query; until the next call. */
static const char *replay(bool must_reset)
{
	static struct buf out;
	const uint8_t *data;

	buf_finish(&out);
	buf_init(&out, 0);
	params_write_replay(&p, false, must_reset ? "RESET SESSION AUTHORIZATION; RESET ALL" : NULL,
		&out);
	ck_assert(buf_ok(&out));
	data = buf_data(&out);
	ck_assert_int_eq(data[0], 'Q');
	ck_assert_int_eq(data[buf_len(&out) - 1], '\0');
	ck_assert_uint_eq(strlen((const char *)data + 5) + 6, buf_len(&out));
	return (const char *)data + 5;
}

static void expect_value(const char *value, const char *literal)
{
	char expected[256];

	begin();
	set("app.x", value);
	(void)snprintf(expected, sizeof(expected),
		"SELECT pg_catalog.set_config(E'app.x', %s, false) IS NULL", literal);
	ck_assert_str_eq(replay(false), expected);
	end();
}

START_TEST(values_are_quoted)
{
	expect_value("", "E''");
	expect_value("plain", "E'plain'");
	expect_value("it's", "E'it''s'");
	expect_value("'", "E''''");
	expect_value("\\", "E'\\\\'");
	expect_value("\\'; DROP TABLE t; --", "E'\\\\''; DROP TABLE t; --'");
	expect_value("\n\t\x01", "E'\n\t\x01'");
	expect_value("$1 $$ :x \"q\"", "E'$1 $$ :x \"q\"'");
}
END_TEST

/* In SJIS and others the second byte of a character may look like a backslash: no
 * byte of a character is left in the text. */
START_TEST(high_bytes_are_escaped)
{
	expect_value("\xc3\xa9", "E'\\xc3\\xa9'");
	expect_value("\x83\\", "E'\\x83\\\\'");
	expect_value("\xff" "a", "E'\\xffa'");
}
END_TEST

START_TEST(names_are_quoted_too)
{
	set("a'b\\", "1");
	ck_assert_str_eq(replay(false),
		"SELECT pg_catalog.set_config(E'a''b\\\\', E'1', false) IS NULL");
}
END_TEST

START_TEST(reset_comes_before_the_settings)
{
	ck_assert_str_eq(replay(false), "");
	ck_assert_str_eq(replay(true), "RESET SESSION AUTHORIZATION; RESET ALL; ");
	set("a", "1");
	set("b", "2");
	ck_assert_str_eq(replay(true),
		"RESET SESSION AUTHORIZATION; RESET ALL; "
		"SELECT pg_catalog.set_config(E'a', E'1', false) IS NULL, "
		"pg_catalog.set_config(E'b', E'2', false) IS NULL");
}
END_TEST

/* A list that is allowed can be replayed, whatever is in it. */
START_TEST(every_list_has_a_replay)
{
	char *value = letters(PARAMS_BYTES_MAX - 3), name[16];

	for (char *c = value; *c != '\0'; c++)
		*c = '\xfe';
	set("a", value);
	ck_assert_uint_gt(strlen(replay(true)), 4 * (PARAMS_BYTES_MAX - 3));
	free(value);
	end();
	begin();
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		set(name, "");
	}
	ck_assert_ptr_nonnull(strstr(replay(true), "E'n4999', E'', false) IS NULL"));
	/* No SELECT with more columns than PostgreSQL allows. */
	ck_assert_ptr_nonnull(strstr(replay(true),
		"E'n999', E'', false) IS NULL; SELECT pg_catalog.set_config(E'n1000'"));
}
END_TEST

Suite *params_suite(void)
{
	Suite *s = suite_create("session/params");
	TCase *tc = tcase_create("params");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, empty_list_has_nothing);
	tcase_add_test(tc, name_is_found_in_any_case);
	tcase_add_test(tc, name_is_set_once_and_keeps_its_place);
	tcase_add_test(tc, empty_value_is_a_value);
	tcase_add_test(tc, copy_is_its_own);
	tcase_add_test(tc, exactly_the_limit_fits);
	tcase_add_test(tc, list_is_whole_after_a_refusal);
	tcase_add_test(tc, key_tells_lists_apart);
	tcase_add_test(tc, values_are_quoted);
	tcase_add_test(tc, high_bytes_are_escaped);
	tcase_add_test(tc, names_are_quoted_too);
	tcase_add_test(tc, reset_comes_before_the_settings);
	tcase_add_test(tc, every_list_has_a_replay);
	suite_add_tcase(s, tc);
	return s;
}
