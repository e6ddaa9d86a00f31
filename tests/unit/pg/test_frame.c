/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "pg/frame.h"

/* Query 'SELECT 1', as it goes over the wire. */
static const uint8_t query[] = "Q\0\0\0\x0d" "SELECT 1";

enum { QUERY_LEN = sizeof(query) };

/* A message may arrive in any two pieces; no piece may be taken for a whole. */
START_TEST(tells_how_much_is_here_at_every_split)
{
	size_t len = (size_t)_i;
	struct frame f;
	enum frame_result result = frame_next(query, len, 1000, &f);

	if (len < FRAME_HEADER) {
		ck_assert_int_eq(result, FRAME_NEED_MORE);
		return;
	}
	ck_assert_int_eq(result, FRAME_OK);
	ck_assert_int_eq(f.type, 'Q');
	ck_assert_uint_eq(f.body_len, 9);
	ck_assert_uint_eq(f.available, len - FRAME_HEADER);
	ck_assert_int_eq(frame_is_whole(&f), len == QUERY_LEN);
	ck_assert_uint_eq(frame_size(&f), QUERY_LEN);
	ck_assert_ptr_eq(f.body, query + FRAME_HEADER);
}
END_TEST

START_TEST(leaves_the_next_message_alone)
{
	uint8_t two[2 * QUERY_LEN];
	struct frame f;

	memcpy(two, query, QUERY_LEN);
	memcpy(two + QUERY_LEN, query, QUERY_LEN);
	ck_assert_int_eq(frame_next(two, sizeof(two), 1000, &f), FRAME_OK);
	ck_assert(frame_is_whole(&f));
	ck_assert_uint_eq(f.available, 9);
}
END_TEST

static const struct {
	const char *why;
	uint8_t bytes[5];
	uint32_t body_max;
	enum frame_result result;
} lengths[] = {
	{ "length 0", { 'Q', 0, 0, 0, 0 }, FRAME_BODY_MAX, FRAME_BAD },
	{ "length below its own size", { 'Q', 0, 0, 0, 3 }, FRAME_BODY_MAX, FRAME_BAD },
	{ "negative length", { 'Q', 0xff, 0xff, 0xff, 0xff }, FRAME_BODY_MAX, FRAME_BAD },
	{ "one over what a length can say", { 'Q', 0x80, 0, 0, 0 }, FRAME_BODY_MAX,
		FRAME_BAD },
	{ "negative with any maximum", { 'Q', 0x80, 0, 0, 4 }, UINT32_MAX, FRAME_BAD },
	{ "one over the maximum", { 'Q', 0, 0, 0, 15 }, 10, FRAME_BAD },
	{ "just the maximum", { 'Q', 0, 0, 0, 14 }, 10, FRAME_OK },
	{ "no body where none may be", { 'S', 0, 0, 0, 4 }, 0, FRAME_OK },
	{ "the longest", { 'd', 0x7f, 0xff, 0xff, 0xff }, FRAME_BODY_MAX, FRAME_OK },
};

START_TEST(judges_lengths)
{
	struct frame f;

	ck_assert_msg(frame_next(lengths[_i].bytes, 5, lengths[_i].body_max, &f) ==
			lengths[_i].result,
		"%s", lengths[_i].why);
}
END_TEST

Suite *frame_suite(void);
Suite *frame_suite(void)
{
	Suite *s = suite_create("pg/frame");
	TCase *tc = tcase_create("frame_next");

	tcase_add_loop_test(tc, tells_how_much_is_here_at_every_split, 0, QUERY_LEN + 1);
	tcase_add_test(tc, leaves_the_next_message_alone);
	tcase_add_loop_test(tc, judges_lengths, 0, (int)COUNT_OF(lengths));
	suite_add_tcase(s, tc);
	return s;
}
