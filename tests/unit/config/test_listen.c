/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "config/listen.h"

Suite *listen_suite(void);

static const struct {
	const char *text;
	enum listen_kind kind;
	uint16_t port;
} good[] = {
	{ "*:6432", LISTEN_ANY, 6432 },
	{ "0.0.0.0:1", LISTEN_IPV4, 1 },
	{ "127.0.0.1:65535", LISTEN_IPV4, 65535 },
	{ "[::]:6432", LISTEN_IPV6, 6432 },
	{ "[fe80::1]:6432", LISTEN_IPV6, 6432 },
	{ "unix:/run/pgtandem:6432", LISTEN_UNIX, 6432 },
};

START_TEST(reads_every_form)
{
	struct listen_address a;
	char why[300];

	ck_assert_msg(listen_parse(good[_i].text, &a, why, sizeof(why)), "%s", why);
	ck_assert_int_eq(a.kind, good[_i].kind);
	ck_assert_uint_eq(a.port, good[_i].port);
}
END_TEST

static const char *const bad[] = { "", ":", "6432", ":6432", "*", "*:", "*:0", "*:65536",
	"*:06432", "*:-1", "*:x", "::1:6432", "[::1:6432", "[]:1", "[127.0.0.1]:1",
	"127.0.0.1", "127.1:6432", "localhost:6432", "unix:6432", "unix::6432",
	"unix:/run", "unix:run:1", "/run:1" };

START_TEST(refuses_everything_else)
{
	struct listen_address a;
	char why[300] = "";

	ck_assert_msg(!listen_parse(bad[_i], &a, why, sizeof(why)), "%s", bad[_i]);
	ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(refuses_a_directory_that_fits_no_address)
{
	struct listen_address a;
	char text[400], why[300];

	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	for (size_t len = 6; len < 300; len++) {
		bool fits = len - 5 <= LISTEN_DIR_MAX;

		memcpy(text + len, ":1", 3);
		ck_assert(listen_parse(text, &a, why, sizeof(why)) == fits);
		text[len] = 'x';
		text[len + 1] = 'x';
		text[len + 2] = 'x';
	}
}
END_TEST

static const struct {
	const char *a;
	const char *b;
	bool clash;
} pairs[] = {
	{ "*:1", "*:1", true },
	{ "*:1", "*:2", false },
	{ "*:1", "0.0.0.0:1", true },
	{ "*:1", "[::]:1", true },
	{ "*:1", "127.0.0.1:1", true },
	{ "*:1", "[::1]:1", true },
	{ "0.0.0.0:1", "127.0.0.1:1", true },
	{ "0.0.0.0:1", "[::1]:1", false },
	{ "[::]:1", "[::1]:1", true },
	{ "[::]:1", "127.0.0.1:1", false },
	{ "[::ffff:127.0.0.1]:1", "127.0.0.1:1", true },
	{ "[::ffff:127.0.0.1]:1", "0.0.0.0:1", true },
	{ "[::ffff:127.0.0.1]:1", "[::]:1", false },
	{ "*:1", "unix:/tmp:1", false },
	{ "0.0.0.0:1", "[::]:1", false },
	{ "[::1]:1", "[0::0:1]:1", true },
	{ "127.0.0.1:1", "127.0.0.2:1", false },
	{ "unix:/tmp:1", "unix:/tmp/:1", true },
	{ "unix:/tmp:1", "unix:/tmp:2", false },
	{ "unix:/tmp:1", "unix:/run:1", false },
};

START_TEST(knows_which_clash)
{
	struct listen_address a, b;
	char why[300];

	ck_assert(listen_parse(pairs[_i].a, &a, why, sizeof(why)));
	ck_assert(listen_parse(pairs[_i].b, &b, why, sizeof(why)));
	ck_assert_int_eq(listen_clash(&a, &b), pairs[_i].clash);
	ck_assert_int_eq(listen_clash(&b, &a), pairs[_i].clash);
}
END_TEST

Suite *listen_suite(void)
{
	Suite *s = suite_create("config/listen");
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, reads_every_form, 0, (int)COUNT_OF(good));
	tcase_add_loop_test(tc, refuses_everything_else, 0, (int)COUNT_OF(bad));
	tcase_add_test(tc, refuses_a_directory_that_fits_no_address);
	tcase_add_loop_test(tc, knows_which_clash, 0, (int)COUNT_OF(pairs));
	suite_add_tcase(s, tc);
	return s;
}
