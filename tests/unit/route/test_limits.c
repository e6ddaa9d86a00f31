/* SPDX-License-Identifier: ISC */
/*
 * Which level of the configuration decides: user, database, workload, defaults.
 */
#include "suites.h"
#include "world.h"

#define LEVELS(user, database, workload, defaults) \
	HOSTS \
	"workloads:\n" \
	"  web: { listen: '*:6432', pool_mode: transaction" workload " }\n" \
	"databases: { rag: { host: main, dbname: rag_v2" database " } }\n" \
	"users: { anna: { password: a" user " } }\n" \
	"defaults: { client_idle_timeout: 1h" defaults " }\n"

#define WAIT(n) ", query_wait_timeout: " #n "s, default_pool_size: " #n

static const struct {
	const char *text;
	uint32_t expected;
} levels[] = {
	{ LEVELS(WAIT(4), WAIT(3), WAIT(2), WAIT(1)), 4 },
	{ LEVELS("", WAIT(3), WAIT(2), WAIT(1)), 3 },
	{ LEVELS("", "", WAIT(2), WAIT(1)), 2 },
	{ LEVELS("", "", "", WAIT(1)), 1 },
	{ LEVELS(WAIT(4), "", "", WAIT(1)), 4 },
};

static void expect(uint32_t limit)
{
	struct route *r = world_route("web", "rag", "anna");

	ck_assert_uint_eq(r->limits.query_wait_timeout_us, limit * USEC_PER_SEC);
	ck_assert_uint_eq(r->slice->limits.servers_max, limit);
	route_leave(r);
}

START_TEST(nearest_level_decides)
{
	world_begin(levels[_i].text);
	expect(levels[_i].expected);
	world_end();
}
END_TEST

/* Of a database whose name is another one in PostgreSQL, too. */
START_TEST(nearest_level_decides_after_a_reload)
{
	struct route *r;

	world_begin(LEVELS("", "", "", ""));
	r = world_route("web", "rag", "anna");
	world_reload(levels[_i].text);
	ck_assert_uint_eq(r->slice->limits.servers_max, levels[_i].expected);
	expect(levels[_i].expected);
	route_leave(r);
	world_end();
}
END_TEST

START_TEST(defaults_are_those_of_the_table)
{
	struct route *r;

	world_begin(LEVELS("", "", "", ""));
	r = world_route("web", "rag", "anna");
	ck_assert_uint_eq(r->limits.query_wait_timeout_us, 120 * USEC_PER_SEC);
	ck_assert_uint_eq(r->slice->limits.servers_max, 0);
	ck_assert_uint_eq(r->limits.client_idle_timeout_us, 3600 * USEC_PER_SEC);
	ck_assert(!r->limits.wait_is_fatal);
	route_leave(r);
	world_end();
}
END_TEST

/* A pool has the limits of the user that it logs in as. */
START_TEST(pool_of_a_forced_user_has_that_users_limits)
{
	struct route *r;

	world_begin(HOSTS WORKLOADS
		"databases: { rag: { host: main, user: bert, password: b } }\n"
		"users:\n"
		"  anna: { password: a, default_pool_size: 2, query_wait_timeout: 2s }\n"
		"  bert: { password: b, default_pool_size: 3, query_wait_timeout: 3s }\n");
	r = world_route("web", "rag", "anna");
	ck_assert_uint_eq(r->slice->limits.servers_max, 3);
	ck_assert_uint_eq(r->limits.query_wait_timeout_us, 2 * USEC_PER_SEC);
	route_leave(r);
	world_end();
}
END_TEST

/* The limits of a route are its own: a reload does not pull them away. */
START_TEST(route_keeps_its_limits)
{
	struct route *r;

	world_begin(LEVELS("", ", server_reset_query: RESET ALL", "", WAIT(1)));
	r = world_route("web", "rag", "anna");
	world_reload(LEVELS("", "", "", WAIT(2)));
	ck_assert_str_eq(r->limits.reset_query, "RESET ALL");
	ck_assert_uint_eq(r->limits.query_wait_timeout_us, USEC_PER_SEC);
	ck_assert_ptr_nonnull(r->limits.ignored);
	route_leave(r);
	world_end();
}
END_TEST

START_TEST(clients_of_a_database_and_a_user_are_limited)
{
	struct route *a, *b, *c;

	world_begin(HOSTS WORKLOADS USERS
		"databases:\n"
		"  rag: { host: main, max_db_client_connections: 2 }\n"
		"  more: { host: main }\n"
		"defaults: { max_user_client_connections: 2 }\n");
	a = world_route("web", "rag", "anna");
	b = world_route("web", "rag", "anna");
	c = world_route("jobs", "rag", "bert");
	ck_assert_int_eq(route_count_client(a), ROUTE_OK);
	ck_assert_int_eq(route_count_client(b), ROUTE_OK);
	ck_assert_int_eq(route_count_client(c), ROUTE_DATABASE_FULL);
	route_leave(c);
	c = world_route("web", "more", "anna");
	ck_assert_int_eq(route_count_client(c), ROUTE_USER_FULL);
	route_uncount_client(a);
	route_leave(a);
	ck_assert_int_eq(route_count_client(c), ROUTE_OK);
	route_uncount_client(b);
	route_leave(b);
	ck_assert_uint_eq(c->account->limit.clients, 1);
	route_uncount_client(c);
	route_leave(c);
	world_end();
}
END_TEST

START_TEST(a_client_is_counted_until_it_is_taken_out_by_whichever_route)
{
	struct route *a, *b;

	world_begin(PLAIN);
	a = world_route("web", "rag", "anna");
	ck_assert_int_eq(route_count_client(a), ROUTE_OK);
	world_reload(PLAIN);
	b = world_route("web", "rag", "anna");
	ck_assert_ptr_ne(a, b);
	route_leave(a);
	ck_assert_uint_eq(b->database->limit.clients, 1);
	ck_assert_uint_eq(b->account->limit.clients, 1);
	route_uncount_client(b);
	ck_assert_uint_eq(b->database->limit.clients, 0);
	ck_assert_uint_eq(b->account->limit.clients, 0);
	route_leave(b);
	world_end();
}
END_TEST

Suite *limits_suite(void)
{
	Suite *s = suite_create("route/limits");
	TCase *tc = tcase_create("limits");

	tcase_add_loop_test(tc, nearest_level_decides, 0, (int)COUNT_OF(levels));
	tcase_add_loop_test(tc, nearest_level_decides_after_a_reload, 0,
		(int)COUNT_OF(levels));
	tcase_add_test(tc, defaults_are_those_of_the_table);
	tcase_add_test(tc, pool_of_a_forced_user_has_that_users_limits);
	tcase_add_test(tc, route_keeps_its_limits);
	tcase_add_test(tc, clients_of_a_database_and_a_user_are_limited);
	tcase_add_test(tc, a_client_is_counted_until_it_is_taken_out_by_whichever_route);
	suite_add_tcase(s, tc);
	return s;
}
