/* SPDX-License-Identifier: ISC */
/*
 * Threads as workers on one monitor: each lease is told to its own worker,
 * exactly once, and no server is ever in two hands.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "pool/monitor.h"
#include "suites.h"

enum {
	WORKERS = 4,
	CLIENTS = 8, /* of each worker */
	BUDGET = 6,
	TURNS = 20000,
	SHARES = 2,
	POOLS = 2
};

struct thread_server {
	struct pool_server s;
	_Atomic int holders;
};

struct thread_client {
	struct lease lease;
	bool is_waiting;
	bool is_holding;
};

struct worker {
	pthread_t thread;
	uint32_t index;
	struct rand_small rand;
	struct thread_client clients[CLIENTS];
	uint64_t asked;	   /* and had to wait */
	uint64_t answered; /* by the inbox */
	uint64_t withdrawn;
};

static struct monitor monitor;
static struct share shares[SHARES];
static struct pool pools[POOLS];
static struct slice slices[POOLS][SHARES];
static struct worker workers[WORKERS];
static pthread_barrier_t all_are_there;
static _Atomic uint64_t clock_us = 1000000;
static _Atomic int wrong; /* ck_assert is not for threads */

static void expect(bool is_right)
{
	if (!is_right)
		atomic_fetch_add(&wrong, 1);
}

static uint64_t now(void)
{
	return atomic_fetch_add(&clock_us, 7);
}

static void server_close(struct thread_server *server, struct monitor_actions *actions)
{
	expect(atomic_load(&server->holders) == 0);
	*actions = (struct monitor_actions){ 0 };
	monitor_gone(&monitor, &server->s, now(), actions);
	free(server);
}

static void server_open(
	struct slice *slice, struct unit *unit, struct monitor_actions *actions)
{
	struct thread_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		abort();
	pool_server_init(&server->s, 0);
	monitor_connecting(&monitor, &server->s, slice, unit);
	*actions = (struct monitor_actions){ 0 };
	monitor_ready(&monitor, &server->s, now(), actions);
}

/* What is done may leave more to do. */
static void carry_out(struct monitor_actions *first)
{
	struct monitor_action left[8 * MONITOR_ACTIONS_MAX];
	size_t count = first->count;

	memcpy(left, first->list, count * sizeof(left[0]));
	while (count > 0) {
		struct monitor_action a = left[--count];
		struct monitor_actions more;

		if (a.verb == MONITOR_CLOSE)
			server_close(
				container_of(a.server, struct thread_server, s), &more);
		else
			server_open(a.slice, &a.unit, &more);
		memcpy(&left[count], more.list, more.count * sizeof(left[0]));
		count += more.count;
	}
}

static void client_takes(struct thread_client *client)
{
	struct thread_server *server;

	expect(client->lease.state == LEASE_HELD && client->lease.server != NULL);
	server = container_of(client->lease.server, struct thread_server, s);
	expect(atomic_fetch_add(&server->holders, 1) == 0);
	client->is_holding = true;
}

static void client_asks(struct worker *w, struct thread_client *client)
{
	struct slice *slice = &slices[rand_small_below(&w->rand, POOLS)]
				     [rand_small_below(&w->rand, SHARES)];
	struct monitor_actions actions = { 0 };

	switch (monitor_request(&monitor, &client->lease, slice, now(), &actions)) {
	case LEASE_VERDICT_HELD:
		client_takes(client);
		break;
	case LEASE_VERDICT_WAIT:
		client->is_waiting = true;
		w->asked++;
		break;
	case LEASE_VERDICT_FULL:
	case LEASE_VERDICT_ERROR:
		expect(false);
		break;
	}
	carry_out(&actions);
}

static void client_returns(struct thread_client *client)
{
	struct monitor_actions actions = { 0 };
	struct thread_server *server;

	server = container_of(client->lease.server, struct thread_server, s);
	client->is_holding = false;
	expect(atomic_fetch_sub(&server->holders, 1) == 1);
	monitor_return(&monitor, &server->s, now(), &actions);
	expect(client->lease.state == LEASE_NONE);
	carry_out(&actions);
}

