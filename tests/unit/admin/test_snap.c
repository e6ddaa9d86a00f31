/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/snap.h"
#include "config/config.h"
#include "session/server.h"
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

/* Two pools, two quotas of databases and of users, two workloads. */
static const char pools_of[2], quotas_of[4];

#define POOL(i)  ((const struct pool *)(const void *)&pools_of[i])
#define QUOTA(i) ((const struct quota *)(const void *)&quotas_of[i])

static struct snap_server server(uint64_t client, uint64_t since_us, unsigned pool,
	unsigned workload)
{
	return (struct snap_server){ .client_id = client,
		.used_us = since_us,
		.state = SERVER_LEASED,
		.pool = POOL(pool),
		.quotas = { QUOTA(pool), QUOTA(2 + workload) },
		.workload_index = workload };
}

static const struct {
	enum wait_reason reason;
	uint64_t client;                /* 0: nobody */
} holders[] = {
	{ WAIT_POOL, 13 },
	{ WAIT_TURN, 13 },
	{ WAIT_DATABASE, 13 },
	{ WAIT_USER, 12 },
	{ WAIT_WORKLOAD, 12 },
	{ WAIT_ELSEWHERE, 11 },
	{ WAIT_BUDGET, 11 },
	{ WAIT_FLOORS, 11 },
	{ WAIT_PAUSED, 0 },
	{ WAIT_CONNECTING, 0 },
	{ WAIT_CLOSING, 0 },
	{ WAIT_PASSWORD, 0 },
	{ WAIT_HOST, 0 },
	{ WAIT_LOGIN, 0 },
	{ WAIT_PACING, 0 },
};

START_TEST(names_who_is_in_the_way)
{
	/* Somebody of the other pool and workload was first; then one of the other pool;
	 * then one of its pool; one of its pool that is older is not leased. */
	struct snap_server rows[] = { server(10, 50, 0, 0), server(14, 500, 0, 0),
		server(13, 400, 0, 0), server(12, 300, 1, 0), server(11, 100, 1, 1),
		server(15, 5, 0, 0) };
	const struct snap_servers servers = { rows, COUNT_OF(rows) };
	struct snap_waiter waiter = { .pool = POOL(0),
		.quotas = { QUOTA(0), QUOTA(2) },
		.wait = { .reason = holders[_i].reason } };
	const struct snap_server *holder;

	rows[0].state = SERVER_IDLE;
	/* One of another host. */
	rows[5].host = directory_host(directory, 1);
	holder = snap_holder(&servers, &waiter);
	ck_assert_uint_eq(holder == NULL ? 0 : holder->client_id, holders[_i].client);
}
END_TEST

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
		route_leave(routes[i]);
}
END_TEST

START_TEST(counts_servers_and_who_waits)
{
	struct route *route = route_to(0, "db", "u");
	struct monitor *m = &route->host->monitor;
	struct monitor_actions actions = { .count = 0 };
	/* The view looks at what is around it, too. */
	struct server server = { .host = NULL };
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
	pool_server_init(&server.ps, 0);
	monitor_connecting(m, &server.ps, route->slice, &actions.list[0].unit);

	ck_assert_int_eq(snap_pools(directory, &pools), 0);
	ck_assert_uint_eq(pools.count, 1);
	ck_assert_uint_eq(pools.rows[0].waiting, 2);
	ck_assert_uint_eq(pools.rows[0].oldest_us, NOW);
	ck_assert_uint_eq(pools.rows[0].servers[SERVER_CONNECTING], 1);
	snap_pools_finish(&pools);

	server.ps.backend_pid = 4711;
	atomic_store(&server.prepared.count, 3);
	monitor_ready(m, &server.ps, NOW + 2, &actions);
	ck_assert_int_eq(snap_servers(directory, &servers), 0);
	ck_assert_uint_eq(servers.count, 1);
	ck_assert_int_eq(servers.rows[0].state, SERVER_LEASED);
	ck_assert_uint_eq(servers.rows[0].client_id, 71);
	ck_assert_uint_eq(servers.rows[0].backend_pid, 4711);
	ck_assert_uint_eq(servers.rows[0].connected_us, NOW + 2);
	ck_assert_uint_eq(servers.rows[0].prepared_statements, 3);
	ck_assert(!servers.rows[0].close_needed);
	ck_assert_str_eq(servers.rows[0].names.database, "db");
	snap_servers_finish(&servers);
	route_leave(route);
}
END_TEST

