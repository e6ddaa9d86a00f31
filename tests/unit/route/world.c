/* SPDX-License-Identifier: ISC */
#include "world.h"

#include <stdlib.h>
#include <string.h>

struct directory *directory;
_Atomic int world_sessions;

/* --- the directory -------------------------------------------------------------- */

static void *session_create(struct route_pool *pool)
{
	(void)pool;
	world_sessions++;
	return malloc(1);
}

static void session_destroy(void *session)
{
	world_sessions--;
	free(session);
}

struct config *world_config(const char *text)
{
	struct diag diag = { .text = "" };
	struct config *config =
		config_load_memory(text, strlen(text), "test.yaml", &diag);

	ck_assert_msg(config != NULL, "%u:%u: %s", diag.line, diag.column, diag.text);
	return config;
}

void world_begin(const char *text)
{
	static const struct directory_hooks hooks = { session_create, session_destroy };
	struct config *config = world_config(text);
	struct diag diag = { .text = "" };

	world_sessions = 0;
	ck_assert_msg(directory_create(&directory, config, 2, &hooks, &diag) == 0, "%s",
		diag.text);
	config_unref(config);
}

void world_end(void)
{
	directory_destroy(&directory);
	ck_assert_ptr_null(directory);
	ck_assert_int_eq(world_sessions, 0);
}

bool world_try_reload(const char *text)
{
	struct config *config = world_config(text);
	struct diag diag = { .text = "" };
	struct directory_next *next;
	int ret = directory_prepare(directory, config, &next, &diag);

	if (ret == 0)
		ret = directory_commit(directory, &next, &diag);
	ck_assert_ptr_null(next);
	config_unref(config);
	ck_assert((ret < 0) == diag_is_set(&diag));
	return ret == 0;
}

void world_reload(const char *text)
{
	ck_assert(world_try_reload(text));
}

/* --- clients -------------------------------------------------------------------- */

struct route_workload *world_workload(const char *name)
{
	struct route_workload *w = directory_current_workload(directory, name);

	ck_assert_ptr_nonnull(w);
	return w;
}

enum route_result world_ask(const char *workload, const char *database, const char *user,
	struct route **out)
{
	return directory_find(directory, world_workload(workload), database, user, out);
}

struct route *world_route(const char *workload, const char *database, const char *user)
{
	struct route *route;

	ck_assert_int_eq(world_ask(workload, database, user, &route), ROUTE_OK);
	return route;
}

struct route_pool *world_pool(const char *workload, const char *database,
	const char *user)
{
	struct route *route = world_route(workload, database, user);
	struct route_pool *pool = route->pool;

	route_leave(route);
	return pool;
}

/* --- servers -------------------------------------------------------------------- */

void world_hold(struct route *r, struct lease *lease)
{
	struct monitor *m = &r->host->monitor;
	struct monitor_actions actions = { .count = 0 };
	enum lease_verdict verdict;
	bool refused;

	lease_init(lease, 0, 1);
	verdict = monitor_request(m, lease, r->slice, 1, &actions);
	if (verdict == LEASE_VERDICT_HELD)
		return;
	ck_assert_int_eq(verdict, LEASE_VERDICT_WAIT);
	for (uint32_t i = 0; i < actions.count; i++) {
		struct monitor_actions more = { .count = 0 };
		struct pool_server *s = calloc(1, sizeof(*s));

		ck_assert_int_eq(actions.list[i].verb, MONITOR_OPEN);
		ck_assert_ptr_nonnull(s);
		pool_server_init(s, 0);
		monitor_connecting(m, s, actions.list[i].slice, &actions.list[i].unit);
		monitor_ready(m, s, 1, &more);
	}
	ck_assert_ptr_eq(monitor_inbox_take(m, 0, &refused), lease);
	ck_assert(!refused);
}

static void gone(struct monitor *m, struct pool_server *s)
{
	struct monitor_actions actions = { .count = 0 };

	monitor_gone(m, s, 2, &actions);
	ck_assert_uint_eq(actions.count, 0);
	free(s);
}

/* What was to be closed is closed. */
static uint32_t close_all(struct monitor *m, const struct monitor_actions *actions)
{
	uint32_t closed = 0;

	for (uint32_t i = 0; i < actions->count; i++) {
		ck_assert_int_eq(actions->list[i].verb, MONITOR_CLOSE);
		gone(m, actions->list[i].server);
		closed++;
	}
	return closed;
}

struct pool_server *world_give_back(struct lease *lease)
{
	struct monitor *m = lease->slice->pool->monitor;
	struct monitor_actions actions = { .count = 0 };
	struct pool_server *s = lease->server;

	monitor_return(m, s, 2, &actions);
	return close_all(m, &actions) > 0 ? NULL : s;
}

uint32_t world_close_retired(struct route_host *h)
{
	struct monitor_actions actions;
	uint32_t closed = 0;
	bool more = true;

	while (more) {
		actions = (struct monitor_actions){ .count = 0 };
		more = monitor_upkeep(&h->monitor, 3, &actions);
		closed += close_all(&h->monitor, &actions);
	}
	return closed;
}

static void count_pool(const struct pool *pool, void *arg)
{
	(void)pool;
	++*(uint32_t *)arg;
}

uint32_t world_pools(struct route_host *h)
{
	uint32_t count = 0;

	monitor_each_pool(&h->monitor, count_pool, &count);
	return count;
}
