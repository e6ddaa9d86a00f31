/* SPDX-License-Identifier: ISC */
/*
 * What a reload changes, and for whom.
 */
#include <stdio.h>
#include <string.h>

#include "suites.h"
#include "world.h"

static void begin(void)
{
	world_begin(PLAIN);
}

START_TEST(every_reload_is_another_generation)
{
	struct route *r = world_route("web", "rag", "anna");
	uint64_t before = directory_generation(directory);

	ck_assert_uint_eq(r->generation, before);
	world_reload(PLAIN);
	ck_assert_uint_ne(directory_generation(directory), before);
	ck_assert_uint_eq(r->generation, before);
	route_leave(r);
}
END_TEST

START_TEST(databases_come_and_go)
{
	struct route *r;

	world_reload(HOSTS WORKLOADS USERS "databases: { rag: { host: main } }\n");
	route_leave(world_route("web", "rag", "anna"));
	ck_assert_int_eq(world_ask("web", "more", "anna", &r), ROUTE_NO_DATABASE);
	world_reload(HOSTS WORKLOADS USERS "databases: { more: { host: other } }\n");
	ck_assert_int_eq(world_ask("web", "rag", "anna", &r), ROUTE_NO_DATABASE);
	r = world_route("web", "more", "anna");
	ck_assert_str_eq(r->host->name, "other");
	route_leave(r);
}
END_TEST

/* --- workloads ------------------------------------------------------------------ */

START_TEST(workload_stays_the_same_with_other_numbers)
{
	struct route_workload *web = world_workload("web");

	world_reload(HOSTS DATABASES USERS
		"workloads:\n"
		"  web: { listen: '*:6432', pool_mode: transaction, max_client_conn: 7,\n"
		"         max_connections: 5, client_login_timeout: 3s, tcp_keepidle: 9s }\n");
	ck_assert_ptr_eq(world_workload("web"), web);
	ck_assert_uint_eq(web->max_client_conn, 7);
	ck_assert_uint_eq(web->login_timeout_us, 3 * USEC_PER_SEC);
	ck_assert_uint_eq(directory_host(directory, 0)->shares[web->index].max, 5);
}
END_TEST

START_TEST(workload_that_is_gone_serves_nobody)
{
	struct route_workload *jobs = world_workload("jobs");
	struct route *r;

	world_reload(HOSTS DATABASES USERS
		"workloads: { web: { listen: '*:6432', pool_mode: transaction } }\n");
	ck_assert(jobs->is_gone);
	ck_assert_ptr_null(directory_current_workload(directory, "jobs"));
	ck_assert_int_eq(directory_find(directory, jobs, "rag", "anna", &r),
		ROUTE_NOT_HERE);
	ck_assert_uint_eq(directory_host(directory, 0)->shares[jobs->index].max, 0);
	ck_assert_uint_eq(directory_host(directory, 0)->shares[jobs->index].guaranteed, 0);
	world_reload(PLAIN);
	ck_assert_ptr_eq(world_workload("jobs"), jobs);
	ck_assert(!jobs->is_gone);
}
END_TEST

START_TEST(new_workload_has_a_share_of_every_host)
{
	struct route *r;

	world_reload(HOSTS DATABASES USERS WORKLOADS
		"  third: { listen: '*:6434', pool_mode: statement }\n");
	ck_assert_uint_eq(directory_workload_count(directory), 3);
	ck_assert_int_eq(world_workload("third")->mode, ROUTE_STATEMENT);
	r = world_route("third", "rag", "anna");
	ck_assert_str_eq(r->slice->share->name, "third");
	route_leave(r);
}
END_TEST

/* Who came to a session port was promised a session. */
START_TEST(other_pool_mode_is_another_workload)
{
	struct route_workload *jobs = world_workload("jobs");
	struct route *old = world_route("jobs", "rag", "anna"), *new;

	world_reload(HOSTS DATABASES USERS
		"workloads:\n"
		"  web: { listen: '*:6432', pool_mode: transaction }\n"
		"  jobs: { listen: '*:6433', pool_mode: transaction }\n");
	new = world_route("jobs", "rag", "anna");
	ck_assert_ptr_ne(new->workload, jobs);
	ck_assert_int_eq(jobs->mode, ROUTE_SESSION);
	ck_assert_int_eq(new->workload->mode, ROUTE_TRANSACTION);
	ck_assert_ptr_eq(new->pool, old->pool);
	ck_assert_ptr_ne(new->slice, old->slice);
	ck_assert(jobs->is_gone);
	world_reload(PLAIN);
	ck_assert_ptr_eq(world_workload("jobs"), jobs);
	route_leave(old);
	route_leave(new);
}
END_TEST

/* --- hosts ---------------------------------------------------------------------- */

