/* SPDX-License-Identifier: ISC */
/*
 * Which pool, host and workload belong to which names.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"
#include "world.h"

#define SOME_DATABASES \
	"databases:\n" \
	"  rag: { host: main, dbname: rag_v2 }\n" \
	"  alias: { host: main, dbname: rag_v2 }\n" \
	"  there: { host: other, dbname: rag_v2 }\n" \
	"  forced: { host: main, dbname: rag_v2, user: bert, password: b }\n" \
	"  guessed: { host: main, dbname: rag_v2, user: bert, password: wrong }\n" \
	"  tuned: { host: main, dbname: rag_v2, options: '-c work_mem=1MB' }\n"

static void begin(void)
{
	world_begin(HOSTS WORKLOADS SOME_DATABASES USERS);
}

/* --- pools ---------------------------------------------------------------------- */

START_TEST(pool_is_named_as_postgresql_names_it)
{
	struct route *r = world_route("web", "rag", "anna");

	ck_assert_str_eq(r->host->name, "main");
	ck_assert_str_eq(r->pool->dbname, "rag_v2");
	ck_assert_str_eq(r->pool->user, "anna");
	ck_assert_str_eq(r->pool->options, "");
	ck_assert_str_eq(r->pool->password, "a");
	ck_assert_str_eq(r->database->name, "rag");
	ck_assert_str_eq(r->user, "anna");
	ck_assert_ptr_eq(r->workload, world_workload("web"));
	route_leave(r);
}
END_TEST

START_TEST(names_of_one_login_share_a_pool)
{
	struct route_pool *pool = world_pool("web", "rag", "anna");

	ck_assert_ptr_eq(world_pool("web", "rag", "anna"), pool);
	ck_assert_ptr_eq(world_pool("web", "alias", "anna"), pool);
	ck_assert_ptr_eq(world_pool("jobs", "alias", "anna"), pool);
	ck_assert_int_eq(world_sessions, 1);
}
END_TEST

START_TEST(whatever_the_login_depends_on_makes_another_pool)
{
	struct route_pool *pool = world_pool("web", "rag", "anna");

	ck_assert_ptr_ne(world_pool("web", "rag", "bert"), pool);
	ck_assert_ptr_ne(world_pool("web", "there", "anna"), pool);
	ck_assert_ptr_ne(world_pool("web", "tuned", "anna"), pool);
	ck_assert_int_eq(world_sessions, 4);
}
END_TEST

/* A count of its own for each database, be there ever so many: what runs in one has nobody
 * ask of others. */
START_TEST(code_is_counted_for_each_database)
{
	enum { MANY = 300 };
	struct route_code *codes[MANY];
	char name[16];

	world_reload(HOSTS WORKLOADS USERS "databases: { '*': { host: main } }\n");
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "d%d", i);
		codes[i] = world_pool("web", name, "anna")->code;
		ck_assert_str_eq(codes[i]->dbname, name);
		ck_assert_ptr_eq(world_pool("jobs", name, "bert")->code, codes[i]);
		for (int k = 0; k < i; k++)
			ck_assert_ptr_ne(codes[i], codes[k]);
	}
}
END_TEST

/* Two hosts may be one PostgreSQL. */
START_TEST(code_is_counted_for_hosts_together)
{
	ck_assert_ptr_eq(world_pool("web", "rag", "anna")->code,
		world_pool("web", "there", "bert")->code);
}
END_TEST

START_TEST(forced_user_shares_the_pool_of_that_user)
{
	struct route *r = world_route("web", "forced", "anna");

	ck_assert_str_eq(r->user, "anna");
	ck_assert_str_eq(r->pool->user, "bert");
	ck_assert_str_eq(r->pool->password, "b");
	ck_assert_ptr_eq(world_pool("web", "rag", "bert"), r->pool);
	route_leave(r);
}
END_TEST

/* Who does not know the password gets no server of those who do. */
START_TEST(other_password_makes_another_pool)
{
	struct route_pool *pool = world_pool("web", "forced", "anna");

	ck_assert_ptr_ne(world_pool("web", "guessed", "anna"), pool);
	ck_assert_str_eq(world_pool("web", "guessed", "anna")->password, "wrong");
}
END_TEST

START_TEST(user_without_a_secret_has_a_pool_without_one)
{
	ck_assert_str_eq(world_pool("web", "rag", "nobody")->password, "");
}
END_TEST

