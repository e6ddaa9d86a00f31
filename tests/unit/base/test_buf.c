/* SPDX-License-Identifier: ISC */
#include "base/suites.h"

#include <string.h>

#include "base/buf.h"

START_TEST(holds_no_memory_while_empty)
{
	struct buf b;

	buf_init(&b, 0);
	ck_assert_ptr_null(buf_data(&b));
	buf_add(&b, "abc", 3);
	ck_assert_ptr_nonnull(buf_data(&b));
	buf_consume(&b, 3);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_finish(&b);
}
END_TEST

START_TEST(keeps_bytes_in_order_while_it_grows_and_shrinks)
{
	struct buf b;
	uint32_t written = 0, read = 0;

	buf_init(&b, 0);
	/* Five in, three out: the content moves through its memory. */
	for (int turn = 0; turn < 2000; turn++) {
		for (int i = 0; i < 5; i++)
			buf_add_u32(&b, written++);
		for (int i = 0; i < 3; i++) {
			const uint8_t *at = buf_data(&b);
			uint32_t value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
				(uint32_t)at[2] << 8 | at[3];

			ck_assert_uint_eq(value, read);
			read++;
			buf_consume(&b, 4);
		}
	}
	ck_assert(buf_ok(&b));
	ck_assert_uint_eq(buf_len(&b), (size_t)(written - read) * 4);
	buf_finish(&b);
}
END_TEST

START_TEST(writes_numbers_in_network_order)
{
	static const uint8_t wanted[] = { 1, 2, 3, 4, 5, 6, 7, 'a', 0 };
	struct buf b;

	buf_init(&b, 0);
	buf_add_u8(&b, 0x01);
	buf_add_u16(&b, 0x0203);
	buf_add_u32(&b, 0x04050607);
	buf_add_cstr(&b, "a");
	ck_assert_uint_eq(buf_len(&b), sizeof(wanted));
	ck_assert_mem_eq(buf_data(&b), wanted, sizeof(wanted));
	buf_finish(&b);
}
END_TEST

/* At the limit it takes everything, one byte over it nothing, and then it stays
 * failed whatever follows. */
START_TEST(fails_over_its_maximum_and_stays_failed)
{
	struct buf b;

	buf_init(&b, 10);
	buf_add(&b, "0123456789", 10);
	ck_assert(buf_ok(&b));
	buf_add_u8(&b, 'x');
	ck_assert(!buf_ok(&b));
	ck_assert_uint_eq(buf_len(&b), 10);
	buf_consume(&b, 5);
	buf_add_u8(&b, 'x');
	ck_assert(!buf_ok(&b));
	ck_assert_uint_eq(buf_len(&b), 5);
	ck_assert_ptr_null(buf_reserve(&b, 1));
	buf_clear(&b);
	ck_assert(buf_ok(&b));
	buf_add_str(&b, "again");
	ck_assert_mem_eq(buf_data(&b), "again", 5);
	buf_finish(&b);
}
END_TEST

START_TEST(refuses_a_length_that_would_overflow)
{
	struct buf b;

	buf_init(&b, 0);
	buf_add_u8(&b, 1);
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert_ptr_null(buf_reserve(&b, 1));
	ck_assert(!buf_ok(&b));
	buf_finish(&b);
}
END_TEST

START_TEST(reserves_what_is_committed)
{
	struct buf b;
	uint8_t *to;

	buf_init(&b, 0);
	buf_add_str(&b, "head");
	to = buf_reserve(&b, 1000);
	ck_assert_ptr_nonnull(to);
	memset(to, 'x', 600);
	buf_commit(&b, 600);
	ck_assert_uint_eq(buf_len(&b), 604);
	ck_assert_mem_eq(buf_data(&b), "headx", 5);
	buf_finish(&b);
}
END_TEST

START_TEST(formats_text_without_a_terminator)
{
	struct buf b;

	buf_init(&b, 0);
	buf_addf(&b, "%s=%d", "a", 42);
	buf_addf(&b, "%s", "");
	ck_assert_uint_eq(buf_len(&b), 4);
	ck_assert_mem_eq(buf_data(&b), "a=42", 4);
	buf_finish(&b);
}
END_TEST

START_TEST(wipes_before_it_frees)
{
	struct buf b;

	buf_init(&b, 100);
	buf_add_str(&b, "secret");
	buf_wipe(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.max, 100);
	buf_wipe(&b);
}
END_TEST

Suite *buf_suite(void)
{
	Suite *s = suite_create("base/buf");
	TCase *tc = tcase_create("buf");

	tcase_add_test(tc, holds_no_memory_while_empty);
	tcase_add_test(tc, keeps_bytes_in_order_while_it_grows_and_shrinks);
	tcase_add_test(tc, writes_numbers_in_network_order);
	tcase_add_test(tc, fails_over_its_maximum_and_stays_failed);
	tcase_add_test(tc, refuses_a_length_that_would_overflow);
	tcase_add_test(tc, reserves_what_is_committed);
	tcase_add_test(tc, formats_text_without_a_terminator);
	tcase_add_test(tc, wipes_before_it_frees);
	suite_add_tcase(s, tc);
	return s;
}