/* In several queues of both hosts; the router's own among them. */
START_TEST(copies_thousands_who_wait)
{
	enum { WAITERS = 5000, USERS = 7 };
	static struct lease leases[WAITERS];
	struct route *routes[USERS];
	struct monitor_actions actions = { .count = 0 };
	struct snap_waiters waiters;
	uint32_t errands = 0;

	for (int i = 0; i < USERS; i++) {
		char user[16];

		(void)snprintf(user, sizeof(user), "u%d", i);
		routes[i] = route_to(i % 2 == 0, i % 3 == 0 ? "far" : "near", user);
	}
	for (int i = 0; i < WAITERS; i++) {
		struct route *route = routes[i % USERS];

		lease_init(&leases[i], 0, 1000 + (uint64_t)i);
		leases[i].is_errand = i % 1000 == 0;
		actions.count = 0;
		/* The queues are filled one by one: the last ones have not waited least.
		 */
		ck_assert_int_eq(monitor_request(&route->host->monitor, &leases[i],
					 route->slice, NOW + (uint64_t)i, &actions),
			LEASE_VERDICT_WAIT);
	}
	ck_assert_int_eq(snap_waiters(directory, &waiters), 0);
	ck_assert_uint_eq(waiters.count, WAITERS);
	for (size_t i = 0; i < waiters.count; i++) {
		const struct snap_waiter *w = &waiters.rows[i];
		int number = atoi(w->names.user + 1);

		ck_assert_uint_eq(w->client_id, 1000 + i);
		ck_assert_uint_eq(w->wait.since_us, NOW + i);
		ck_assert_uint_eq(w->wait.position, i / USERS + 1);
		ck_assert_int_eq(number, (int)(i % USERS));
		ck_assert_str_eq(w->workload, number % 2 == 0 ? "jobs" : "web");
		ck_assert_str_eq(w->names.database, number % 3 == 0 ? "far" : "near");
		ck_assert_str_eq(w->host->name, number % 3 == 0 ? "two" : "one");
		errands += w->is_errand;
	}
	ck_assert_uint_eq(errands, WAITERS / 1000);
	snap_waiters_finish(&waiters);
	ck_assert_uint_eq(waiters.count, 0);
	for (int i = 0; i < USERS; i++)
		route_leave(routes[i]);
}
END_TEST

/* A unit is in one of the columns at every step of a server's life. */
START_TEST(adds_up_whatever_servers_do)
{
	struct route *route = route_to(0, "db", "u");
	struct monitor *m = &route->host->monitor;
	struct monitor_actions actions = { .count = 0 };
	struct pool_server server, *taken;
	struct lease lease;
	struct snap_budget b;
	bool refused;

	lease_init(&lease, 0, 71);
	ck_assert_int_eq(monitor_request(m, &lease, route->slice, NOW, &actions),
		LEASE_VERDICT_WAIT);
	/* Taken, and no server to see yet. */
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.shares[0].used, 1);
	ck_assert_uint_eq(b.shares[0].connecting, 1);
	ck_assert_uint_eq(b.shares[0].waiting, 1);
	ck_assert_uint_eq(b.shares[0].oldest_us, NOW);
	ck_assert_uint_eq(b.shares[0].weight, 1);
	pool_server_init(&server, 0);
	monitor_connecting(m, &server, route->slice, &actions.list[0].unit);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.connecting, 1);
	monitor_ready(m, &server, NOW + 1, &actions);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.leased, 1);
	ck_assert_uint_eq(b.connecting, 0);
	ck_assert_uint_eq(b.shares[0].oldest_us, 0);
	ck_assert_ptr_eq(monitor_inbox_take(m, 0, &refused), &lease);
	monitor_cleaning(m, &server);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.leased, 1);
	monitor_return(m, &server, NOW + 2, &actions);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.idle, 1);
	ck_assert_uint_eq(monitor_take_idle(m, NOW + 3, 0, &taken, 1), 1);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.idle, 1);
	monitor_closing(m, &server);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.idle + b.leased, 0);
	ck_assert_uint_eq(b.closing, 1);
	ck_assert_uint_eq(b.quarantined, 0);
	/* Since the beginning of the clock: long ago. */
	server.closing_since_us = 1;
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.quarantined, 1);
	monitor_gone(m, &server, NOW + 4, &actions);
	snap_budget(route->host, &b);
	ck_assert_uint_eq(b.used + b.closing + b.quarantined, 0);
	route_leave(route);
}
END_TEST

