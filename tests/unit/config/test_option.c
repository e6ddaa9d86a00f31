/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/option.h"

Suite *option_suite(void);

/* Memory for any of the structs. */
union any {
	struct process_options process;
	struct host_options host;
	struct workload_options workload;
	struct share_options share;
	struct database_options database;
	struct user_options user;
	struct auth_options auth;
	struct admin_options admin;
	struct http_options http;
	struct log_options log;
	struct settings settings;
};

/* The default as a user would write it, through YAML, is the default as it is set
 * without, and so is in range. */
START_TEST(every_default_reads_as_it_is_set)
{
	const struct option *o = &option_table[_i];
	struct diag diag = { 0 };
	struct doc_source source = { .file = "default", .diag = &diag };
	union any read, set;
	struct doc_node *node;

	if (o->def == NULL)
		return;
	ck_assert_int_eq(option_set_defaults(o->home, &read), 0);
	ck_assert_int_eq(option_set_defaults(o->home, &set), 0);
	node = doc_parse(o->def, strlen(o->def), "default", &diag);
	ck_assert_msg(node != NULL, "%s: %s", o->name, diag.text);
	ck_assert_msg(option_read(o, &source, node, &read) == 0, "%s", diag.text);
	ck_assert_msg(option_same(o, &read, &set), "%s", o->name);
	doc_free(node);
	option_free(o->home, &read);
	option_free(o->home, &set);
}
END_TEST

START_TEST(every_row_is_complete)
{
	const struct option *o = &option_table[_i];
	char text[400];

	ck_assert(o->levels != 0);
	ck_assert(o->min <= o->max);
	ck_assert(o->help[0] >= 'A' && o->help[0] <= 'Z');
	ck_assert_int_eq(o->help[strlen(o->help) - 1], '.');
	ck_assert_str_ne(option_range(o, text, sizeof(text)), "");
	ck_assert_str_ne(option_type_name(o->type), "");
	ck_assert_str_ne(option_effect_name(o->effect), "?");
	if (o->def == NULL)
		ck_assert_str_eq(option_default_text(o, text, sizeof(text)), "");
}
END_TEST

/* A word finds one option at one level. */
START_TEST(every_name_is_found_where_it_may_stand)
{
	const struct option *o = &option_table[_i];

	for (unsigned level = OPTION_AT_PROCESS; level <= OPTION_AT_LOG; level <<= 1) {
		const struct option *found =
			option_find((enum option_level)level, o->name);

		if ((o->levels & level) != 0)
			ck_assert_msg(found == o, "%s stands twice in a level", o->name);
	}
}
END_TEST

START_TEST(settings_are_found_by_their_bit)
{
	for (unsigned i = 0; i < OPTION_SETTING_COUNT; i++) {
		const struct option *o = option_of_setting((enum option_setting)i);

		ck_assert_int_eq(o->home, OPTION_IN_SETTINGS);
		ck_assert_uint_eq(o->setting, i);
	}
	ck_assert_str_eq(option_of_setting(OPTION_SETTING_query_timeout)->name,
		"query_timeout");
}
END_TEST

static void check_text(enum option_level level, const char *name, const char *value,
	const char *expected)
{
	const struct option *o = option_find(level, name);
	struct diag diag = { 0 };
	struct doc_source source = { .file = "test", .diag = &diag };
	struct doc_node *node = doc_parse(value, strlen(value), "test", &diag);
	union any any;
	char *text;

	ck_assert_ptr_nonnull(o);
	ck_assert_int_eq(option_set_defaults(o->home, &any), 0);
	ck_assert_msg(option_read(o, &source, node, &any) == 0, "%s", diag.text);
	text = option_text(o, &any);
	ck_assert_str_eq(text, expected);
	free(text);
	doc_free(node);
	option_free(o->home, &any);
}

START_TEST(shows_values_as_they_are_written)
{
	check_text(OPTION_AT_PROCESS, "workers", "7", "7");
	check_text(OPTION_AT_PROCESS, "unix_socket_mode", "\"0640\"", "0640");
	check_text(OPTION_AT_PROCESS, "dns_max_ttl", "90000ms", "90s");
	check_text(OPTION_AT_PROCESS, "io_backend", "epoll", "epoll");
	check_text(OPTION_AT_HOST, "tcp_keepalive", "false", "false");
	check_text(OPTION_AT_HOST, "tcp_socket_buffer", "64kB", "64kB");
	check_text(OPTION_AT_WORKLOAD, "guaranteed_connections", "auto", "auto");
	check_text(OPTION_AT_WORKLOAD, "guaranteed_connections", "0", "0");
	check_text(OPTION_AT_WORKLOAD, "listen", "'*:1'", "*:1");
	check_text(OPTION_AT_WORKLOAD, "listen", "[ '*:1', '*:2' ]", "*:1, *:2");
	check_text(OPTION_AT_DATABASE, "dbname", "007", "007");
	check_text(OPTION_AT_LOG, "level", "debug", "debug");
}
END_TEST

START_TEST(never_shows_a_secret)
{
	check_text(OPTION_AT_USER, "password", "swordfish", "***");
	check_text(OPTION_AT_USER, "password", "''", "");
}
END_TEST

START_TEST(keeps_the_old_value_when_the_new_one_is_bad)
{
	const struct option *o = option_find(OPTION_AT_PROCESS, "pid_file");
	struct diag diag = { 0 };
	struct doc_source source = { .file = "test", .diag = &diag };
	struct doc_node *good = doc_parse("/run/x", 6, "test", &diag);
	struct doc_node *wrong = doc_parse("[ a ]", 5, "test", &diag);
	struct process_options process;

	ck_assert_int_eq(option_set_defaults(OPTION_IN_PROCESS, &process), 0);
	ck_assert_int_eq(option_read(o, &source, good, &process), 0);
	ck_assert_int_lt(option_read(o, &source, wrong, &process), 0);
	ck_assert_str_eq(process.pid_file, "/run/x");
	doc_free(good);
	doc_free(wrong);
	option_free(OPTION_IN_PROCESS, &process);
}
END_TEST

Suite *option_suite(void)
{
	Suite *s = suite_create("config/option");
	TCase *table = tcase_create("table");
	TCase *value = tcase_create("value");

	tcase_add_loop_test(
		table, every_default_reads_as_it_is_set, 0, (int)option_count);
	tcase_add_loop_test(table, every_row_is_complete, 0, (int)option_count);
	tcase_add_loop_test(table, every_name_is_found_where_it_may_stand, 0,
		(int)option_count);
	tcase_add_test(table, settings_are_found_by_their_bit);
	suite_add_tcase(s, table);
	tcase_add_test(value, shows_values_as_they_are_written);
	tcase_add_test(value, never_shows_a_secret);
	tcase_add_test(value, keeps_the_old_value_when_the_new_one_is_bad);
	suite_add_tcase(s, value);
	return s;
}
