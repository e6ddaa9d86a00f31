/* SPDX-License-Identifier: ISC */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/support.h"

Suite *config_suite(void);

START_TEST(the_smallest_file_is_enough)
{
	struct config *config = load(HOST WEB);
	const struct config_database *db = config_find_database(config, "anything");

	ck_assert_uint_eq(config->host_count, 1);
	ck_assert_uint_eq(config->workload_count, 1);
	ck_assert_uint_eq(config->hosts[0].options.port, 5432);
	ck_assert_uint_eq(config->process.max_client_conn, 10000);
	ck_assert_uint_eq(config->workloads[0].max_client_conn, 10000);
	ck_assert_ptr_nonnull(db);
	ck_assert_ptr_eq(db, config->wildcard);
	ck_assert_uint_eq(db->host, 0);
	ck_assert_str_eq(config_dbname(db, "anything"), "anything");
	ck_assert_uint_eq(config->warnings.count, 1);
	ck_assert_str_eq(config->hosts[0].own_password, "");
	config_unref(config);
}
END_TEST

static const char databases[] = HOST WEB
	"databases:\n"
	"  rag: { dbname: rag_v2, query_timeout: 3s }\n"
	"  other: {}\n";

START_TEST(an_unknown_database_is_none_without_a_wildcard)
{
	struct config *config = load(databases);
	const struct config_database *rag = config_find_database(config, "rag");

	ck_assert_str_eq(config_dbname(rag, "rag"), "rag_v2");
	ck_assert_str_eq(config_find_database(config, "other")->name, "other");
	ck_assert_ptr_null(config_find_database(config, "RAG"));
	ck_assert_ptr_null(config_find_database(config, ""));
	ck_assert_ptr_null(config->wildcard);
	config_unref(config);
}
END_TEST

START_TEST(a_workload_may_be_for_some_databases)
{
	struct config *config = load(HOST
		"workloads:\n"
		"  all: { listen: '*:1', pool_mode: session }\n"
		"  one: { listen: '*:2', pool_mode: session, databases: rag }\n"
		"  any: { listen: '*:3', pool_mode: session, databases: [ '*' ] }\n");
	const struct config_workload *one = config_find_workload(config, "one");

	ck_assert(config_workload_allows(config_find_workload(config, "all"), "x"));
	ck_assert(config_workload_allows(config_find_workload(config, "any"), "x"));
	ck_assert(config_workload_allows(one, "rag"));
	ck_assert(!config_workload_allows(one, "x"));
	ck_assert_ptr_null(config_find_workload(config, "two"));
	config_unref(config);
}
END_TEST

static const char levels[] = HOST
	"defaults: { query_timeout: 1s, idle_transaction_timeout: 1s, max_waiting: 1,\n"
	"  wait_error: fatal, max_user_connections: 3 }\n"
	"workloads:\n"
	"  web: { listen: '*:1', pool_mode: transaction, query_timeout: 2s,\n"
	"    idle_transaction_timeout: 2s, max_waiting: 2 }\n"
	"databases:\n"
	"  rag: { query_timeout: 3s, idle_transaction_timeout: 3s,\n"
	"    server_reset_query: SELECT 1, ignore_startup_parameters: [ a, b ] }\n"
	"users:\n"
	"  app: { query_timeout: 0, max_user_connections: 9 }\n";

START_TEST(the_nearest_level_decides)
{
	struct config *config = load(levels);
	const struct config_workload *web = &config->workloads[0];
	const struct config_database *rag = &config->databases[0];
	struct settings s;

	config_resolve(config, web, rag, "app", &s);
	ck_assert_uint_eq(s.query_timeout_us, 0);
	ck_assert_uint_eq(s.idle_transaction_timeout_us, 3 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_waiting, 2);
	ck_assert_int_eq(s.wait_error, CONFIG_WAIT_FATAL);
	ck_assert_uint_eq(s.max_user_connections, 9);
	ck_assert_str_eq(s.server_reset_query, "SELECT 1");
	ck_assert_uint_eq(s.ignore_startup_parameters.count, 2);
	ck_assert_uint_eq(s.query_wait_timeout_us, 120 * USEC_PER_SEC);

	config_resolve(config, web, rag, "nobody", &s);
	ck_assert_uint_eq(s.query_timeout_us, 3 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_user_connections, 3);
	config_resolve(config, web, NULL, NULL, &s);
	ck_assert_uint_eq(s.query_timeout_us, 2 * USEC_PER_SEC);
	ck_assert_str_eq(s.server_reset_query, "DISCARD ALL");
	config_resolve(config, NULL, NULL, NULL, &s);
	ck_assert_uint_eq(s.query_timeout_us, 1 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_waiting, 1);
	config_unref(config);
}
END_TEST

START_TEST(a_secret_of_the_file_needs_no_user_list)
{
	struct config *config =
		load(HOST WEB "users:\n  app: { password: x }\n  b: {}\n");

	ck_assert_pstr_eq(config_secret(config, "app"), "x");
	ck_assert_ptr_null(config_secret(config, "b"));
	ck_assert_ptr_null(config_secret(config, "c"));
	ck_assert_uint_eq(config->warnings.count, 0);
	config_unref(config);
}
END_TEST

