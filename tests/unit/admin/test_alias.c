/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "admin/alias.h"
#include "base/diag.h"
#include "config/config.h"
#include "suites.h"

static const char text[] =
	"hosts:\n"
	"  one: { host: 127.0.0.1, connection_budget: 9 }\n"
	"  two: { host: 127.0.0.2, connection_budget: 9 }\n"
	"workloads:\n"
	"  web: { listen: '*:6432', pool_mode: transaction }\n"
	"databases:\n"
	"  zoo:   { host: one, dbname: real }\n"
	"  ape:   { host: one, dbname: real }\n"
	"  plain: { host: one }\n"
	"  other: { host: one, dbname: plain }\n"
	"  twin:  { host: two, dbname: real }\n"
	"  as:    { host: two, dbname: mine, user: owner, password: x }\n"
	"  tuned: { host: two, dbname: mine, options: '-c a=b' }\n"
	"  '*':   { host: two }\n";

static const struct {
	const char *why;
	const char *host, *database, *user, *options;
	const char *alias;
} rows[] = {
	{ "first of the file", "one", "real", "u", "", "zoo" },
	{ "its own name goes first", "one", "plain", "u", "", "plain" },
	{ "another host", "two", "real", "u", "", "twin" },
	{ "the user that it logs in as", "two", "mine", "owner", "", "as" },
	{ "another user", "two", "mine", "u", "", "mine" },
	{ "its options", "two", "mine", "u", "-c a=b", "tuned" },
	{ "other options", "two", "mine", "u", "-c a=c", "mine" },
	{ "by the wildcard", "two", "free", "u", "", "free" },
	{ "not there any more", "gone", "real", "u", "", "real" },
};

START_TEST(finds_the_name_that_clients_use)
{
	struct diag diag = { .text = "" };
	struct config *config = config_load_memory(text, strlen(text), "t.yaml", &diag);
	struct snap_names names = { .options = hash_bytes(rows[_i].options,
					    strlen(rows[_i].options)) };
	struct alias_map map;

	ck_assert_msg(config != NULL, "%u: %s", diag.line, diag.text);
	ck_assert_int_eq(alias_map_init(&map, config), 0);
	strcpy(names.database, rows[_i].database);
	strcpy(names.user, rows[_i].user);
	ck_assert_msg(
		strcmp(alias_find(&map, rows[_i].host, &names), rows[_i].alias) == 0,
		"%s: %s", rows[_i].why, alias_find(&map, rows[_i].host, &names));
	alias_map_finish(&map);
	config_unref(config);
}
END_TEST

Suite *alias_suite(void)
{
	Suite *s = suite_create("admin/alias");
	TCase *tc = tcase_create("find");

	tcase_add_loop_test(tc, finds_the_name_that_clients_use, 0, (int)COUNT_OF(rows));
	suite_add_tcase(s, tc);
	return s;
}
