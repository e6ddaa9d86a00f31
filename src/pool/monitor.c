/* SPDX-License-Identifier: ISC */
/*
 * The operations on a host's monitor: each takes the lock, changes states
 * (monitor_state.c), lets the rules decide (monitor_choose.c), and answers with
 * what is left to do.
 */
#include "pool/monitor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "pool/monitor_priv.h"

static void lock(struct monitor *m)
{
	pthread_mutex_lock(&m->lock);
}

static void unlock(struct monitor *m)
{
	pthread_mutex_unlock(&m->lock);
}

int monitor_init(struct monitor *m, const struct monitor_limits *limits)
{
	int ret;

	memset(m, 0, sizeof(*m));
	ret = pthread_mutex_init(&m->lock, NULL);
	if (ret != 0)
		return -ret;
	m->limits = *limits;
	m->budget.limit = limits->budget;
	list_init(&m->pools);
	list_init(&m->servers);
	for (size_t i = 0; i < MONITOR_WORKERS_MAX; i++)
		list_init(&m->inbox[i]);
	rand_small_init(&m->rand, (uint64_t)(uintptr_t)m);
	return 0;
}

void monitor_finish(struct monitor *m)
{
	pthread_mutex_destroy(&m->lock);
}

void monitor_set_limits(struct monitor *m, const struct monitor_limits *limits)
{
	lock(m);
	m->limits = *limits;
	m->budget.limit = limits->budget;
	unlock(m);
}

void monitor_share_add(struct monitor *m, struct share *share)
{
	lock(m);
	assert(m->budget.share_count < BUDGET_SHARES_MAX);
	share->index = m->budget.share_count;
	m->budget.shares[m->budget.share_count++] = share;
	unlock(m);
}

void monitor_share_set(struct monitor *m, struct share *share, enum share_kind kind,
	uint32_t guaranteed, uint32_t max, uint32_t weight)
{
	lock(m);
	share->kind = kind;
	share->guaranteed = guaranteed;
	share->max = max;
	share->weight = weight;
	unlock(m);
}

void monitor_pool_add(struct monitor *m, struct pool *pool)
{
	lock(m);
	list_push_back(&m->pools, &pool->in_monitor);
	unlock(m);
}

/* Nobody uses it, but by it the host is tried again, or views tell why nobody got in:
 * the latter until it is asked for the second time. */
static bool is_to_stay(const struct monitor *m, struct pool *pool)
{
	const struct slice *failed = m->failed_slice;
	bool was_told = pool->is_told;

	if (failed != NULL && failed->pool == pool && m->failures > 0 && failed->share->max > 0)
		return true;
	pool->is_told = true;
	return pool->failures != 0 && !was_told;
}

bool monitor_pool_remove(struct monitor *m, struct pool *pool)
{
	bool unused = true;

	lock(m);
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct slice *slice = pool->slices[i];

		if (slice != NULL &&
			(slice->clients > 0 || slice->waiting > 0 || slice->coming > 0))
			unused = false;
	}
	unused = unused && pool->servers == 0 && pool->fetching == 0 && !is_to_stay(m, pool);
	if (unused)
		list_remove(&pool->in_monitor);
	if (unused && m->failed_slice != NULL && m->failed_slice->pool == pool)
		m->failed_slice = NULL;
	unlock(m);
	return unused;
}

void monitor_slice_add(struct monitor *m, struct slice *slice)
{
	lock(m);
	slice->pool->slices[slice->share->index] = slice;
	unlock(m);
}

void monitor_slice_set_limits(
	struct monitor *m, struct slice *slice, const struct slice_limits *limits)
{
	lock(m);
	slice->limits = *limits;
	unlock(m);
}

void monitor_quota_set(struct monitor *m, struct quota *quota, uint32_t max)
{
	lock(m);
	quota->max = max;
	unlock(m);
}

