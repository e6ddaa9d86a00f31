/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <string.h>

#include "config/support.h"

Suite *place_suite(void);

enum { PORT = 5432 };

static const struct {
	const char *text;
	const char *host;
	uint16_t port;
	bool is_unix;
	bool is_name;
} good[] = {
	{ "db", "db", PORT, false, true },
	{ "db.example.com", "db.example.com", PORT, false, true },
	{ "db-1_a.example.com:6543", "db-1_a.example.com", 6543, false, true },
	{ "127.0.0.1", "127.0.0.1", PORT, false, false },
	{ "127.0.0.1:1", "127.0.0.1", 1, false, false },
	{ "10.0.0.1:65535", "10.0.0.1", 65535, false, false },
	{ "::1", "::1", PORT, false, false },
	{ "[::1]", "::1", PORT, false, false },
	{ "[2001:db8::7]:6543", "2001:db8::7", 6543, false, false },
	{ "fe80::1%eth0", "fe80::1%eth0", PORT, false, false },
	{ "[fe80::1%eth0]:7", "fe80::1%eth0", 7, false, false },
	{ "/run/postgresql", "/run/postgresql", PORT, true, false },
	{ "/with:colon", "/with:colon", PORT, true, false },
	{ "@abstract", "@abstract", PORT, true, false },
};

START_TEST(reads_every_form)
{
	struct config_place p;
	char why[300];

	ck_assert_msg(place_parse(good[_i].text, PORT, &p, why, sizeof(why)), "%s", why);
	ck_assert_str_eq(p.host, good[_i].host);
	ck_assert_uint_eq(p.port, good[_i].port);
	ck_assert(place_is_unix(&p) == good[_i].is_unix);
	ck_assert(place_is_name(&p) == good[_i].is_name);
}
END_TEST

static const char *const bad[] = { "", ":", ":5432", "db:", "db:0", "db:65536", "db:-1",
	"db:05432", "db:x", "db:5432:1", "[", "[]", "[::1", "[::1]5432", "[::1]:", "[::1]:0",
	"[127.0.0.1]:1", "[db]:1", "::1:99999", "fe80::1%", "*", "*:5432", "a b", "a,b",
	"user@db", "db/x", "db\n", "\"db\"", "[::1]:1]" };

START_TEST(refuses_everything_else)
{
	struct config_place p;
	char why[300] = "";

	ck_assert_msg(!place_parse(bad[_i], PORT, &p, why, sizeof(why)), "%s", bad[_i]);
	ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(refuses_what_is_too_long)
{
	char text[400], why[300];
	struct config_place p;

	for (size_t len = 1; len < 300; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		ck_assert(place_parse(text, PORT, &p, why, sizeof(why)) ==
			(len <= PLACE_HOST_MAX));
		text[0] = '/';
		/* A socket's path has 107 bytes, of which its name takes up to 15. */
		ck_assert(place_parse(text, PORT, &p, why, sizeof(why)) == (len <= 92));
	}
}
END_TEST

static const struct {
	const char *a;
	const char *b;
	bool same;
} pairs[] = {
	{ "db", "db:5432", true },
	{ "db", "DB", true },
	{ "db", "db:5433", false },
	{ "::1", "[::1]:5432", true },
	{ "/run", "/run", true },
	{ "/run", "/RUN", false },
};

START_TEST(tells_places_from_each_other)
{
	struct config_place a, b;
	char why[300];

	ck_assert(place_parse(pairs[_i].a, PORT, &a, why, sizeof(why)));
	ck_assert(place_parse(pairs[_i].b, PORT, &b, why, sizeof(why)));
	ck_assert(place_same(&a, &b) == pairs[_i].same);
}
END_TEST

START_TEST(a_host_has_its_places)
{
	struct config *config = load("hosts:\n  main: { connection_budget: 9, port: 6000,\n"
		"    host: [ a, 'b:7000', '[::1]', /run ], target_session_attrs: primary }\n"
		"workloads:\n  web: { listen: '*:1', pool_mode: transaction }\n");
	const struct config_host *h = &config->hosts[0];

	ck_assert_uint_eq(h->options.host.count, 4);
	ck_assert_int_eq(h->options.target_session_attrs, CONFIG_TARGET_PRIMARY);
	ck_assert_str_eq(h->places[0].host, "a");
	ck_assert_uint_eq(h->places[0].port, 6000);
	ck_assert_str_eq(h->places[1].host, "b");
	ck_assert_uint_eq(h->places[1].port, 7000);
	ck_assert_str_eq(h->places[2].host, "::1");
	ck_assert_str_eq(h->places[3].host, "/run");
	config_unref(config);
}
END_TEST

START_TEST(a_single_value_is_a_list_of_one)
{
	struct config *config = load(HOST
		"workloads:\n  web: { listen: '*:1', pool_mode: transaction }\n");
	const struct config_host *h = &config->hosts[0];

	ck_assert_uint_eq(h->options.host.count, 1);
	ck_assert_str_eq(h->places[0].host, "127.0.0.1");
	ck_assert_uint_eq(h->places[0].port, 5432);
	ck_assert_int_eq(h->options.target_session_attrs, CONFIG_TARGET_ANY);
	config_unref(config);
}
END_TEST

Suite *place_suite(void)
{
	Suite *s = suite_create("config/place");
	TCase *tc = tcase_create("place");

	tcase_add_loop_test(tc, reads_every_form, 0, COUNT_OF(good));
	tcase_add_loop_test(tc, refuses_everything_else, 0, COUNT_OF(bad));
	tcase_add_test(tc, refuses_what_is_too_long);
	tcase_add_loop_test(tc, tells_places_from_each_other, 0, COUNT_OF(pairs));
	tcase_add_test(tc, a_host_has_its_places);
	tcase_add_test(tc, a_single_value_is_a_list_of_one);
	suite_add_tcase(s, tc);
	return s;
}
