/* SPDX-License-Identifier: ISC */
#include "host.h"

#include <stdio.h>
#include <string.h>

struct host host;

static struct monitor_actions *fresh(void)
{
	host.todo = (struct monitor_actions){ 0 };
	return &host.todo;
}

static void share_begin(int index, const char *name, enum share_kind kind)
{
	share_init(&host.shares[index], name);
	monitor_share_add(&host.m, &host.shares[index]);
	monitor_share_set(&host.m, &host.shares[index], kind, 0, 4, 1);
}

void host_begin(void)
{
	const struct monitor_limits limits = {
		.budget = 4, .connecting_max = 16, .retry_us = 100 * MSEC
	};

	memset(&host, 0, sizeof(host));
	ck_assert_int_eq(monitor_init(&host.m, &limits), 0);
	host.now = 1000 * UINT64_C(1000000);
	share_begin(WEB, "web", SHARE_TRANSIENT);
	share_begin(JOBS, "jobs", SHARE_LASTING);
	for (int p = 0; p < POOL_COUNT; p++) {
		pool_init(&host.pools[p], &host.m, NULL);
		monitor_pool_add(&host.m, &host.pools[p]);
		for (int s = 0; s < SHARE_COUNT; s++) {
			slice_init(&host.slices[p][s], &host.pools[p], &host.shares[s]);
			monitor_slice_add(&host.m, &host.slices[p][s]);
		}
	}
}

void host_end(void)
{
	monitor_check(&host.m);
	monitor_finish(&host.m);
}

void host_limits(uint32_t budget, uint32_t connecting_max)
{
	const struct monitor_limits limits = {
		.budget = budget, .connecting_max = connecting_max, .retry_us = 100 * MSEC
	};

	monitor_set_limits(&host.m, &limits);
}

void host_share(int share, uint32_t guaranteed, uint32_t max)
{
	monitor_share_set(&host.m, &host.shares[share], host.shares[share].kind,
		guaranteed, max, 1);
}

struct slice *host_slice(int pool, int share)
{
	return &host.slices[pool][share];
}

void host_wait(uint64_t us)
{
	host.now += us;
}

enum lease_verdict ask(struct lease *l, struct slice *slice)
{
	enum lease_verdict verdict;

	verdict = monitor_request(&host.m, l, slice, host.now, fresh());
	monitor_check(&host.m);
	return verdict;
}

void withdraw(struct lease *l)
{
	monitor_withdraw(&host.m, l, host.now, fresh());
	monitor_check(&host.m);
	ck_assert_int_eq(l->state, LEASE_NONE);
}

struct lease *inbox(uint32_t worker)
{
	bool refused;
	struct lease *l = monitor_inbox_take(&host.m, worker, &refused);

	if (l != NULL)
		ck_assert_int_eq(l->state, refused ? LEASE_NONE : LEASE_HELD);
	return l;
}

struct pool_server *begin_open(void)
{
	for (uint32_t i = 0; i < host.todo.count; i++) {
		struct monitor_action *a = &host.todo.list[i];
		struct pool_server *s;

		if (a->verb != MONITOR_OPEN || a->slice == NULL)
			continue;
		ck_assert_uint_lt(host.server_count, HOST_SERVERS);
		s = &host.servers[host.server_count++];
		pool_server_init(s, 0);
		monitor_connecting(&host.m, s, a->slice, &a->unit);
		a->slice = NULL;
		return s;
	}
	return NULL;
}

struct pool_server *to_close(void)
{
	if (todo_count(MONITOR_CLOSE) != 1)
		return NULL;
	for (uint32_t i = 0; i < host.todo.count; i++) {
		if (host.todo.list[i].verb == MONITOR_CLOSE)
			return host.todo.list[i].server;
	}
	return NULL;
}

uint32_t todo_count(enum monitor_verb verb)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < host.todo.count; i++)
		count += host.todo.list[i].verb == verb;
	return count;
}

void ready(struct pool_server *s)
{
	monitor_ready(&host.m, s, host.now, fresh());
	monitor_check(&host.m);
}

void refuse(struct pool_server *s, enum connect_failure failure, const char *sqlstate)
{
	struct pool_error error = { .message = "no" };

	(void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
	monitor_connect_failed(&host.m, s, failure, &error, host.now, fresh());
	monitor_check(&host.m);
}

void postpone(struct pool_server *s)
{
	monitor_postponed(&host.m, s, host.now, fresh());
	monitor_check(&host.m);
}

void fetched(int pool, const char *sqlstate)
{
	struct pool_error error = { .message = "no" };

	if (sqlstate != NULL)
		(void)snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", sqlstate);
	monitor_fetched(&host.m, &host.pools[pool], sqlstate == NULL ? NULL : &error,
		host.now, fresh());
	monitor_check(&host.m);
}

void give_back(struct pool_server *s)
{
	monitor_return(&host.m, s, host.now, fresh());
	monitor_check(&host.m);
}

void gone(struct pool_server *s)
{
	monitor_gone(&host.m, s, host.now, fresh());
	monitor_check(&host.m);
}

bool upkeep(void)
{
	bool more = monitor_upkeep(&host.m, host.now, fresh());

	monitor_check(&host.m);
	return more;
}

struct pool_server *hold(struct lease *l, struct slice *slice)
{
	struct pool_server *s;

	ck_assert_int_eq(ask(l, slice), LEASE_VERDICT_WAIT);
	s = begin_open();
	ck_assert_ptr_nonnull(s);
	ready(s);
	ck_assert_ptr_eq(inbox(l->worker), l);
	ck_assert_ptr_eq(l->server, s);
	return s;
}

struct pool_server *idle_server(struct slice *slice)
{
	struct lease l;
	struct pool_server *s;

	lease_init(&l, 0, 0);
	s = hold(&l, slice);
	give_back(s);
	ck_assert_int_eq(s->state, SERVER_IDLE);
	return s;
}

void wait_in(struct lease *l, struct slice *slice)
{
	ck_assert_int_eq(ask(l, slice), LEASE_VERDICT_WAIT);
	ck_assert_int_eq(l->state, LEASE_WAITING);
}