void monitor_client_count(struct monitor *m, struct slice *slice, int change)
{
	lock(m);
	if (change < 0) {
		assert(slice->clients > 0);
		slice->clients--;
	} else {
		slice->clients++;
	}
	unlock(m);
}

/* --- leases ------------------------------------------------------------------ */

/* Is there a server that could be returned, or is to log in? */
static bool pool_has_servers(const struct monitor *m, const struct pool *pool)
{
	if (pool->fetching > 0)
		return true;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct slice *slice = pool->slices[i];

		if (slice != NULL && slice->servers > slice->closing)
			return true;
	}
	return false;
}

/* Nobody gets in, and there is nothing to wait for. */
static bool pool_is_refused(
	const struct monitor *m, const struct pool *pool, uint64_t now_us)
{
	return pool->failures != 0 && now_us < pool->retry_at_us &&
		!pool_has_servers(m, pool);
}

/* Nobody of its pool waits: who comes next takes what is idle. */
static bool take_idle_at_once(struct monitor *m, struct lease *l, struct slice *slice,
	uint64_t now_us, struct monitor_actions *actions)
{
	struct pool_server *s;
	struct slice *from;

	if (slice->pool->waiting > 0 || slice->pool->is_paused)
		return false;
	s = choose_idle(m, l, slice);
	if (s == NULL)
		return false;
	from = s->slice;
	l->slice = slice;
	if (!l->is_back)
		l->asked_at_us = now_us;
	lease_hold(m, l, s, now_us);
	/* The other workload has one less: perhaps it may open one now. */
	if (from != slice)
		choose_openings(m, now_us, actions);
	return true;
}

enum lease_verdict monitor_request(struct monitor *m, struct lease *l,
	struct slice *slice, uint64_t now_us, struct monitor_actions *actions)
{
	enum lease_verdict verdict = LEASE_VERDICT_WAIT;

	lock(m);
	assert(l->state == LEASE_NONE);
	if (take_idle_at_once(m, l, slice, now_us, actions)) {
		verdict = LEASE_VERDICT_HELD;
	} else if (pool_is_refused(m, slice->pool, now_us)) {
		verdict = LEASE_VERDICT_ERROR;
	} else if (slice->limits.waiting_max != 0 && !l->is_back &&
		slice->waiting >= slice->limits.waiting_max) {
		verdict = LEASE_VERDICT_FULL;
	} else {
		l->is_claim = share_is_below_floor(slice->share) &&
			m->budget.used >= m->budget.limit;
		lease_enqueue(m, l, slice, now_us);
		choose_openings(m, now_us, actions);
		if (l->state == LEASE_GRANTED) {
			list_remove(&l->in_slice);
			l->state = LEASE_HELD;
			verdict = LEASE_VERDICT_HELD;
		}
	}
	l->is_back = false;
	unlock(m);
	return verdict;
}

/* The server is clean, detached and nobody's. */
static void pass_on(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	server_end_lease(s);
	s->client_id = 0;
	/* Whoever it was promised to is among those who are chosen from. */
	server_promise(s, NULL);
	choose_for_server(m, s, now_us, actions);
	choose_openings(m, now_us, actions);
}

void monitor_withdraw(struct monitor *m, struct lease *l, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct pool_server *s = NULL;

	lock(m);
	assert(l->state != LEASE_HELD);
	if (l->state == LEASE_WAITING)
		lease_dequeue(m, l);
	if (l->state == LEASE_GRANTED)
		s = l->server;
	if (l->state != LEASE_NONE) {
		list_remove(&l->in_slice);
		l->state = LEASE_NONE;
	}
	if (s != NULL)
		pass_on(m, s, now_us, actions);
	unlock(m);
}

struct lease *monitor_inbox_take(struct monitor *m, uint32_t worker, bool *refused)
{
	struct list_node *node;
	struct lease *l = NULL;

	lock(m);
	node = list_pop_front(&m->inbox[worker]);
	if (node != NULL) {
		l = container_of(node, struct lease, in_slice);
		*refused = l->state == LEASE_REFUSED;
		l->state = *refused ? LEASE_NONE : LEASE_HELD;
	}
	unlock(m);
	return l;
}