/* --- lending ------------------------------------------------------------------------ */

struct lending {
	const char *why;
	uint32_t limit;
	uint32_t count;
	struct {
		uint32_t guaranteed, used, lent;
	} shares[4];
};

static const struct lending lendings[] = {
	{ "nobody borrows", 10, 2, { { 4, 4, 0 }, { 6, 1, 0 } } },
	{ "what nobody is guaranteed comes first", 10, 2, { { 2, 4, 0 }, { 6, 0, 0 } } },
	{ "then what one leaves", 10, 2, { { 2, 7, 0 }, { 6, 0, 3 } } },
	{ "all of it", 10, 2, { { 4, 10, 0 }, { 6, 0, 6 } } },
	{ "in proportion", 12, 3, { { 0, 6, 0 }, { 4, 0, 2 }, { 8, 0, 4 } } },
	{ "to what is left", 12, 3, { { 0, 3, 0 }, { 4, 2, 1 }, { 8, 4, 2 } } },
	{ "whole ones", 9, 4, { { 0, 2, 0 }, { 3, 0, 0 }, { 3, 0, 1 }, { 3, 0, 1 } } },
	{ "a shrunk budget is nobody's loan", 6, 2, { { 4, 10, 0 }, { 2, 0, 2 } } },
	{ "floors above the budget", 5, 3, { { 4, 3, 0 }, { 4, 0, 3 }, { 0, 3, 0 } } },
};

START_TEST(finds_who_lends)
{
	const struct lending *l = &lendings[_i];
	struct snap_budget b = { .limit = l->limit, .share_count = l->count };

	for (uint32_t i = 0; i < l->count; i++)
		b.shares[i] = (struct snap_share){ .guaranteed = l->shares[i].guaranteed,
			.used = l->shares[i].used };
	snap_find_lent(&b);
	for (uint32_t i = 0; i < l->count; i++)
		ck_assert_msg(b.shares[i].lent == l->shares[i].lent,
			"%s: share %u lends %u", l->why, i, b.shares[i].lent);
}
END_TEST

/* Whatever the numbers: it adds up, and nobody lends what it uses or does not have. */
START_TEST(lends_no_more_than_there_is)
{
	uint32_t dice = 1;

	for (int round = 0; round < 3000; round++) {
		struct snap_budget b = { .share_count = 5 };
		uint32_t floors = 0, used = 0, borrowed = 0, lent = 0, unclaimed;

		for (uint32_t i = 0; i < b.share_count; i++) {
			dice = dice * 1664525 + 1013904223;
			b.shares[i].guaranteed = dice >> 28;
			b.shares[i].used = dice >> 8 & 15;
			floors += b.shares[i].guaranteed;
			used += b.shares[i].used;
		}
		b.limit = (floors > used ? floors : used) + (dice >> 16 & 7);
		snap_find_lent(&b);
		for (uint32_t i = 0; i < b.share_count; i++) {
			const struct snap_share *s = &b.shares[i];

			ck_assert_uint_le(s->lent + (uint64_t)s->used,
				size_max(s->guaranteed, s->used));
			borrowed += s->borrowed;
			lent += s->lent;
		}
		unclaimed = b.limit - floors;
		ck_assert_uint_eq(lent, borrowed > unclaimed ? borrowed - unclaimed : 0);
		ck_assert_uint_eq(lent, b.lent);
		ck_assert_uint_eq(borrowed, b.borrowed);
		ck_assert_uint_eq(floors, b.guaranteed);
	}
}
END_TEST

Suite *snap_suite(void)
{
	Suite *s = suite_create("admin/snap");
	TCase *tc = tcase_create("snap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, names_who_is_in_the_way, 0, (int)COUNT_OF(holders));
	tcase_add_test(tc, sees_nothing_where_nothing_is);
	tcase_add_test(tc, copies_many_pools);
	tcase_add_test(tc, counts_servers_and_who_waits);
	tcase_add_test(tc, copies_thousands_who_wait);
	tcase_add_test(tc, adds_up_whatever_servers_do);
	tcase_add_loop_test(tc, finds_who_lends, 0, (int)COUNT_OF(lendings));
	tcase_add_test(tc, lends_no_more_than_there_is);
	suite_add_tcase(s, tc);
	return s;
}