START_TEST(the_console_knows_its_users)
{
	struct config *config = load(HOST WEB
		"admin: { admin_users: root, stats_users: [ a, b ] }\n");

	ck_assert(config_is_admin(config, "root"));
	ck_assert(!config_is_admin(config, "a"));
	ck_assert(config_is_stats(config, "b"));
	ck_assert(!config_is_stats(config, "root"));
	config_unref(config);
}
END_TEST

START_TEST(a_host_without_databases_is_told)
{
	struct config *config = load(
		"hosts: { a: { host: x, connection_budget: 9 },\n"
		"  b: { host: y, connection_budget: 9 } }\n" WEB
		"databases: { '*': { host: a } }\nauth: { auth_type: trust }\n");

	ck_assert_uint_eq(config->warnings.count, 1);
	ck_assert_str_eq(config->warnings.items[0], "no database is on the host b");
	config_unref(config);
}
END_TEST

START_TEST(settings_without_effect_are_told)
{
	struct config *config = load(
		HOST "workloads: { web: { listen: \"*:6432\", pool_mode: transaction,\n"
		     "  max_connections: 5, min_pool_size: 6, reserve_pool_size: 1,\n"
		     "  idle_session_timeout: 1min } }\nauth: { auth_type: trust }\n");

	ck_assert_uint_eq(config->warnings.count, 3);
	ck_assert_str_eq(config->warnings.items[0], "workloads.web: min_pool_size is 6, but "
		"the workload may have 5 servers (max_connections)");
	ck_assert_str_eq(config->warnings.items[1], "workloads.web: reserve_pool_size has no "
		"effect without default_pool_size");
	ck_assert_str_eq(config->warnings.items[2], "workloads.web: idle_session_timeout has "
		"no effect where pool_mode is not session");
	config_unref(config);
	config = load(HOST "workloads: { web: { listen: \"*:6432\", pool_mode: transaction,\n"
			   "  max_connections: 5, min_pool_size: 5 } }\n"
			   "auth: { auth_type: trust }\n"
			   "defaults: { idle_session_timeout: 1min }\n");
	ck_assert_uint_eq(config->warnings.count, 0);
	config_unref(config);
}
END_TEST

/* A directory with a configuration and the files that it names. */
struct files {
	char dir[64];
	char path[96];
};

