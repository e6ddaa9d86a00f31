/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/snap.h"
#include "config/config.h"
#include "suites.h"

static const char text[] =
	"hosts:\n"
	"  one: { host: 127.0.0.1, connection_budget: 8 }\n"
	"  two: { host: 127.0.0.2, connection_budget: 9 }\n"
	"workloads:\n"
	"  web:  { listen: '*:6432', pool_mode: transaction }\n"
	"  jobs: { listen: '*:6433', pool_mode: session }\n"
	"databases:\n"
	"  far: { host: two }\n"
	"  '*': { host: one }\n";

enum { NOW = 1000000 };

static struct config *config;
static struct directory *directory;

static void *pool_create(struct route_pool *pool)
{
	(void)pool;
	return malloc(1);
}

static void set_up(void)
{
	const struct directory_hooks hooks = { .pool_create = pool_create,
		.pool_destroy = free };
	struct diag diag = { .text = "" };

	config = config_load_memory(text, strlen(text), "t.yaml", &diag);
	ck_assert_msg(config != NULL, "%u: %s", diag.line, diag.text);
	ck_assert_int_eq(directory_create(&directory, config, 1, &hooks, &diag), 0);
}

static void tear_down(void)
{
	directory_destroy(&directory);
	config_unref(config);
}

static struct route *route_to(uint32_t workload, const char *database, const char *user)
{
	struct route *route;

	ck_assert_int_eq(
		directory_find(directory, directory_workload(directory, workload),
			database, user, &route),
		ROUTE_OK);
	return route;
}

START_TEST(sees_nothing_where_nothing_is)
{
	struct snap_pools pools;
	struct snap_servers servers;
	struct snap_budget budget;

	ck_assert_int_eq(snap_pools(directory, &pools), 0);
	ck_assert_int_eq(snap_servers(directory, &servers), 0);
	ck_assert_uint_eq(pools.count, 0);
	ck_assert_uint_eq(servers.count, 0);
	snap_budget(directory_host(directory, 0), &budget);
	ck_assert_uint_eq(budget.limit, 8);
	ck_assert_uint_eq(budget.used, 0);
	ck_assert_uint_eq(budget.share_count, 2);
	ck_assert_str_eq(budget.shares[0].workload, "web");
	ck_assert_uint_eq(budget.shares[0].guaranteed, 4);
	snap_pools_finish(&pools);
	snap_servers_finish(&servers);
}
END_TEST

/* Memory is taken before the lock: more than fits is no reason to lose any. */
START_TEST(copies_many_pools)
{
	enum { USERS = 300 };
	struct route *routes[USERS];
	struct snap_pools pools;

	for (int i = 0; i < USERS; i++) {
		char user[16];

		(void)snprintf(user, sizeof(user), "u%d", i);
		routes[i] = route_to(i % 2 == 0, i % 3 == 0 ? "far" : "near", user);
	}
	ck_assert_int_eq(snap_pools(directory, &pools), 0);
	ck_assert_uint_eq(pools.count, USERS);
	for (size_t i = 0; i < pools.count; i++) {
		const struct snap_pool *p = &pools.rows[i];
		int number = atoi(p->names.user + 1);

		ck_assert_str_eq(p->workload, number % 2 == 0 ? "jobs" : "web");
		ck_assert_str_eq(p->names.database, number % 3 == 0 ? "far" : "near");
		ck_assert_str_eq(p->host->name, number % 3 == 0 ? "two" : "one");
		ck_assert_uint_eq(p->clients, 1);
	}
	snap_pools_finish(&pools);
	for (int i = 0; i < USERS; i++)
		route_unref(routes[i]);
}
END_TEST

START_TEST(counts_servers_and_who_waits)
{
	struct route *route = route_to(0, "db", "u");
	struct monitor *m = &route->host->monitor;
	struct monitor_actions actions = { .count = 0 };
	struct pool_server server;
	struct lease first, second;
	struct snap_pools pools;
	struct snap_servers servers;

	lease_init(&first, 0, 71);
	lease_init(&second, 0, 72);
	ck_assert_int_eq(monitor_request(m, &first, route->slice, NOW, &actions),
		LEASE_VERDICT_WAIT);
	ck_assert_int_eq(monitor_request(m, &second, route->slice, NOW + 1, &actions),
		LEASE_VERDICT_WAIT);
	ck_assert_uint_ge(actions.count, 1);
	pool_server_init(&server, 0);
	monitor_connecting(m, &server, route->slice, &actions.list[0].unit);

	ck_assert_int_eq(snap_pools(directory, &pools), 0);
	ck_assert_uint_eq(pools.count, 1);
	ck_assert_uint_eq(pools.rows[0].waiting, 2);
	ck_assert_uint_eq(pools.rows[0].oldest_us, NOW);
	ck_assert_uint_eq(pools.rows[0].servers[SERVER_CONNECTING], 1);
	snap_pools_finish(&pools);

	server.backend_pid = 4711;
	monitor_ready(m, &server, NOW + 2, &actions);
	ck_assert_int_eq(snap_servers(directory, &servers), 0);
	ck_assert_uint_eq(servers.count, 1);
	ck_assert_int_eq(servers.rows[0].state, SERVER_LEASED);
	ck_assert_uint_eq(servers.rows[0].client_id, 71);
	ck_assert_uint_eq(servers.rows[0].backend_pid, 4711);
	ck_assert_uint_eq(servers.rows[0].connected_us, NOW + 2);
	ck_assert(!servers.rows[0].close_needed);
	ck_assert_str_eq(servers.rows[0].names.database, "db");
	snap_servers_finish(&servers);
	route_unref(route);
}
END_TEST

Suite *snap_suite(void)
{
	Suite *s = suite_create("admin/snap");
	TCase *tc = tcase_create("snap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, sees_nothing_where_nothing_is);
	tcase_add_test(tc, copies_many_pools);
	tcase_add_test(tc, counts_servers_and_who_waits);
	suite_add_tcase(s, tc);
	return s;
}