START_TEST(each_workload_has_its_slice)
{
	struct route *web = world_route("web", "rag", "anna");
	struct route *jobs = world_route("jobs", "rag", "anna");
	struct route *again = world_route("web", "alias", "anna");

	ck_assert_ptr_ne(web->slice, jobs->slice);
	ck_assert_ptr_eq(web->slice, again->slice);
	ck_assert_ptr_eq(web->slice->pool, &web->pool->pool);
	ck_assert_ptr_eq(jobs->slice->pool, &web->pool->pool);
	ck_assert_str_eq(web->slice->share->name, "web");
	ck_assert_str_eq(jobs->slice->share->name, "jobs");
	ck_assert_uint_eq(web->slice->clients, 2);
	ck_assert_uint_eq(jobs->slice->clients, 1);
	route_leave(again);
	ck_assert_uint_eq(web->slice->clients, 1);
	route_leave(web);
	route_leave(jobs);
}
END_TEST

START_TEST(shares_are_of_their_kind)
{
	struct route *web = world_route("web", "rag", "anna");
	struct route *jobs = world_route("jobs", "rag", "anna");

	ck_assert_int_eq(web->slice->share->kind, SHARE_TRANSIENT);
	ck_assert_int_eq(jobs->slice->share->kind, SHARE_LASTING);
	ck_assert_uint_eq(web->slice->share->max, 20);
	route_leave(web);
	route_leave(jobs);
}
END_TEST

/* --- what is not there ---------------------------------------------------------- */

