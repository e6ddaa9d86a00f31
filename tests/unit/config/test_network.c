/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <check.h>
#include <string.h>

#include "config/network.h"

Suite *network_suite(void);

START_TEST(who_is_in)
{
	static const struct {
		const char *net;
		const char *address;    /* NULL: a unix socket */
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.7", "10.0.0.7", true }, { "10.0.0.7", "10.0.0.6", false },
		{ "10.0.0.0/9", "10.127.0.1", true }, { "10.0.0.0/9", "10.128.0.1", false },
		{ "0.0.0.0/0", "1.2.3.4", true }, { "0.0.0.0/0", "::1", false },
		{ "fd00::/8", "fdff::1", true }, { "fd00::/8", "fe00::1", false },
		{ "unix", NULL, true }, { "unix", "1.2.3.4", false }, { "10.0.0.0/8", NULL, false },
		{ "0.0.0.0/0", NULL, false },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint8_t bytes[16] = { 0 };
		struct network net;
		size_t len = 0;

		ck_assert(network_parse(cases[i].net, &net));
		if (cases[i].address != NULL) {
			bool is_v6 = strchr(cases[i].address, ':') != NULL;

			len = is_v6 ? 16 : 4;
			ck_assert_int_eq(inet_pton(is_v6 ? AF_INET6 : AF_INET, cases[i].address,
				bytes), 1);
		}
		ck_assert_msg(network_has(&net, bytes, len) == cases[i].has, "case %zu", i);
	}
}
END_TEST

START_TEST(what_is_none)
{
	static const char *const none[] = { "", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x",
		"10.0/8", "fd00::/129", "host", "/8", "10.0.0.0/0008",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb" };
	struct network net;

	for (size_t i = 0; i < COUNT_OF(none); i++)
		ck_assert_msg(!network_parse(none[i], &net), "%s", none[i]);
}
END_TEST

Suite *network_suite(void)
{
	Suite *s = suite_create("config/network");
	TCase *tc = tcase_create("parse");

	tcase_add_test(tc, who_is_in);
	tcase_add_test(tc, what_is_none);
	suite_add_tcase(s, tc);
	return s;
}
