/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "pg/message.h"

START_TEST(knows_both_directions)
{
	ck_assert(message_is_frontend(FE_QUERY));
	ck_assert(message_is_frontend('d') && message_is_backend('d'));
	ck_assert(message_is_backend(BE_READY_FOR_QUERY));
	ck_assert(!message_is_frontend(BE_READY_FOR_QUERY));
	ck_assert(!message_is_backend(FE_QUERY));
	ck_assert(!message_is_frontend(0) && !message_is_backend(255));
	ck_assert_str_eq(message_frontend_title('E'), "Execute");
	ck_assert_str_eq(message_backend_title('E'), "ErrorResponse");
	ck_assert_str_eq(message_backend_title('!'), "unknown");
}
END_TEST

/* Those that PostgreSQL skips after an error until Sync. */
START_TEST(knows_the_extended_protocol)
{
	int extended = 0;

	for (int byte = 0; byte < 256; byte++)
		extended += message_is_extended((uint8_t)byte);
	ck_assert_int_eq(extended, 7);
	for (const char *c = "BCDEHPS"; *c != '\0'; c++)
		ck_assert(message_is_extended((uint8_t)*c));
}
END_TEST

START_TEST(limits_sizes)
{
	ck_assert_uint_eq(message_frontend_defs['X'].body_max, 10000);
	ck_assert_uint_eq(message_frontend_defs['p'].body_max, 65535);
	ck_assert_uint_eq(message_backend_defs['Z'].body_max, 1);
	ck_assert_uint_eq(message_backend_defs['K'].body_max, 260);
	ck_assert_uint_eq(message_backend_defs['!'].body_max, 0);
}
END_TEST

Suite *message_suite(void);
Suite *message_suite(void)
{
	Suite *s = suite_create("pg/message");
	TCase *tc = tcase_create("message");

	tcase_add_test(tc, knows_both_directions);
	tcase_add_test(tc, knows_the_extended_protocol);
	tcase_add_test(tc, limits_sizes);
	suite_add_tcase(s, tc);
	return s;
}