static void put(
	const struct files *files, const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", files->dir, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void make_files(struct files *files)
{
	strcpy(files->dir, "/tmp/pgtandem-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(files->dir));
	snprintf(files->path, sizeof(files->path), "%s/pgtandem.yaml", files->dir);
	put(files, "pgtandem.yaml",
		"hosts: { main: { host: x, connection_budget: 9, user: u, "
		"password_file: pw } }\n" WEB
		"auth: { auth_file: userlist.txt }\nusers: { a: { password: own } }\n",
		0640);
	put(files, "userlist.txt", "\"a\" \"list\"\n\"b\" \"list\"\n", 0640);
	put(files, "pw", "swordfish\nignored\n", 0640);
}

static void remove_files(const struct files *files)
{
	static const char *const names[] = { "pgtandem.yaml", "userlist.txt", "pw" };
	char path[128];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", files->dir, names[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(files->dir), 0);
}

START_TEST(files_lie_beside_the_configuration)
{
	struct diag diag = { 0 };
	struct config *config;
	struct files files;

	make_files(&files);
	config = config_load(files.path, &diag);
	ck_assert_msg(config != NULL, "%s: %s", diag.file, diag.text);
	ck_assert_pstr_eq(config_secret(config, "a"), "own");
	ck_assert_pstr_eq(config_secret(config, "b"), "list");
	ck_assert_ptr_null(config_secret(config, "c"));
	ck_assert_str_eq(config->hosts[0].own_password, "swordfish");
	ck_assert_uint_eq(config->warnings.count, 0);
	config_unref(config);

	put(&files, "pw", "swordfish", 0644);
	put(&files, "userlist.txt", "", 0644);
	config = config_load(files.path, &diag);
	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(config->warnings.count, 2);
	config_unref(config);
	remove_files(&files);
}
END_TEST

/* Each user once, by the secret that counts. */
START_TEST(secrets_are_counted_by_kind)
{
	struct diag diag = { 0 };
	struct config *config;
	struct files files;

	make_files(&files);
	put(&files, "userlist.txt", "\"a\" \"SCRAM-SHA-256$x\"\n\"b\" \"SCRAM-SHA-256$x\"\n"
		"\"c\" \"md5x\"\n\"d\" \"\"\n\"e\" \"SCRAM-SHA-256\"\n", 0640);
	config = config_load(files.path, &diag);
	ck_assert_msg(config != NULL, "%s: %s", diag.file, diag.text);
	ck_assert_uint_eq(config->secrets.all, 4);
	ck_assert_uint_eq(config->secrets.scram, 1);
	config_unref(config);
	remove_files(&files);

	config = load(HOST WEB "users: { a: { password: x }, b: { password: SCRAM-SHA-256$y }, c: {} }\n");
	ck_assert_uint_eq(config->secrets.all, 2);
	ck_assert_uint_eq(config->secrets.scram, 1);
	config_unref(config);
}
END_TEST

/* What most have; of two that are as many the higher; what is no number does not count. */
START_TEST(iterations_are_those_of_most)
{
	static const struct { const char *text; uint32_t iterations; } cases[] = {
		{ "", 0 },
		{ "\"f\" \"plain\"\n\"g\" \"md5x\"\n", 0 },
		{ "\"f\" \"SCRAM-SHA-256$5000:x\"\n", 5000 },
		{ "\"f\" \"SCRAM-SHA-256$4096:x\"\n\"g\" \"SCRAM-SHA-256$9:x\"\n"
		  "\"c\" \"SCRAM-SHA-256$4096:y\"\n", 4096 },
		{ "\"f\" \"SCRAM-SHA-256$4096:x\"\n\"g\" \"SCRAM-SHA-256$10000:x\"\n", 10000 },
		{ "\"f\" \"SCRAM-SHA-256$x\"\n\"g\" \"SCRAM-SHA-256$1000000000:x\"\n"
		  "\"c\" \"SCRAM-SHA-256$-5:x\"\n\"d\" \"SCRAM-SHA-256$77\"\n", 0 },
	};
	struct diag diag = { 0 };
	struct config *config;
	struct files files;

	make_files(&files);
	put(&files, "userlist.txt", cases[_i].text, 0640);
	config = config_load(files.path, &diag);
	ck_assert_msg(config != NULL, "%s: %s", diag.file, diag.text);
	ck_assert_uint_eq(config->secrets.iterations, cases[_i].iterations);
	config_unref(config);
	remove_files(&files);
}
END_TEST

START_TEST(a_bad_file_beside_it_fails_the_whole)
{
	struct diag list = { 0 }, password = { 0 }, missing = { 0 };
	struct files files;
	char path[128];

	make_files(&files);
	put(&files, "userlist.txt", "\"a\" \"list\"\nb\n", 0640);
	ck_assert_ptr_null(config_load(files.path, &list));
	ck_assert_uint_eq(list.line, 2);
	snprintf(path, sizeof(path), "%s/userlist.txt", files.dir);
	ck_assert_str_eq(list.file, path);
	put(&files, "userlist.txt", "", 0640);
	put(&files, "pw", "\nswordfish", 0640);
	ck_assert_ptr_null(config_load(files.path, &password));
	ck_assert_str_eq(password.text, "the first line holds no password");
	unlink(path);
	ck_assert_ptr_null(config_load(files.path, &missing));
	ck_assert_str_eq(missing.file, files.path);
	ck_assert_ptr_nonnull(strstr(missing.text, "auth.auth_file: cannot read "));
	ck_assert_ptr_nonnull(strstr(missing.text, "userlist.txt: No such file"));
	remove_files(&files);
}
END_TEST

static void *hold_and_drop(void *arg)
{
	struct config *config = arg;

	for (int i = 0; i < 10000; i++) {
		config_ref(config);
		config_unref(config);
	}
	config_unref(config);
	return NULL;
}

START_TEST(the_last_holder_frees_it)
{
	struct config *config = load(HOST WEB);
	pthread_t threads[4];

	for (size_t i = 0; i < COUNT_OF(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_and_drop,
			config_ref(config)), 0);
	config_unref(config);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		pthread_join(threads[i], NULL);
	config_unref(NULL);
}
END_TEST

START_TEST(survives_every_cut)
{
	for (size_t cut = 0; cut <= strlen(levels); cut++) {
		struct diag diag = { 0 };
		struct config *config = config_load_memory(levels, cut, "t.yaml", &diag);

		ck_assert((config == NULL) == diag_is_set(&diag));
		config_unref(config);
	}
}
END_TEST

Suite *config_suite(void)
{
	Suite *s = suite_create("config/config");
	TCase *tc = tcase_create("load");

	tcase_add_test(tc, the_smallest_file_is_enough);
	tcase_add_test(tc, an_unknown_database_is_none_without_a_wildcard);
	tcase_add_test(tc, a_workload_may_be_for_some_databases);
	tcase_add_test(tc, the_nearest_level_decides);
	tcase_add_test(tc, a_secret_of_the_file_needs_no_user_list);
	tcase_add_test(tc, the_console_knows_its_users);
	tcase_add_test(tc, a_host_without_databases_is_told);
	tcase_add_test(tc, settings_without_effect_are_told);
	tcase_add_test(tc, files_lie_beside_the_configuration);
	tcase_add_test(tc, secrets_are_counted_by_kind);
	tcase_add_loop_test(tc, iterations_are_those_of_most, 0, 6);
	tcase_add_test(tc, a_bad_file_beside_it_fails_the_whole);
	tcase_add_test(tc, the_last_holder_frees_it);
	tcase_add_test(tc, survives_every_cut);
	suite_add_tcase(s, tc);
	return s;
}
