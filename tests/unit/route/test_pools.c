/* SPDX-License-Identifier: ISC */
/*
 * How long pools live: until nobody uses them; and those that were retired, as the
 * configuration has another login in their place.
 */
#include <stdio.h>

#include "suites.h"
#include "world.h"

static struct lease lease;

static void begin(void)
{
	world_begin(PLAIN);
}

/* Closes what is left and frees it. */
static void end(void)
{
	for (uint32_t i = 0; i < directory_host_count(directory); i++) {
		monitor_retire(&directory_host(directory, i)->monitor, NULL);
		(void)world_close_retired(directory_host(directory, i));
	}
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
	world_end();
}

/* --- sweeping ------------------------------------------------------------------- */

START_TEST(sweep_frees_what_nobody_uses)
{
	struct route *used = world_route("web", "used", "anna");

	route_leave(world_route("web", "unused", "anna"));
	ck_assert_int_eq(world_sessions, 2);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	ck_assert_uint_eq(world_pools(used->host), 1);
	ck_assert_ptr_eq(world_pool("web", "used", "anna"), used->pool);
	route_leave(used);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

START_TEST(clients_of_the_same_names_share_a_route)
{
	struct route *a = world_route("web", "rag", "anna");
	struct route *b = world_route("web", "rag", "anna");
	struct route *other = world_route("web", "rag", "bert");
	struct slice *slice = a->slice;

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, other);
	ck_assert_uint_eq(slice->clients, 2);
	route_leave(b);
	ck_assert_uint_eq(slice->clients, 1);
	ck_assert_ptr_eq(world_route("web", "rag", "anna"), a);
	route_leave(a);
	/* A server of a client that has gone may still want to know its limits. */
	ck_assert_ptr_eq(route_ref(a), a);
	route_leave(a);
	ck_assert_uint_eq(slice->clients, 0);
	b = world_route("web", "rag", "anna");
	ck_assert_ptr_ne(a, b);
	ck_assert_str_eq(a->user, "anna");
	route_unref(a);
	ck_assert_ptr_eq(world_route("web", "rag", "anna"), b);
	route_leave(b);
	route_leave(b);
	route_leave(other);
}
END_TEST