START_TEST(unknown_database_is_refused)
{
	struct route *r;

	ck_assert_int_eq(directory_check(directory, world_workload("web"), "nowhere"),
		ROUTE_NO_DATABASE);
	ck_assert_int_eq(world_ask("web", "nowhere", "anna", &r), ROUTE_NO_DATABASE);
	ck_assert_int_eq(directory_check(directory, world_workload("web"), "rag"),
		ROUTE_OK);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

START_TEST(name_in_postgresql_is_not_a_name_for_clients)
{
	struct route *r;

	ck_assert_int_eq(world_ask("web", "rag_v2", "anna", &r), ROUTE_NO_DATABASE);
}
END_TEST

START_TEST(wildcard_serves_all_names_without_an_entry)
{
	world_reload(HOSTS WORKLOADS USERS
		"databases: { rag: { host: main, dbname: rag_v2 }, '*': { host: other } }\n");
	ck_assert_str_eq(world_pool("web", "any", "anna")->dbname, "any");
	ck_assert_str_eq(world_pool("web", "any", "anna")->host->name, "other");
	ck_assert_str_eq(world_pool("web", "rag", "anna")->host->name, "main");
	ck_assert_ptr_ne(world_pool("web", "any", "anna"), world_pool("web", "all", "anna"));
}
END_TEST

START_TEST(wildcard_may_lead_to_one_database)
{
	world_reload(HOSTS WORKLOADS USERS
		"databases: { '*': { host: other, dbname: one } }\n");
	ck_assert_ptr_eq(world_pool("web", "a", "anna"), world_pool("web", "b", "anna"));
}
END_TEST

START_TEST(workload_serves_its_own_databases_only)
{
	struct route *r;

	world_reload(HOSTS USERS
		"workloads:\n"
		"  web: { listen: '*:6432', pool_mode: transaction, databases: [ rag ] }\n"
		"  jobs: { listen: '*:6433', pool_mode: session }\n"
		"databases: { rag: { host: main }, there: { host: other } }\n");
	ck_assert_int_eq(world_ask("web", "there", "anna", &r), ROUTE_NOT_HERE);
	ck_assert_int_eq(directory_check(directory, world_workload("web"), "there"),
		ROUTE_NOT_HERE);
	ck_assert_int_eq(world_ask("web", "nowhere", "anna", &r), ROUTE_NO_DATABASE);
	route_leave(world_route("web", "rag", "anna"));
	route_leave(world_route("jobs", "there", "anna"));
}
END_TEST

/* --- who may come --------------------------------------------------------------- */

START_TEST(secrets_and_rights_are_told)
{
	struct addr peer = { .sa.sa_family = AF_UNIX };
	struct route_login who = { .database = "rag", .user = "anna", .peer = &peer };
	struct route_proof proof;

	world_reload(PLAIN "auth: { auth_type: md5 }\n"
		"admin: { admin_users: [ anna ], stats_users: [ bert ] }\n");
	directory_auth(directory, &who, &proof);
	ck_assert_int_eq(proof.method, ROUTE_AUTH_MD5);
	ck_assert_str_eq(proof.secret, "a");
	ck_assert_uint_eq(proof.console, ROUTE_ADMIN | ROUTE_STATS);
	ck_assert(route_proof_allows(&proof, "anna", "anna"));
	ck_assert(!route_proof_allows(&proof, "anna", "bert"));
	route_proof_finish(&proof);
	who.user = "bert";
	directory_auth(directory, &who, &proof);
	ck_assert_uint_eq(proof.console, ROUTE_STATS);
	route_proof_finish(&proof);
	who.user = "nobody";
	directory_auth(directory, &who, &proof);
	ck_assert_ptr_null(proof.secret);
	ck_assert_uint_eq(proof.console, 0);
	route_proof_finish(&proof);
	route_proof_finish(&proof);
}
END_TEST

/* --- databases in use ----------------------------------------------------------- */

static void keep_name(const struct route_database *database, void *arg)
{
	strcat(arg, database->name);
}

START_TEST(databases_are_counted_by_the_names_of_clients)
{
	struct route *a = world_route("web", "rag", "anna");
	struct route *b = world_route("web", "alias", "anna");
	char names[64] = "";

	ck_assert_ptr_ne(a->database, b->database);
	directory_each_database(directory, keep_name, names, NULL);
	ck_assert(strcmp(names, "ragalias") == 0 || strcmp(names, "aliasrag") == 0);
	ck_assert_uint_eq((uintptr_t)a->counters->stats % 128, 0);
	stats_add(&a->counters->stats[0], STAT_query_count, 2);
	stats_add(&a->counters->stats[1], STAT_query_count, 3);
	route_leave(a);
	route_leave(b);
}
END_TEST

static void add_logins(const struct route_counters *c, void *arg)
{
	uint64_t sum[STAT_COUNT];

	stats_sum(c->stats, directory_workers(directory), sum);
	*(uint64_t *)arg += sum[STAT_client_login_count] + sum[STAT_query_count];
}

static void add_queries(const struct route_database *database, void *arg)
{
	uint64_t sum[STAT_COUNT];

	route_database_sum(database, directory_workers(directory), sum);
	*(uint64_t *)arg += sum[STAT_query_count];
}

/* A name that nobody logged in with is forgotten; what it has counted is not. */
START_TEST(counters_are_of_workload_database_and_user)
{
	struct route *a = world_route("web", "rag", "anna");
	struct route *same = world_route("web", "rag", "anna");
	struct route *b = world_route("web", "rag", "bert");
	uint64_t sum[STAT_COUNT], queries = 0, all = 0;

	ck_assert_ptr_eq(a->counters, same->counters);
	ck_assert_ptr_ne(a->counters, b->counters);
	ck_assert_ptr_eq(a->database, b->database);
	stats_add(&a->counters->stats[0], STAT_client_login_count, 1);
	stats_add(&a->counters->stats[0], STAT_query_count, 5);
	stats_add(&b->counters->stats[1], STAT_query_count, 7);
	route_leave(same);
	route_leave(b);
	directory_each_counters(directory, add_logins, &all);
	ck_assert_uint_eq(all, 13);
	directory_sweep(directory);
	all = 0;
	directory_each_counters(directory, add_logins, &all);
	ck_assert_uint_eq(all, 6);
	directory_each_database(directory, add_queries, &queries, NULL);
	ck_assert_uint_eq(queries, 12);
	directory_swept(directory, a->workload->index, sum);
	ck_assert_uint_eq(sum[STAT_query_count], 7);
	route_leave(a);
}
END_TEST

/* So it is where the database has gone itself. */
START_TEST(what_forgotten_databases_have_counted_is_kept)
{
	struct route *a = world_route("web", "rag", "anna");
	struct route *b = world_route("web", "alias", "bert");
	uint64_t sum[STAT_COUNT], queries = 0;

	stats_add(&a->counters->stats[0], STAT_client_login_count, 1);
	stats_add(&b->counters->stats[1], STAT_query_count, 7);
	directory_each_database(directory, add_queries, &queries, sum);
	ck_assert_uint_eq(queries, 7);
	ck_assert_uint_eq(sum[STAT_query_count], 0);
	route_leave(b);
	directory_sweep(directory);
	queries = 0;
	directory_each_database(directory, add_queries, &queries, sum);
	ck_assert_uint_eq(queries, 0);
	ck_assert_uint_eq(sum[STAT_query_count], 7);
	directory_swept(directory, a->workload->index, sum);
	ck_assert_uint_eq(sum[STAT_query_count], 7);
	route_leave(a);
}
END_TEST

enum { FORGOTTEN = 3000 };

/* Comes, counts one, leaves and is forgotten, again and again. */
static void *come_and_go(void *arg)
{
	atomic_bool *is_over = arg;

	for (int i = 0; i < FORGOTTEN; i++) {
		struct route *r = world_route("web", "alias", "bert");

		stats_add(&r->counters->stats[1], STAT_query_count, 1);
		route_leave(r);
		directory_sweep(directory);
	}
	atomic_store(is_over, true);
	return NULL;
}

/* Whoever reads them as counters takes less than before for a start anew. */
START_TEST(the_sum_of_all_never_goes_down)
{
	uint64_t sum[STAT_COUNT], queries = 0, before = 0;
	atomic_bool is_over = false, is_last = false;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, come_and_go, &is_over), 0);
	while (!is_last) {
		is_last = atomic_load(&is_over);
		queries = 0;
		directory_each_database(directory, add_queries, &queries, sum);
		queries += sum[STAT_query_count];
		ck_assert_uint_ge(queries, before);
		before = queries;
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(queries, FORGOTTEN);
}
END_TEST