static void client_withdraws(struct worker *w, struct thread_client *client)
{
	struct monitor_actions actions = { 0 };

	monitor_withdraw(&monitor, &client->lease, now(), &actions);
	client->is_waiting = false;
	w->withdrawn++;
	carry_out(&actions);
}

static void take_inbox(struct worker *w)
{
	struct lease *l;
	bool refused;

	while ((l = monitor_inbox_take(&monitor, w->index, &refused)) != NULL) {
		struct thread_client *client =
			container_of(l, struct thread_client, lease);

		expect(client >= w->clients && client < w->clients + CLIENTS);
		expect(client->is_waiting && !refused);
		client->is_waiting = false;
		w->answered++;
		client_takes(client);
	}
}

/* Nobody is left waiting or with a server that others wait for. */
static void leave(struct worker *w)
{
	take_inbox(w);
	for (int i = 0; i < CLIENTS; i++) {
		if (w->clients[i].is_waiting)
			client_withdraws(w, &w->clients[i]);
		if (w->clients[i].is_holding)
			client_returns(&w->clients[i]);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	(void)pthread_barrier_wait(&all_are_there);
	for (int turn = 0; turn < TURNS; turn++) {
		struct thread_client *client =
			&w->clients[rand_small_below(&w->rand, CLIENTS)];

		take_inbox(w);
		if (client->is_holding)
			client_returns(client);
		else if (!client->is_waiting)
			client_asks(w, client);
		else if (rand_small_below(&w->rand, 16) == 0)
			client_withdraws(w, client);
		else
			(void)sched_yield();
		if (rand_small_below(&w->rand, 256) == 0)
			monitor_check(&monitor);
	}
	leave(w);
	return NULL;
}

static void begin(void)
{
	const struct monitor_limits limits = { .budget = BUDGET,
		.connecting_max = BUDGET };

	ck_assert_int_eq(monitor_init(&monitor, &limits), 0);
	for (int i = 0; i < SHARES; i++) {
		share_init(&shares[i], "share");
		monitor_share_add(&monitor, &shares[i]);
		monitor_share_set(&monitor, &shares[i],
			i == 0 ? SHARE_TRANSIENT : SHARE_LASTING, 2, BUDGET, 1);
	}
	for (int p = 0; p < POOLS; p++) {
		pool_init(&pools[p], &monitor, NULL);
		monitor_pool_add(&monitor, &pools[p]);
		for (int i = 0; i < SHARES; i++) {
			slice_init(&slices[p][i], &pools[p], &shares[i]);
			monitor_slice_add(&monitor, &slices[p][i]);
		}
	}
	ck_assert_int_eq(pthread_barrier_init(&all_are_there, NULL, WORKERS), 0);
	memset(workers, 0, sizeof(workers));
	for (uint32_t i = 0; i < WORKERS; i++) {
		workers[i].index = i;
		rand_small_init(&workers[i].rand, i + 1);
		for (uint32_t k = 0; k < CLIENTS; k++)
			lease_init(&workers[i].clients[k].lease, i, k);
	}
}

/* All that was opened is closed. */
static void finish(void)
{
	struct monitor_actions actions;
	bool more = true;

	monitor_retire(&monitor, NULL);
	while (more) {
		actions = (struct monitor_actions){ 0 };
		more = monitor_upkeep(&monitor, now(), &actions);
		carry_out(&actions);
	}
}

START_TEST(every_grant_is_received_exactly_once)
{
	uint64_t answered = 0;

	begin();
	for (int i = 0; i < WORKERS; i++)
		ck_assert_int_eq(
			pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (int i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
	monitor_check(&monitor);
	finish();
	monitor_check(&monitor);
	ck_assert_int_eq(wrong, 0);
	ck_assert_uint_eq(monitor.budget.used, 0);
	for (int i = 0; i < WORKERS; i++) {
		const struct worker *w = &workers[i];

		answered += w->answered;
		ck_assert_uint_eq(w->asked, w->answered + w->withdrawn);
	}
	ck_assert_uint_gt(answered, 0);
	(void)pthread_barrier_destroy(&all_are_there);
	monitor_finish(&monitor);
}
END_TEST

Suite *threads_suite(void)
{
	Suite *s = suite_create("pool/threads");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, every_grant_is_received_exactly_once);
	suite_add_tcase(s, tc);
	return s;
}