bool monitor_has_waiters(struct monitor *m, const struct slice *slice)
{
	bool waiting;

	lock(m);
	/* Of other pools too: a lease that goes on and on would never give back
	 * what a workload below its floor has a right to. */
	(void)slice;
	waiting = m->waiting > 0;
	unlock(m);
	return waiting;
}

/* --- servers ----------------------------------------------------------------- */

void monitor_connecting(
	struct monitor *m, struct pool_server *s, struct slice *slice, struct unit *unit)
{
	lock(m);
	assert(unit->share == slice->share);
	s->unit = unit_move(unit);
	s->id = ++m->next_server_id;
	s->slice = slice;
	s->epoch = slice->pool->epoch;
	list_push_back(&m->servers, &s->in_monitor);
	unlock(m);
}

void monitor_describe(struct monitor *m, struct pool_server *s, uint32_t backend_pid,
	uint16_t local_port, const char *tls)
{
	char text[sizeof(s->tls)] = "";

	(void)snprintf(text, sizeof(text), "%s", tls);
	lock(m);
	s->backend_pid = backend_pid;
	s->local_port = local_port;
	memcpy(s->tls, text, sizeof(s->tls));
	unlock(m);
}

static void slice_lost_server(struct monitor *m, struct slice *slice, struct unit *unit)
{
	slice->servers--;
	slice->pool->servers--;
	slice_count_quotas(slice, -1);
	budget_free(&m->budget, unit);
}

void monitor_open_failed(struct monitor *m, struct slice *slice, struct unit *unit,
	uint64_t now_us, struct monitor_actions *actions)
{
	lock(m);
	slice->connecting--;
	slice->pool->connecting--;
	m->connecting--;
	slice_lost_server(m, slice, unit);
	if (m->retry_at_us < now_us + m->limits.retry_us)
		m->retry_at_us = now_us + m->limits.retry_us;
	choose_openings(m, now_us, actions);
	unlock(m);
}

/* A lifetime of its own for each, so that they do not all end at once. */
static uint64_t expiry(struct monitor *m, uint64_t lifetime_us, uint64_t now_us)
{
	if (lifetime_us == 0)
		return 0;
	return now_us + lifetime_us - rand_small_below(&m->rand, lifetime_us / 10 + 1);
}

static void host_answers(struct monitor *m)
{
	m->failures = 0;
	m->retry_at_us = 0;
	m->error.sqlstate[0] = '\0';
	m->failed_slice = NULL;
}

void monitor_ready(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct pool *pool;

	lock(m);
	pool = s->slice->pool;
	pool->failures = 0;
	pool->retry_at_us = 0;
	pool->was_ready = true;
	host_answers(m);
	s->connected_at_us = now_us;
	s->used_at_us = now_us;
	s->expires_at_us = expiry(m, s->slice->limits.lifetime_us, now_us);
	pass_on(m, s, now_us, actions);
	unlock(m);
}

static uint64_t backoff(struct monitor *m, uint32_t failures)
{
	uint64_t delay = m->limits.retry_us;

	while (failures-- > 1 && delay < MONITOR_BACKOFF_MAX_US)
		delay *= 2;
	delay = u64_min(delay, MONITOR_BACKOFF_MAX_US);
	return delay / 2 + rand_small_below(&m->rand, delay / 2 + 1);
}

static void refuse_waiters(
	struct monitor *m, struct pool *pool, struct monitor_actions *actions)
{
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct slice *slice = pool->slices[i];

		while (slice != NULL && slice->waiting > 0) {
			struct lease *l = container_of(
				list_first(&slice->waiters), struct lease, in_slice);

			lease_dequeue(m, l);
			lease_post(m, l, LEASE_REFUSED, actions);
		}
	}
}