START_TEST(last_reference_to_a_route_counts)
{
	struct route *r = world_route("web", "rag", "anna");

	ck_assert_ptr_eq(world_route("web", "rag", "anna"), r);
	route_leave(r);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	route_leave(r);
	route_leave(NULL);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

START_TEST(pool_with_a_server_stays)
{
	struct route *r = world_route("web", "rag", "anna");
	struct route_host *h = r->host;

	world_hold(r, &lease);
	ck_assert_ptr_nonnull(world_give_back(&lease));
	route_leave(r);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	monitor_retire(&h->monitor, NULL);
	ck_assert_uint_eq(world_close_retired(h), 1);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

/* Who logs in during a pause needs what its logins have told. */
START_TEST(paused_pool_stays)
{
	struct route *r = world_route("web", "rag", "anna");
	struct route_host *h = r->host;

	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	route_leave(world_route("web", "unproven", "anna"));
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	world_hold(r, &lease);
	ck_assert_int_eq(directory_pause(directory, NULL, true), ROUTE_HOLD_DONE);
	ck_assert_ptr_null(world_give_back(&lease));
	route_leave(r);
	(void)world_close_retired(h);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	ck_assert_int_eq(directory_pause(directory, NULL, false), ROUTE_HOLD_DONE);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

/* --- retiring ------------------------------------------------------------------- */

#define CHANGED(databases, users) HOSTS WORKLOADS databases users

static const struct {
	const char *text;
	const char *what;
	bool is_retired;
} changes[] = {
	{ PLAIN, "nothing", false },
	{ CHANGED(DATABASES, "users: { anna: { password: a, default_pool_size: 1 } }\n"),
		"a limit", false },
	{ CHANGED(DATABASES, "users: { anna: { password: new } }\n"), "the password", true },
	{ CHANGED(DATABASES, "users: { bert: { password: b } }\n"), "the user", true },
	{ CHANGED("databases: { rag: { host: main } }\n", USERS), "an entry of its own",
		false },
	{ CHANGED("databases: { rag: { host: main, dbname: v2 }, '*': { host: main } }\n",
		USERS), "the name in PostgreSQL", true },
	{ CHANGED("databases: { other: { host: main, dbname: rag } }\n", USERS),
		"the name for clients", true },
	{ CHANGED("databases: { other: { host: main } }\n", USERS), "no such database",
		true },
	{ CHANGED("databases: { '*': { host: other } }\n", USERS), "the host", true },
	{ CHANGED("databases: { '*': { host: main, options: '-c work_mem=1MB' } }\n", USERS),
		"the options", true },
	{ CHANGED("databases: { '*': { host: main, user: bert, password: b } }\n", USERS),
		"another user is forced", true },
	{ CHANGED("databases: { '*': { host: main, user: anna, password: a } }\n", USERS),
		"the same user is forced", false },
	{ CHANGED("databases: { '*': { host: main, user: anna, password: b } }\n", USERS),
		"the same user is forced, with another password", true },
};

/* Which of its servers are used again shows whether the pool is the old one. */
START_TEST(login_that_changed_retires_the_pool)
{
	struct route *r = world_route("web", "rag", "anna");
	struct route_host *h = r->host;

	world_hold(r, &lease);
	world_reload(changes[_i].text);
	ck_assert_msg((world_give_back(&lease) == NULL) == changes[_i].is_retired, "%s",
		changes[_i].what);
	directory_sweep(directory);
	/* Somebody still has the route. */
	ck_assert_uint_eq(world_pools(h), 1);
	route_leave(r);
	directory_sweep(directory);
	ck_assert_msg(world_pools(h) == !changes[_i].is_retired, "%s", changes[_i].what);
}
END_TEST

START_TEST(new_routes_lead_to_the_new_pool)
{
	struct route *old = world_route("web", "rag", "anna"), *new;

	world_reload(CHANGED(DATABASES, "users: { anna: { password: new } }\n"));
	new = world_route("web", "rag", "anna");
	ck_assert_ptr_ne(new->pool, old->pool);
	ck_assert_str_eq(old->pool->password, "a");
	ck_assert_str_eq(new->pool->password, "new");
	ck_assert_uint_ne(new->generation, old->generation);
	route_leave(old);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	ck_assert_ptr_eq(world_pool("web", "rag", "anna"), new->pool);
	route_leave(new);
}
END_TEST

START_TEST(pools_of_other_users_stay)
{
	struct route_pool *bert = world_pool("web", "rag", "bert");

	route_leave(world_route("web", "rag", "anna"));
	world_reload(CHANGED(DATABASES,
		"users: { anna: { password: new }, bert: { password: b } }\n"));
	ck_assert_ptr_eq(world_pool("web", "rag", "bert"), bert);
}
END_TEST

START_TEST(idle_servers_of_a_retired_pool_close)
{
	struct route *r = world_route("web", "rag", "anna");
	struct route_host *h = r->host;

	world_hold(r, &lease);
	ck_assert_ptr_nonnull(world_give_back(&lease));
	route_leave(r);
	world_reload(CHANGED(DATABASES, "users: { anna: { password: new } }\n"));
	ck_assert_uint_eq(world_close_retired(h), 1);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

/* world_close_retired() would fail at a server to be opened. */
START_TEST(retired_pool_keeps_no_minimum)
{
	struct route *r;

	world_reload(CHANGED(DATABASES, "users: { anna: { password: a, min_pool_size: 1 } }\n"));
	r = world_route("web", "rag", "anna");
	ck_assert_uint_eq(r->slice->limits.servers_min, 1);
	world_hold(r, &lease);
	world_reload(CHANGED(DATABASES, "users: { anna: { password: b, min_pool_size: 1 } }\n"));
	ck_assert_ptr_null(world_give_back(&lease));
	ck_assert_uint_eq(world_close_retired(r->host), 0);
	ck_assert_uint_eq(r->slice->limits.servers_min, 0);
	route_leave(r);
}
END_TEST

/* Kept open though nobody has asked, as long as the configuration says so. */
START_TEST(pool_with_a_minimum_and_a_user_is_there_at_once)
{
	world_reload(CHANGED("databases: { rag: { host: main, user: anna, password: a, "
		"min_pool_size: 1 }, '*': { host: main } }\n", USERS));
	ck_assert_int_eq(world_sessions, 1);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 1);
	world_reload(CHANGED("databases: { rag: { host: main, user: anna, password: b, "
		"min_pool_size: 1 }, '*': { host: main } }\n", USERS));
	ck_assert_str_eq(world_pool("web", "rag", "bert")->password, "b");
	world_reload(PLAIN);
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

START_TEST(retired_pools_add_up_and_go)
{
	struct route *routes[4];
	char text[512];

	for (int i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof(text), CHANGED(DATABASES,
			"users: { anna: { password: p%d } }\n"), i);
		world_reload(text);
		routes[i] = world_route("web", "rag", "anna");
	}
	ck_assert_uint_eq(world_pools(routes[0]->host), 4);
	route_leave(routes[1]);
	directory_sweep(directory);
	ck_assert_uint_eq(world_pools(routes[0]->host), 3);
	for (int i = 0; i < 4; i++) {
		if (i != 1)
			route_leave(routes[i]);
	}
	directory_sweep(directory);
	ck_assert_int_eq(world_sessions, 0);
}
END_TEST

/* As at the end of the process. */
START_TEST(directory_frees_retired_pools)
{
	route_leave(world_route("web", "rag", "anna"));
	world_reload(CHANGED(DATABASES, "users: { anna: { password: new } }\n"));
	route_leave(world_route("web", "rag", "anna"));
	ck_assert_int_eq(world_sessions, 2);
	world_end();
	begin();
}
END_TEST

Suite *pools_suite(void)
{
	Suite *s = suite_create("route/pools");
	TCase *tc = tcase_create("pools");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, sweep_frees_what_nobody_uses);
	tcase_add_test(tc, clients_of_the_same_names_share_a_route);
	tcase_add_test(tc, last_reference_to_a_route_counts);
	tcase_add_test(tc, pool_with_a_server_stays);
	tcase_add_test(tc, paused_pool_stays);
	tcase_add_loop_test(tc, login_that_changed_retires_the_pool, 0,
		(int)COUNT_OF(changes));
	tcase_add_test(tc, new_routes_lead_to_the_new_pool);
	tcase_add_test(tc, pools_of_other_users_stay);
	tcase_add_test(tc, idle_servers_of_a_retired_pool_close);
	tcase_add_test(tc, retired_pool_keeps_no_minimum);
	tcase_add_test(tc, pool_with_a_minimum_and_a_user_is_there_at_once);
	tcase_add_test(tc, retired_pools_add_up_and_go);
	tcase_add_test(tc, directory_frees_retired_pools);
	suite_add_tcase(s, tc);
	return s;
}