struct numbers {
	uint64_t least, most;
	uint32_t unknown;
};

static void note_number(const struct route_counters *c, void *arg)
{
	struct numbers *n = arg;

	if (c->number == COUNTERS_UNKNOWN) {
		n->unknown++;
		return;
	}
	n->least = c->number < n->least ? c->number : n->least;
	n->most = c->number > n->most ? c->number : n->most;
}

/* However many names somebody makes up: who logs in later is still one of the first. */
START_TEST(names_without_a_login_use_no_number_up)
{
	struct route *anna = world_route("web", "rag", "anna"), *bert;
	struct numbers n = { .least = UINT64_MAX };

	stats_add(&anna->counters->stats[0], STAT_client_login_count, 1);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 100; i++) {
			char name[32];

			(void)snprintf(name, sizeof(name), "made_up_%d_%d", round, i);
			route_leave(world_route("web", "rag", name));
		}
		n = (struct numbers){ .least = UINT64_MAX };
		directory_each_counters(directory, note_number, &n);
		ck_assert_uint_eq(n.unknown, 100);
		directory_sweep(directory);
	}
	bert = world_route("web", "rag", "bert");
	stats_add(&bert->counters->stats[0], STAT_client_login_count, 1);
	n = (struct numbers){ .least = UINT64_MAX };
	directory_each_counters(directory, note_number, &n);
	ck_assert_uint_eq(n.unknown, 0);
	ck_assert_uint_eq(n.least, 0);
	ck_assert_uint_eq(n.most, 1);
	route_leave(anna);
	route_leave(bert);
}
END_TEST

Suite *directory_suite(void)
{
	Suite *s = suite_create("route/directory");
	TCase *tc = tcase_create("directory");

	tcase_add_checked_fixture(tc, begin, world_end);
	tcase_add_test(tc, pool_is_named_as_postgresql_names_it);
	tcase_add_test(tc, names_of_one_login_share_a_pool);
	tcase_add_test(tc, whatever_the_login_depends_on_makes_another_pool);
	tcase_add_test(tc, code_is_counted_for_each_database);
	tcase_add_test(tc, code_is_counted_for_hosts_together);
	tcase_add_test(tc, forced_user_shares_the_pool_of_that_user);
	tcase_add_test(tc, other_password_makes_another_pool);
	tcase_add_test(tc, user_without_a_secret_has_a_pool_without_one);
	tcase_add_test(tc, each_workload_has_its_slice);
	tcase_add_test(tc, shares_are_of_their_kind);
	tcase_add_test(tc, unknown_database_is_refused);
	tcase_add_test(tc, name_in_postgresql_is_not_a_name_for_clients);
	tcase_add_test(tc, wildcard_serves_all_names_without_an_entry);
	tcase_add_test(tc, wildcard_may_lead_to_one_database);
	tcase_add_test(tc, workload_serves_its_own_databases_only);
	tcase_add_test(tc, secrets_and_rights_are_told);
	tcase_add_test(tc, databases_are_counted_by_the_names_of_clients);
	tcase_add_test(tc, counters_are_of_workload_database_and_user);
	tcase_add_test(tc, what_forgotten_databases_have_counted_is_kept);
	tcase_add_test(tc, the_sum_of_all_never_goes_down);
	tcase_add_test(tc, names_without_a_login_use_no_number_up);
	suite_add_tcase(s, tc);
	return s;
}