static void login_failed(struct monitor *m, struct pool *pool,
	const struct pool_error *error, uint64_t now_us, struct monitor_actions *actions)
{
	pool->error = *error;
	pool->is_told = false;
	pool->failures++;
	pool->retry_at_us = now_us + backoff(m, pool->failures);
	/* As many as the role may have live: they come back. */
	if (!pool_has_servers(m, pool))
		refuse_waiters(m, pool, actions);
}

void monitor_connect_failed(struct monitor *m, struct pool_server *s,
	enum connect_failure failure, const struct pool_error *error, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct pool *pool;

	lock(m);
	pool = s->slice->pool;
	server_enter(m, s, SERVER_CLOSING);
	m->failed[failure]++;
	if (failure == CONNECT_FAILED_LOGIN) {
		/* A host that refuses a login is there. */
		host_answers(m);
		login_failed(m, pool, error, now_us, actions);
	} else {
		m->denied += failure == CONNECT_FAILED_DENIED;
		m->error = *error;
		m->failed_slice = s->slice;
		/* Several connects that fail together are one failure. */
		if (now_us >= m->retry_at_us)
			m->failures++;
		m->retry_at_us = now_us + backoff(m, m->failures);
	}
	/* There is room for another connect. */
	choose_openings(m, now_us, actions);
	unlock(m);
}

void monitor_proven(struct monitor *m, struct pool *pool)
{
	lock(m);
	pool->failures = 0;
	pool->retry_at_us = 0;
	unlock(m);
}

static void server_leaves(struct monitor *m, struct pool_server *s)
{
	server_enter(m, s, SERVER_GONE);
	list_remove(&s->in_monitor);
	slice_lost_server(m, s->slice, &s->unit);
}

void monitor_postponed(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	lock(m);
	assert(s->state == SERVER_CONNECTING);
	s->slice->pool->fetching++;
	server_leaves(m, s);
	choose_openings(m, now_us, actions);
	unlock(m);
}

void monitor_fetched(struct monitor *m, struct pool *pool, const struct pool_error *error,
	uint64_t now_us, struct monitor_actions *actions)
{
	lock(m);
	assert(pool->fetching > 0);
	pool->fetching--;
	if (error == NULL) {
		pool->fetched_at_us = now_us;
	} else if (pool->fetching == 0) {
		m->failed[CONNECT_FAILED_LOGIN]++;
		login_failed(m, pool, error, now_us, actions);
	}
	choose_openings(m, now_us, actions);
	unlock(m);
}

void monitor_return(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	lock(m);
	if (s->state != SERVER_CHECKING)
		s->used_at_us = now_us;
	pass_on(m, s, now_us, actions);
	unlock(m);
}

void monitor_cleaning(struct monitor *m, struct pool_server *s)
{
	lock(m);
	server_end_lease(s);
	s->client_id = 0;
	/* Where it is cleaned as it is looked at, it goes back to its place. */
	if (s->state != SERVER_CLEANING && s->state != SERVER_CHECKING)
		server_enter(m, s, SERVER_CLEANING);
	unlock(m);
}

void monitor_closing(struct monitor *m, struct pool_server *s)
{
	lock(m);
	server_end_lease(s);
	s->client_id = 0;
	if (s->state != SERVER_CLOSING)
		server_enter(m, s, SERVER_CLOSING);
	unlock(m);
}

void monitor_gone(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	lock(m);
	server_end_lease(s);
	server_leaves(m, s);
	choose_openings(m, now_us, actions);
	unlock(m);
}

bool monitor_last_error(
	struct monitor *m, const struct pool *pool, struct pool_error *out)
{
	bool found = true;

	lock(m);
	if (pool->failures != 0)
		*out = pool->error;
	else if (m->error.sqlstate[0] != '\0')
		*out = m->error;
	else
		found = false;
	unlock(m);
	return found;
}

void monitor_refusal(struct monitor *m, const struct pool *pool, struct pool_error *out)
{
	lock(m);
	*out = pool->error;
	unlock(m);
}
