/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "base/buf.h"
#include "suites.h"

static void is(const struct buf *b, const char *bytes, size_t len)
{
	ck_assert(buf_ok(b));
	ck_assert_uint_eq(buf_len(b), len);
	ck_assert_mem_eq(buf_data(b), bytes, len);
}

START_TEST(empty_holds_no_memory)
{
	struct buf b;

	buf_init(&b, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_ptr_null(buf_data(&b));
	buf_add(&b, "", 0);
	ck_assert_ptr_null(b.data);
	buf_add_str(&b, "x");
	buf_consume(&b, 1);
	ck_assert_ptr_null(b.data);
	buf_finish(&b);
}
END_TEST

START_TEST(writes_numbers_in_network_order)
{
	struct buf b;

	buf_init(&b, 0);
	buf_add_u8(&b, 0x01);
	buf_add_u16(&b, 0x0203);
	buf_add_u32(&b, 0xfffefdfc);
	buf_add_cstr(&b, "a");
	buf_addf(&b, "%d%s", 42, "b");
	is(&b, "\x01\x02\x03\xff\xfe\xfd\xfc" "a\0" "42b", 12);
	buf_finish(&b);
}
END_TEST

START_TEST(trimmed_holds_what_it_needs_and_grows_again)
{
	struct buf b;

	buf_init(&b, 300);
	buf_trim(&b);
	ck_assert_ptr_null(b.data);
	buf_add(&b, "0123456789", 10);
	buf_consume(&b, 4);
	buf_trim(&b);
	is(&b, "456789", 6);
	ck_assert_uint_eq(b.capacity, 6);
	buf_add_str(&b, "ab");
	is(&b, "456789ab", 8);
	for (int i = 0; i < 292; i++)
		buf_add_u8(&b, 'x');
	ck_assert(buf_ok(&b));
	buf_add_u8(&b, 'x');
	ck_assert(!buf_ok(&b));
	buf_finish(&b);
}
END_TEST

/* Whatever was consumed before, the rest is whole and in order. */
START_TEST(keeps_content_when_it_moves_and_grows)
{
	struct buf b;
	uint8_t next_in = 0, next_out = 0;

	buf_init(&b, 0);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 37 + round; i++)
			buf_add_u8(&b, next_in++);
		while (buf_len(&b) > 100) {
			ck_assert_uint_eq(buf_data(&b)[0], next_out);
			next_out++;
			buf_consume(&b, 1);
		}
	}
	ck_assert_uint_eq(buf_len(&b), 100);
	/* What is consumed is used again: no more than what is needed, doubled. */
	ck_assert_uint_le(b.capacity, 1024);
	buf_finish(&b);
}
END_TEST

START_TEST(fails_over_its_maximum_and_stays_failed)
{
	struct buf b;

	buf_init(&b, 300);
	for (int i = 0; i < 300; i++)
		buf_add_u8(&b, 'x');
	ck_assert(buf_ok(&b));
	buf_add_u8(&b, 'y');
	ck_assert(!buf_ok(&b));
	ck_assert_uint_eq(buf_len(&b), 300);
	buf_consume(&b, 10);
	buf_add_u8(&b, 'y');
	ck_assert_uint_eq(buf_len(&b), 290);
	ck_assert_ptr_null(buf_reserve(&b, 1));
	buf_clear(&b);
	ck_assert(buf_ok(&b));
	buf_add_str(&b, "again");
	is(&b, "again", 5);
	buf_finish(&b);
}
END_TEST

START_TEST(refuses_lengths_that_would_overflow)
{
	static const size_t bad[] = { SIZE_MAX, SIZE_MAX - 1, BUF_MAX + 1, UINT32_MAX };
	struct buf b;

	buf_init(&b, 0);
	buf_add_str(&b, "ab");
	ck_assert_ptr_null(buf_reserve(&b, bad[_i]));
	ck_assert(!buf_ok(&b));
	buf_finish(&b);
}
END_TEST

/* What was consumed is wiped where it was; the rest stays, however it grows. */
START_TEST(secrets_are_wiped_where_they_were)
{
	struct buf b;

	buf_init(&b, 1000);
	buf_add_secret(&b, "password", 8);
	buf_consume_secret(&b, 4);
	is(&b, "word", 4);
	ck_assert_mem_eq(b.data, "\0\0\0\0word", 8);
	for (int i = 0; i < 99; i++)
		buf_add_secret(&b, "0123456789", 10);
	ck_assert(buf_ok(&b));
	ck_assert_uint_eq(buf_len(&b), 994);
	ck_assert_mem_eq(buf_data(&b), "word0123456789012", 17);
	buf_add_secret(&b, "0123456789", 10);
	ck_assert(!buf_ok(&b));
	buf_wipe(&b);
	buf_add_secret(&b, "x", 1);
	buf_consume_secret(&b, 1);
	ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(wipe_leaves_an_empty_buffer_with_the_same_maximum)
{
	struct buf b;

	buf_init(&b, 8);
	buf_add_str(&b, "secret");
	buf_wipe(&b);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_add_str(&b, "123456789");
	ck_assert(!buf_ok(&b));
	buf_finish(&b);
}
END_TEST

Suite *buf_suite(void)
{
	Suite *s = suite_create("base/buf");
	TCase *tc = tcase_create("buf");

	tcase_add_test(tc, empty_holds_no_memory);
	tcase_add_test(tc, writes_numbers_in_network_order);
	tcase_add_test(tc, trimmed_holds_what_it_needs_and_grows_again);
	tcase_add_test(tc, keeps_content_when_it_moves_and_grows);
	tcase_add_test(tc, fails_over_its_maximum_and_stays_failed);
	tcase_add_loop_test(tc, refuses_lengths_that_would_overflow, 0, 4);
	tcase_add_test(tc, secrets_are_wiped_where_they_were);
	tcase_add_test(tc, wipe_leaves_an_empty_buffer_with_the_same_maximum);
	suite_add_tcase(s, tc);
	return s;
}
