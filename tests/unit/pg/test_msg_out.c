/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "pg/frame.h"
#include "pg/message.h"
#include "pg/msg_out.h"

#define EXPECT(b, bytes) expect((b), (bytes), sizeof(bytes) - 1)

static void expect(struct buf *b, const char *bytes, size_t len)
{
	ck_assert(buf_ok(b));
	ck_assert_uint_eq(buf_len(b), len);
	ck_assert_mem_eq(buf_data(b), bytes, len);
	buf_clear(b);
}

START_TEST(writes_logins_of_clients)
{
	static const char *const mechanisms[] = { "A-PLUS", "A" };
	const uint8_t salt[4] = { 1, 2, 3, 4 };
	uint8_t key[32] = { 9 };
	struct buf b;

	buf_init(&b, 0);
	msg_out_auth_ok(&b);
	EXPECT(&b, "R\0\0\0\x08\0\0\0\0");
	msg_out_auth_cleartext(&b);
	EXPECT(&b, "R\0\0\0\x08\0\0\0\x03");
	msg_out_auth_md5(&b, salt);
	EXPECT(&b, "R\0\0\0\x0c\0\0\0\x05\x01\x02\x03\x04");
	msg_out_auth_sasl(&b, mechanisms, 2);
	EXPECT(&b, "R\0\0\0\x12\0\0\0\x0a" "A-PLUS\0A\0\0");
	msg_out_auth_sasl_continue(&b, "xy", 2);
	EXPECT(&b, "R\0\0\0\x0a\0\0\0\x0bxy");
	msg_out_auth_sasl_final(&b, NULL, 0);
	EXPECT(&b, "R\0\0\0\x08\0\0\0\x0c");
	msg_out_parameter_status(&b, "n", "v");
	EXPECT(&b, "S\0\0\0\x08n\0v\0");
	msg_out_ready_for_query(&b, 'T');
	EXPECT(&b, "Z\0\0\0\x05T");
	msg_out_backend_key_data(&b, 7, key, 4);
	EXPECT(&b, "K\0\0\0\x0c\0\0\0\x07\x09\0\0\0");
	msg_out_backend_key_data(&b, 7, key, sizeof(key));
	ck_assert_uint_eq(buf_len(&b), 5 + 4 + 32);
	buf_finish(&b);
}
END_TEST

START_TEST(negotiates_the_protocol)
{
	static const char body[] = "\0\0\0\x21\0\3\0\x09user\0a\0_pq_.x\0" "1\0_pq_.y\0\0\0";
	struct startup s;
	struct buf b;

	buf_init(&b, 0);
	ck_assert_int_eq(startup_parse((const uint8_t *)body, sizeof(body) - 1, 0, &s),
		STARTUP_OK);
	msg_out_negotiate_protocol(&b, &s);
	EXPECT(&b, "v\0\0\0\x1a\0\3\0\2\0\0\0\2_pq_.x\0_pq_.y\0");
	buf_finish(&b);
}
END_TEST

START_TEST(writes_errors)
{
	struct buf b;

	buf_init(&b, 0);
	msg_out_error(&b, &(struct msg_out_error){ "FATAL", "28P01", "no", NULL, NULL });
	EXPECT(&b, "E\0\0\0\x1eSFATAL\0VFATAL\0C28P01\0Mno\0\0");
	msg_out_notice(&b, &(struct msg_out_error){ "NOTICE", "00000", "m", "d", "h" });
	EXPECT(&b, "N\0\0\0\x25SNOTICE\0VNOTICE\0C00000\0Mm\0Dd\0Hh\0\0");
	buf_finish(&b);
}
END_TEST