START_TEST(host_takes_its_new_budget)
{
	struct route_host *h = directory_host(directory, 0);

	ck_assert_uint_eq(h->monitor.budget.limit, 20);
	world_reload("hosts: { main: { host: 127.0.0.1, connection_budget: 8,\n"
		"  server_connect_timeout: 3s, max_cancel_connections: 2 } }\n"
		WORKLOADS DATABASES USERS);
	ck_assert_ptr_eq(directory_host(directory, 0), h);
	ck_assert_uint_eq(h->monitor.budget.limit, 8);
	ck_assert_uint_eq(h->cancels_max, 2);
	ck_assert_uint_eq(h->target.connect_timeout_us, 3 * USEC_PER_SEC);
	ck_assert(directory_host(directory, 1)->is_gone);
}
END_TEST

START_TEST(new_host_has_a_share_for_every_workload)
{
	struct route *r;

	world_reload(HOSTS "  third: { host: 127.0.0.3, connection_budget: 4 }\n"
		WORKLOADS "databases: { rag: { host: third } }\n" USERS);
	r = world_route("jobs", "rag", "anna");
	ck_assert_str_eq(r->host->name, "third");
	ck_assert_uint_eq(r->slice->share->max, r->host->shares[r->workload->index].max);
	ck_assert(!r->host->is_gone);
	route_leave(r);
}
END_TEST

START_TEST(host_that_moved_gets_new_servers)
{
	struct route *r = world_route("web", "rag", "anna");
	struct host_target target;
	struct lease lease;
	char text[ADDR_TEXT_MAX];

	world_hold(r, &lease);
	world_reload("hosts: { main: { host: 127.0.0.9, port: 5433, connection_budget: 20 } }\n"
		WORKLOADS DATABASES USERS);
	ck_assert_ptr_null(world_give_back(&lease));
	ck_assert_ptr_eq(world_pool("web", "rag", "anna"), r->pool);
	route_host_target(r->host, &target);
	ck_assert_uint_eq(target.addr_count, 1);
	ck_assert_str_eq(addr_text(&target.addrs[0], text, sizeof(text)), "127.0.0.9:5433");
	route_leave(r);
}
END_TEST

/* --- a reload that fails -------------------------------------------------------- */

START_TEST(name_that_does_not_resolve_changes_nothing)
{
	struct config *before = directory_config(directory), *after;
	uint64_t generation = directory_generation(directory);

	ck_assert(!world_try_reload("hosts:\n"
		"  main: { host: 127.0.0.9, connection_budget: 5 }\n"
		"  bad: { host: no-such-name.invalid, connection_budget: 5 }\n"
		WORKLOADS DATABASES));
	after = directory_config(directory);
	ck_assert_ptr_eq(after, before);
	ck_assert_uint_eq(directory_generation(directory), generation);
	ck_assert_uint_eq(directory_host_count(directory), 2);
	ck_assert_uint_eq(directory_host(directory, 0)->monitor.budget.limit, 20);
	config_unref(before);
	config_unref(after);
}
END_TEST

/* So many since the start: each other mode is another workload. */
START_TEST(too_many_workloads_change_nothing)
{
	char text[BUDGET_SHARES_MAX * 80 + 1024];
	uint64_t generation = directory_generation(directory);
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "%s", HOSTS DATABASES USERS "workloads:\n");
	for (int i = 0; i < BUDGET_SHARES_MAX - 1; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"  w%d: { listen: '127.0.0.1:%d', pool_mode: transaction }\n", i,
			7000 + i);
	ck_assert(!world_try_reload(text));
	ck_assert_uint_eq(directory_generation(directory), generation);
	/* Nor do they use up the room of those that will come. */
	ck_assert_uint_eq(directory_workload_count(directory), 2);
	ck_assert_ptr_null(directory_workload(directory, 2));
	ck_assert_ptr_null(directory_current_workload(directory, "w0"));
	ck_assert(!world_workload("web")->is_gone);
	route_leave(world_route("web", "rag", "anna"));
}
END_TEST

START_TEST(names_of_modes)
{
	ck_assert_str_eq(route_mode_name(ROUTE_TRANSACTION), "transaction");
	ck_assert_str_eq(route_mode_name(ROUTE_SESSION), "session");
	ck_assert_str_eq(route_mode_name(ROUTE_STATEMENT), "statement");
}
END_TEST

Suite *reload_suite(void)
{
	Suite *s = suite_create("route/reload");
	TCase *tc = tcase_create("reload");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, world_end);
	tcase_add_test(tc, every_reload_is_another_generation);
	tcase_add_test(tc, databases_come_and_go);
	tcase_add_test(tc, workload_stays_the_same_with_other_numbers);
	tcase_add_test(tc, workload_that_is_gone_serves_nobody);
	tcase_add_test(tc, new_workload_has_a_share_of_every_host);
	tcase_add_test(tc, other_pool_mode_is_another_workload);
	tcase_add_test(tc, host_takes_its_new_budget);
	tcase_add_test(tc, new_host_has_a_share_for_every_workload);
	tcase_add_test(tc, host_that_moved_gets_new_servers);
	tcase_add_test(tc, name_that_does_not_resolve_changes_nothing);
	tcase_add_test(tc, too_many_workloads_change_nothing);
	tcase_add_test(tc, names_of_modes);
	suite_add_tcase(s, tc);
	return s;
}
