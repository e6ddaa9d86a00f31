/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reload.h"
#include "config/support.h"

Suite *reload_suite(void);

static const char before[] = HOST WEB
	"  job: { listen: '*:2', pool_mode: session, max_waiting: 4 }\n"
	"process: { workers: 2 }\n"
	"defaults: { query_timeout: 1s }\n"
	"databases: { rag: { dbname: old }, gone: {} }\n"
	"users: { app: { password: one }, bob: { query_timeout: 2s } }\n";

static const char after[] =
	"hosts:\n  main: { host: 127.0.0.1, connection_budget: 40, user: u, password: p "
	"}\n" WEB
	"  job: { listen: [ '*:2', '*:3' ], pool_mode: session,\n"
	"    hosts: { main: { max_connections: 20 } } }\n"
	"process: { workers: 3, drain_timeout: 1min }\n"
	"databases: { rag: {}, new: {} }\n"
	"users: { app: { password: two }, bob: { query_timeout: 3s } }\n"
	"log: { level: debug }\n";

static const struct {
	const char *path;
	const char *before;
	const char *after;
	enum option_effect effect;
} expected[] = {
	{ "process.workers", "2", "3", OPTION_RESTART },
	{ "process.drain_timeout", "0", "1min", OPTION_NOW },
	{ "defaults.query_timeout", "1s", "0", OPTION_NOW },
	{ "hosts.main.connection_budget", "35", "40", OPTION_NOW },
	{ "hosts.main.user", "", "u", OPTION_NEW },
	{ "hosts.main.password", "", "***", OPTION_NEW },
	{ "workloads.job.listen", "*:2", "*:2, *:3", OPTION_NOW },
	{ "workloads.job.max_waiting", "4", NULL, OPTION_NOW },
	{ "workloads.job.hosts.main.max_connections", "auto", "20", OPTION_NOW },
	{ "databases.rag.dbname", "old", "", OPTION_NEW },
	{ "databases.gone", "", NULL, OPTION_NOW },
	{ "databases.new", NULL, "", OPTION_NEW },
	{ "users.app.password", "***", "***", OPTION_NEW },
	{ "users.bob.query_timeout", "2s", "3s", OPTION_NOW },
	{ "log.level", "info", "debug", OPTION_NOW },
};

static const char *shown(const char *text)
{
	return text == NULL ? "(none)" : text;
}

START_TEST(names_every_change)
{
	struct config *old = load(before), *new = load(after);
	struct reload_diff diff;

	ck_assert_int_eq(reload_compare(old, new, &diff), 0);
	for (size_t i = 0; i < diff.count && i < COUNT_OF(expected); i++) {
		const struct reload_change *c = &diff.changes[i];

		ck_assert_str_eq(c->path, expected[i].path);
		ck_assert_str_eq(shown(c->before), shown(expected[i].before));
		ck_assert_str_eq(shown(c->after), shown(expected[i].after));
		ck_assert_int_eq(c->effect, expected[i].effect);
	}
	ck_assert_uint_eq(diff.count, COUNT_OF(expected));
	reload_finish(&diff);
	config_unref(old);
	config_unref(new);
}
END_TEST

START_TEST(the_same_file_changes_nothing)
{
	struct config *old = load(after), *new = load(after);
	struct reload_diff diff;

	ck_assert_int_eq(reload_compare(old, new, &diff), 0);
	ck_assert_uint_eq(diff.count, 0);
	reload_finish(&diff);
	config_unref(old);
	config_unref(new);
}
END_TEST

START_TEST(names_entries_that_come_and_go)
{
	struct config *old = load(HOST WEB);
	struct config *new = load("hosts:\n  other: { host: x, connection_budget: 35 }\n"
		"workloads:\n  new: { listen: '*:1', pool_mode: session }\n"
		"users: { a: {} }\n");
	static const char *const paths[] = { "hosts.main", "hosts.other", "workloads.web",
		"workloads.new", "users.a" };
	struct reload_diff diff;

	ck_assert_int_eq(reload_compare(old, new, &diff), 0);
	ck_assert_uint_eq(diff.count, COUNT_OF(paths));
	for (size_t i = 0; i < diff.count; i++)
		ck_assert_str_eq(diff.changes[i].path, paths[i]);
	ck_assert_ptr_null(diff.changes[0].after);
	ck_assert_ptr_null(diff.changes[1].before);
	reload_finish(&diff);
	config_unref(old);
	config_unref(new);
}
END_TEST

/* A number of a workload is told once, and beside it what one host has otherwise. */
START_TEST(tells_numbers_of_workloads_once)
{
	static const char text[] = HOST "  far: { host: x, connection_budget: 35 }\n" WEB
		"  job: { listen: '*:2', pool_mode: session, guaranteed_connections: %s, weight: %s,\n"
		"    hosts: { far: { max_connections: %s, weight: 2 } } }\n"
		"databases: { '*': { host: main }, d: { host: far } }\n";
	static const struct {
		const char *path;
		const char *before;
		const char *after;
	} wanted[] = {
		{ "workloads.job.guaranteed_connections", "3", "4" },
		{ "workloads.job.weight", "1", "5" },
		{ "workloads.job.hosts.far.max_connections", "6", "7" },
	};
	char first[sizeof(text)], second[sizeof(text)];
	struct config *old, *new;
	struct reload_diff diff;

	(void)snprintf(first, sizeof(first), text, "3", "1", "6");
	(void)snprintf(second, sizeof(second), text, "4", "5", "7");
	old = load(first);
	new = load(second);
	ck_assert_int_eq(reload_compare(old, new, &diff), 0);
	for (size_t i = 0; i < diff.count && i < COUNT_OF(wanted); i++) {
		ck_assert_str_eq(diff.changes[i].path, wanted[i].path);
		ck_assert_str_eq(diff.changes[i].before, wanted[i].before);
		ck_assert_str_eq(diff.changes[i].after, wanted[i].after);
	}
	ck_assert_uint_eq(diff.count, COUNT_OF(wanted));
	reload_finish(&diff);
	config_unref(old);
	config_unref(new);
}
END_TEST

Suite *reload_suite(void)
{
	Suite *s = suite_create("config/reload");
	TCase *tc = tcase_create("compare");

	tcase_add_test(tc, names_every_change);
	tcase_add_test(tc, the_same_file_changes_nothing);
	tcase_add_test(tc, names_entries_that_come_and_go);
	tcase_add_test(tc, tells_numbers_of_workloads_once);
	suite_add_tcase(s, tc);
	return s;
}
