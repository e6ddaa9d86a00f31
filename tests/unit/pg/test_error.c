/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "pg/error.h"

#define BODY(text) (const uint8_t *)(text), sizeof(text) - 1

static const char whole[] = "SFEHLER\0VFATAL\0C28P01\0Mno\0Dd\0Hh\0P7\0Ww\0ss\0tt\0Rauth_failed"
			    "\0Ffile\0L1\0\0";

START_TEST(reads_all_fields)
{
	struct error_fields e;

	ck_assert(error_parse(BODY(whole), &e));
	ck_assert_str_eq(e.sqlstate, "28P01");
	ck_assert(wire_slice_is(e.severity, "FATAL"));
	ck_assert(wire_slice_is(e.message, "no"));
	ck_assert(wire_slice_is(e.detail, "d"));
	ck_assert(wire_slice_is(e.hint, "h"));
	ck_assert(wire_slice_is(e.position, "7"));
	ck_assert(wire_slice_is(e.where, "w"));
	ck_assert(wire_slice_is(e.schema, "s"));
	ck_assert(wire_slice_is(e.table, "t"));
	ck_assert(wire_slice_is(e.routine, "auth_failed"));
	ck_assert(error_is_fatal(&e));
	ck_assert(error_has_class(&e, "28"));
	ck_assert(!error_has_class(&e, "53"));
}
END_TEST

START_TEST(survives_every_cut)
{
	size_t len = (size_t)_i;
	uint8_t *copy = malloc(len + 1);
	struct error_fields e;
	bool is_fine;

	memcpy(copy + 1, whole, len);
	is_fine = error_parse(copy + 1, len, &e);
	ck_assert_int_eq(is_fine, len == sizeof(whole) - 1);
	ck_assert_uint_eq(strlen(e.sqlstate), 5);
	ck_assert_ptr_nonnull(e.message.data);
	(void)error_is_fatal(&e);
	free(copy);
}
END_TEST

static const struct {
	const char *why;
	const char *body;
	size_t len;
	bool is_fine;
	const char *sqlstate, *severity, *message;
} rows[] = {
	{ "nothing", "", 0, false, "XX000", "", "" },
	{ "no fields", "\0", 1, true, "XX000", "", "" },
	{ "no SQLSTATE", "SERROR\0Mx\0\0", 11, true, "XX000", "ERROR", "x" },
	{ "short SQLSTATE", "C28\0Mx\0\0", 8, true, "XX000", "", "x" },
	{ "long SQLSTATE", "C28P011\0Mx\0\0", 12, true, "XX000", "", "x" },
	{ "strange SQLSTATE", "C28p0'\0\0", 8, true, "XX000", "", "" },
	{ "twice", "Ma\0Mb\0C53300\0C57P01\0\0", 21, true, "53300", "", "a" },
	{ "unknown fields", "Xa\0Yb\0Mc\0\0", 10, true, "XX000", "", "c" },
	{ "text after the end", "Ma\0\0Mb\0\0", 8, false, "XX000", "", "a" },
	{ "S alone", "SPANIC\0\0", 8, true, "XX000", "PANIC", "" },
	{ "a field without its end", "Mabc", 4, false, "XX000", "", "abc" },
	{ "a code and nothing", "M", 1, false, "XX000", "", "" },
};

START_TEST(survives_hostile_servers)
{
	struct error_fields e;

	ck_assert_msg(error_parse((const uint8_t *)rows[_i].body, rows[_i].len, &e) ==
			rows[_i].is_fine,
		"%s", rows[_i].why);
	ck_assert_str_eq(e.sqlstate, rows[_i].sqlstate);
	ck_assert_msg(wire_slice_is(e.severity, rows[_i].severity), "%s", rows[_i].why);
	ck_assert_msg(wire_slice_is(e.message, rows[_i].message), "%s", rows[_i].why);
}
END_TEST

Suite *error_suite(void);
Suite *error_suite(void)
{
	Suite *s = suite_create("pg/error");
	TCase *tc = tcase_create("error");

	tcase_add_test(tc, reads_all_fields);
	tcase_add_loop_test(tc, survives_every_cut, 0, (int)sizeof(whole));
	tcase_add_loop_test(tc, survives_hostile_servers, 0, (int)COUNT_OF(rows));
	suite_add_tcase(s, tc);
	return s;
}
