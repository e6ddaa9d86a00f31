/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>

#include "pg/wire.h"

static const uint8_t message[] = "\x01\x02\x03\x04\x05\x06\x07text\0rest";

START_TEST(reads_fields_in_network_order)
{
	struct wire_in in;

	wire_init(&in, message, sizeof(message) - 1);
	ck_assert_uint_eq(wire_u8(&in), 1);
	ck_assert_uint_eq(wire_u16(&in), 0x0203);
	ck_assert_uint_eq(wire_u32(&in), 0x04050607);
	ck_assert_str_eq(wire_cstr(&in), "text");
	ck_assert(!wire_done(&in));
	ck_assert_uint_eq(wire_left(&in), 4);
	ck_assert(wire_slice_is(wire_rest(&in), "rest"));
	ck_assert(wire_done(&in));
}
END_TEST

/* Whatever is cut off, no read goes beyond the end (the sanitizer looks), and
 * the error stays. */
START_TEST(fails_at_every_cut)
{
	size_t len = (size_t)_i;
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	struct wire_in in;

	memcpy(copy, message, len);
	wire_init(&in, copy, len);
	(void)wire_u8(&in);
	(void)wire_u16(&in);
	(void)wire_u32(&in);
	ck_assert_str_eq(wire_cstr(&in), len < 12 ? "" : "text");
	ck_assert_int_eq(wire_ok(&in), len >= 12);
	if (len < 12) {
		ck_assert_uint_eq(wire_u8(&in), 0);
		ck_assert_uint_eq(wire_left(&in), 0);
		ck_assert_ptr_null(wire_bytes(&in, 0));
		ck_assert_uint_eq(wire_rest(&in).len, 0);
	}
	free(copy);
}
END_TEST

START_TEST(refuses_lengths_that_overflow)
{
	struct wire_in in;

	wire_init(&in, message, sizeof(message));
	(void)wire_u8(&in);
	ck_assert_ptr_null(wire_bytes(&in, SIZE_MAX));
	ck_assert(!wire_ok(&in));
}
END_TEST

START_TEST(takes_no_data_at_all)
{
	struct wire_in in;

	wire_init(&in, NULL, 0);
	ck_assert(wire_done(&in));
	ck_assert_ptr_nonnull(wire_rest(&in).data);
	ck_assert_uint_eq(wire_u32(&in), 0);
	ck_assert(!wire_done(&in));
}
END_TEST

Suite *wire_suite(void);
Suite *wire_suite(void)
{
	Suite *s = suite_create("pg/wire");
	TCase *tc = tcase_create("wire");

	tcase_add_test(tc, reads_fields_in_network_order);
	tcase_add_loop_test(tc, fails_at_every_cut, 0, (int)sizeof(message));
	tcase_add_test(tc, refuses_lengths_that_overflow);
	tcase_add_test(tc, takes_no_data_at_all);
	suite_add_tcase(s, tc);
	return s;
}
