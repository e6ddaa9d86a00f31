/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/dump.h"
#include "config/support.h"

Suite *dump_suite(void);

static char *printed(void (*dump)(FILE *))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	dump(out);
	fclose(out);
	return text;
}

/* All options of one home, but for those that must be given. */
static void check_defaults(enum option_home home, const void *loaded)
{
	union {
		struct process_options process;
		struct host_options host;
		struct workload_options workload;
		struct settings settings;
	} set;

	ck_assert_int_eq(option_set_defaults(home, &set), 0);
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if (o->home == home && o->def != NULL)
			ck_assert_msg(option_same(o, loaded, &set), "%s", o->name);
	}
	option_free(home, &set);
}

START_TEST(the_sample_is_the_defaults)
{
	char *text = printed(dump_sample);
	struct config *config = load(text);

	ck_assert_uint_eq(config->host_count, 1);
	ck_assert_uint_eq(config->workload_count, 1);
	ck_assert_uint_eq(config->database_count, 1);
	ck_assert_uint_eq(config->user_count, 1);
	check_defaults(OPTION_IN_PROCESS, &config->process);
	check_defaults(OPTION_IN_HOST, &config->hosts[0].options);
	check_defaults(OPTION_IN_WORKLOAD, &config->workloads[0].options);
	check_defaults(OPTION_IN_SHARE, &config->workloads[0].share);
	check_defaults(OPTION_IN_DATABASE, &config->databases[0].options);
	check_defaults(OPTION_IN_USER, &config->users[0].options);
	check_defaults(OPTION_IN_AUTH, &config->auth);
	check_defaults(OPTION_IN_ADMIN, &config->admin);
	check_defaults(OPTION_IN_HTTP, &config->http);
	check_defaults(OPTION_IN_LOG, &config->log);
	check_defaults(OPTION_IN_SETTINGS, &config->defaults.values);
	config_unref(config);
	free(text);
}
END_TEST

START_TEST(sample_and_manual_have_every_option)
{
	char *sample = printed(dump_sample), *man = printed(dump_man);
	char *options = printed(dump_options);

	for (size_t i = 0; i < option_count; i++) {
		char word[80];

		snprintf(word, sizeof(word), " %s: ", option_table[i].name);
		ck_assert_msg(strstr(sample, word) != NULL, "%s", word);
		snprintf(word, sizeof(word), ".It Cm %s : ", option_table[i].name);
		ck_assert_msg(strstr(man, word) != NULL, "%s", word);
		snprintf(word, sizeof(word), "\t%s\t", option_table[i].name);
		ck_assert_msg(strstr(options, word) != NULL, "%s", word);
	}
	free(sample);
	free(man);
	free(options);
}
END_TEST

struct rows {
	size_t count;
	size_t fixed;
	char last[200];
	const char *wanted;
	char value[200];
	char def[200];
};

static void on_row(void *arg, const struct dump_row *row)
{
	struct rows *rows = arg;

	rows->count++;
	rows->fixed += !row->is_changeable;
	snprintf(rows->last, sizeof(rows->last), "%s", row->name);
	if (strcmp(row->name, rows->wanted) == 0) {
		snprintf(rows->value, sizeof(rows->value), "%s", row->value);
		snprintf(rows->def, sizeof(rows->def), "%s", row->def);
	}
}

static void check_row(const char *name, const char *value, const char *def)
{
	struct config *config = load(HOST
		"workloads:\n  web: { listen: [ '*:1', '*:2' ], pool_mode: transaction,\n"
		"    max_waiting: 3, hosts: { main: { max_connections: 9 } } }\n"
		"  job: { listen: '*:3', pool_mode: session, hosts: { main: { weight: 5 } } }\n"
		"databases: { rag: { user: u, password: p, query_timeout: 90s } }\n"
		"users: { app: { min_pool_size: 1 } }\n");
	struct rows rows = { .wanted = name };

	ck_assert_int_eq(dump_show(config, on_row, &rows), 0);
	ck_assert_str_eq(rows.value, value);
	ck_assert_str_eq(rows.def, def);
	ck_assert_str_eq(rows.last, "log.stats_period");
	ck_assert_uint_gt(rows.fixed, 0);
	config_unref(config);
}

START_TEST(shows_the_running_configuration)
{
	check_row("process.workers", "0", "0");
	check_row("hosts.main.connection_budget", "35", "");
	check_row("workloads.web.listen", "*:1, *:2", "");
	check_row("workloads.web.max_waiting", "3", "0");
	check_row("workloads.web.guaranteed_connections", "auto", "auto");
	check_row("workloads.web.hosts.main.max_connections", "9", "auto");
	check_row("workloads.job.hosts.main.weight", "5", "1");
	check_row("databases.rag.password", "***", "");
	check_row("databases.rag.query_timeout", "90s", "0");
	check_row("users.app.min_pool_size", "1", "0");
	check_row("defaults.server_reset_query", "DISCARD ALL", "DISCARD ALL");
	check_row("process.unix_socket_mode", "0777", "0777");
	check_row("no.such.row", "", "");
}
END_TEST

Suite *dump_suite(void)
{
	Suite *s = suite_create("config/dump");
	TCase *tc = tcase_create("dump");

	tcase_add_test(tc, the_sample_is_the_defaults);
	tcase_add_test(tc, sample_and_manual_have_every_option);
	tcase_add_test(tc, shows_the_running_configuration);
	suite_add_tcase(s, tc);
	return s;
}