START_TEST(writes_results)
{
	static const struct msg_out_column columns[] = { { "a", MSG_OUT_TEXT },
		{ "b", MSG_OUT_INT8 } };
	static const char *const values[] = { "xy", NULL, "" };
	static const uint32_t types[] = { 25 };
	struct buf b;

	buf_init(&b, 0);
	msg_out_row_description(&b, columns, 2);
	EXPECT(&b, "T\0\0\0\x2e\0\2"
		   "a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		   "b\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0");
	msg_out_data_row(&b, values, 3);
	EXPECT(&b, "D\0\0\0\x14\0\3\0\0\0\2xy\xff\xff\xff\xff\0\0\0\0");
	msg_out_command_complete(&b, "SELECT 1");
	EXPECT(&b, "C\0\0\0\x0dSELECT 1\0");
	msg_out_empty_query(&b);
	EXPECT(&b, "I\0\0\0\4");
	msg_out_parse_complete(&b);
	EXPECT(&b, "1\0\0\0\4");
	msg_out_bind_complete(&b);
	EXPECT(&b, "2\0\0\0\4");
	msg_out_close_complete(&b);
	EXPECT(&b, "3\0\0\0\4");
	msg_out_no_data(&b);
	EXPECT(&b, "n\0\0\0\4");
	msg_out_portal_suspended(&b);
	EXPECT(&b, "s\0\0\0\4");
	msg_out_parameter_description(&b, types, 1);
	EXPECT(&b, "t\0\0\0\x0a\0\1\0\0\0\x19");
	msg_out_notification(&b, 5, "c", "p");
	EXPECT(&b, "A\0\0\0\x0c\0\0\0\5c\0p\0");
	buf_finish(&b);
}
END_TEST

START_TEST(writes_logins_to_servers)
{
	static const char *const pairs[] = { "user", "a", "database", "d" };
	const uint8_t key[4] = { 1, 2, 3, 4 };
	struct startup s;
	struct buf b;

	buf_init(&b, 0);
	msg_out_startup(&b, STARTUP_PROTOCOL_3_0, pairs, COUNT_OF(pairs));
	ck_assert_int_eq(startup_parse(buf_data(&b), buf_len(&b), 0, &s), STARTUP_OK);
	ck_assert_str_eq(s.user, "a");
	ck_assert_str_eq(s.database, "d");
	EXPECT(&b, "\0\0\0\x1b\0\3\0\0user\0a\0database\0d\0\0");
	msg_out_tls_request(&b);
	EXPECT(&b, "\0\0\0\x08\x04\xd2\x16\x2f");
	msg_out_cancel_request(&b, 9, key, sizeof(key));
	EXPECT(&b, "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x09\1\2\3\4");
	msg_out_password(&b, "pw");
	EXPECT(&b, "p\0\0\0\x07pw\0");
	msg_out_sasl_initial(&b, "M", "xyz", 3);
	EXPECT(&b, "p\0\0\0\x0dM\0\0\0\0\3xyz");
	msg_out_sasl_response(&b, "xyz", 3);
	EXPECT(&b, "p\0\0\0\x07xyz");
	buf_finish(&b);
}
END_TEST

START_TEST(writes_statements)
{
	static const char *const params[] = { "x", NULL };
	struct buf b;

	buf_init(&b, 0);
	msg_out_query(&b, "Q");
	EXPECT(&b, "Q\0\0\0\6Q\0");
	msg_out_statement(&b, "S");
	EXPECT(&b, "P\0\0\0\x09\0S\0\0\0" "B\0\0\0\x0c\0\0\0\0\0\0\0\0" "E\0\0\0\x09\0\0\0\0\0");
	msg_out_bind(&b, "p", "s", params, 2);
	EXPECT(&b, "B\0\0\0\x17p\0s\0\0\0\0\2\0\0\0\1x\xff\xff\xff\xff\0\0");
	msg_out_describe(&b, 'P', "");
	EXPECT(&b, "D\0\0\0\6P\0");
	msg_out_close(&b, 'S', "n");
	EXPECT(&b, "C\0\0\0\7Sn\0");
	msg_out_flush(&b);
	EXPECT(&b, "H\0\0\0\4");
	msg_out_sync(&b);
	EXPECT(&b, "S\0\0\0\4");
	msg_out_terminate(&b);
	EXPECT(&b, "X\0\0\0\4");
	msg_out_copy_fail(&b, "why");
	EXPECT(&b, "f\0\0\0\x08why\0");
	buf_finish(&b);
}
END_TEST

/* A buffer that has been consumed from moves its content when it grows. */
START_TEST(survives_a_buffer_that_moves)
{
	struct frame f;
	struct buf b;
	char text[300];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, 0);
	buf_add(&b, text, 200);
	buf_consume(&b, 150);
	msg_out_query(&b, text);
	buf_consume(&b, 50);
	ck_assert_int_eq(frame_next(buf_data(&b), buf_len(&b), 1000, &f), FRAME_OK);
	ck_assert(frame_is_whole(&f));
	ck_assert_uint_eq(f.body_len, sizeof(text));
	buf_finish(&b);
}
END_TEST

/* A key from a server goes into a CancelRequest as it came. */
START_TEST(refuses_keys_of_wrong_lengths)
{
	static const uint8_t key[STARTUP_KEY_MAX + 1];
	bool fits = _i >= STARTUP_KEY_MIN && _i <= STARTUP_KEY_MAX;
	struct buf b;

	buf_init(&b, 0);
	msg_out_cancel_request(&b, 1, key, (size_t)_i);
	ck_assert_int_eq(buf_ok(&b), fits);
	buf_clear(&b);
	msg_out_backend_key_data(&b, 1, key, (size_t)_i);
	ck_assert_int_eq(buf_ok(&b), fits);
	buf_finish(&b);
}
END_TEST

START_TEST(tells_when_there_is_no_room)
{
	struct buf b;

	buf_init(&b, (size_t)_i);
	msg_out_error(&b, &(struct msg_out_error){ "FATAL", "28P01", "no", NULL, NULL });
	ck_assert_int_eq(buf_ok(&b), _i == 0 || _i >= 31);
	buf_finish(&b);
}
END_TEST

Suite *msg_out_suite(void);
Suite *msg_out_suite(void)
{
	Suite *s = suite_create("pg/msg_out");
	TCase *tc = tcase_create("msg_out");

	tcase_add_test(tc, writes_logins_of_clients);
	tcase_add_test(tc, negotiates_the_protocol);
	tcase_add_test(tc, writes_errors);
	tcase_add_test(tc, writes_results);
	tcase_add_test(tc, writes_logins_to_servers);
	tcase_add_test(tc, writes_statements);
	tcase_add_test(tc, survives_a_buffer_that_moves);
	tcase_add_loop_test(tc, refuses_keys_of_wrong_lengths, 0, STARTUP_KEY_MAX + 2);
	tcase_add_loop_test(tc, tells_when_there_is_no_room, 0, 33);
	suite_add_tcase(s, tc);
	return s;
}
