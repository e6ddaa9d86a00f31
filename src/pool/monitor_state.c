/* SPDX-License-Identifier: ISC */
/*
 * The states of servers and leases, and the counts that follow from them.
 * Nothing else assigns to either.
 *
 * Thread: under the monitor's lock.
 */
#include <assert.h>

#include "pool/monitor_priv.h"

#define TO(state) (1u << SERVER_##state)

static const unsigned legal_next[SERVER_STATE_COUNT] = {
#define SERVER_STATE(name, show, next) [SERVER_##name] = (next),
#include "server_states.def"
#undef SERVER_STATE
};

/* Last used first.  One that comes back from a look keeps its place. */
static void idle_insert(struct pool *pool, struct pool_server *s)
{
	struct list_node *after = pool->idle.head.prev;

	if (!list_is_empty(&pool->idle) &&
		s->used_at_us >= server_of_idle(list_first(&pool->idle))->used_at_us)
		after = &pool->idle.head;
	while (after != &pool->idle.head &&
		server_of_idle(after)->used_at_us < s->used_at_us)
		after = after->prev;
	list_insert_after(after, &s->in_idle);
}

static void idle_count(struct monitor *m, struct pool_server *s, bool more)
{
	struct pool *pool = s->slice->pool;
	struct pool_server **known = pool_known(pool, s->last_client);

	if (more) {
		idle_insert(pool, s);
		if (s->last_client != 0)
			*known = s;
		pool->idle_count++;
		s->slice->share->idle++;
		m->idle++;
		return;
	}
	list_remove(&s->in_idle);
	if (*known == s)
		*known = NULL;
	pool->idle_count--;
	s->slice->share->idle--;
	m->idle--;
}

static void closing_count(struct monitor *m, struct pool_server *s, bool more)
{
	uint32_t change = more ? 1 : UINT32_MAX;

	m->closing += change;
	s->slice->closing += change;
	s->slice->share->closing += change;
	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		if (s->slice->quotas[i] != NULL)
			s->slice->quotas[i]->closing += change;
	}
}

void server_promise(struct pool_server *s, struct slice *to)
{
	struct slice *was = s->promised_to;

	if (was != NULL) {
		was->coming--;
		was->share->incoming -= was->share != s->unit.share;
		s->unit.share->outgoing -= was->share != s->unit.share;
	}
	s->promised_to = to;
	if (to != NULL) {
		to->coming++;
		to->share->incoming += to->share != s->unit.share;
		s->unit.share->outgoing += to->share != s->unit.share;
	}
}

void server_enter(struct monitor *m, struct pool_server *s, enum server_state next)
{
	struct slice *slice = s->slice;

	assert((legal_next[s->state] & (1u << next)) != 0);
	if (s->state == SERVER_IDLE)
		idle_count(m, s, false);
	if (s->state == SERVER_CONNECTING) {
		m->connecting--;
		slice->pool->connecting--;
		slice->connecting--;
	}
	if (s->state == SERVER_CLOSING)
		closing_count(m, s, false);
	/* Kept, or free for whoever comes first. */
	if (next != SERVER_CLEANING && next != SERVER_CLOSING)
		server_promise(s, NULL);
	s->state = next;
	if (next == SERVER_IDLE)
		idle_count(m, s, true);
	if (next == SERVER_CLOSING)
		closing_count(m, s, true);
}

void slice_count_quotas(struct slice *slice, int change)
{
	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		struct quota *quota = slice->quotas[i];

		if (quota == NULL)
			continue;
		assert(change > 0 || quota->used > 0);
		quota->used = change > 0 ? quota->used + 1 : quota->used - 1;
	}
}

void server_end_lease(struct pool_server *s)
{
	struct lease *lease = s->lease;

	if (lease == NULL)
		return;
	assert(lease->server == s);
	/* A server in somebody's inbox is in nobody's hands. */
	assert(lease->state != LEASE_GRANTED);
	lease_unpin(lease);
	lease->slice->leased--;
	lease->server = NULL;
	lease->state = LEASE_NONE;
	s->lease = NULL;
}

void server_set_slice(struct monitor *m, struct pool_server *s, struct slice *to)
{
	struct slice *from = s->slice;

	(void)m;
	if (from == to)
		return;
	assert(s->state != SERVER_IDLE && s->state != SERVER_CONNECTING);
	assert(from->pool == to->pool);
	if (from->share != to->share)
		budget_lend(&s->unit, to->share);
	slice_count_quotas(from, -1);
	slice_count_quotas(to, 1);
	from->servers--;
	to->servers++;
	s->slice = to;
}

/* Who waits in a paused pool is not to be served. */
static uint32_t *waiting_count(struct monitor *m, const struct pool *pool)
{
	return pool->is_paused ? &m->held : &m->waiting;
}

void pool_hold(struct monitor *m, struct pool *pool, bool is_paused)
{
	*waiting_count(m, pool) -= pool->waiting;
	pool->is_paused = is_paused;
	*waiting_count(m, pool) += pool->waiting;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct slice *slice = pool->slices[i];

		if (slice == NULL || slice->waiting == 0)
			continue;
		if (is_paused)
			list_remove(&slice->in_hungry);
		else
			list_push_back(&slice->share->hungry, &slice->in_hungry);
	}
}

static void tell_waiting(struct pool *pool)
{
	atomic_store_explicit(&pool->waiting_told, pool->waiting, memory_order_relaxed);
}

/* Workers read the clock before they take the lock: the order of the queue counts. */
static void join_queue(struct lease *l, struct slice *slice, uint64_t now_us)
{
	l->asked_at_us = now_us;
	if (slice->waiting > 0) {
		uint64_t last_us = lease_of_slice(list_last(&slice->waiters))->asked_at_us;

		if (last_us > now_us)
			l->asked_at_us = last_us;
	}
	list_push_back(&slice->waiters, &l->in_slice);
}

/* Who has been at the front is among the first. */
static void join_again(struct lease *l, struct slice *slice)
{
	struct list_node *earlier = NULL;

	list_for_each(&slice->waiters, node) {
		if (lease_of_slice(node)->asked_at_us > l->asked_at_us)
			break;
		earlier = node;
	}
	if (earlier != NULL)
		list_insert_after(earlier, &l->in_slice);
	else
		list_push_front(&slice->waiters, &l->in_slice);
}

void lease_enqueue(
	struct monitor *m, struct lease *l, struct slice *slice, uint64_t now_us)
{
	assert(l->state == LEASE_NONE);
	l->slice = slice;
	if (l->is_back)
		join_again(l, slice);
	else
		join_queue(l, slice, now_us);
	l->state = LEASE_WAITING;
	list_push_back(&slice->share->waiters, &l->in_share);
	if (slice->waiting++ == 0 && !slice->pool->is_paused)
		list_push_back(&slice->share->hungry, &slice->in_hungry);
	slice->share->waiting++;
	slice->pool->waiting++;
	tell_waiting(slice->pool);
	++*waiting_count(m, slice->pool);
}

void lease_dequeue(struct monitor *m, struct lease *l)
{
	struct slice *slice = l->slice;

	assert(l->state == LEASE_WAITING);
	list_remove(&l->in_slice);
	list_remove(&l->in_share);
	if (--slice->waiting == 0)
		list_remove(&slice->in_hungry);
	slice->share->waiting--;
	slice->pool->waiting--;
	tell_waiting(slice->pool);
	--*waiting_count(m, slice->pool);
	l->state = LEASE_NONE;
}

void lease_hold(
	struct monitor *m, struct lease *l, struct pool_server *s, uint64_t now_us)
{
	assert(l->state == LEASE_NONE);
	server_enter(m, s, SERVER_LEASED);
	server_set_slice(m, s, l->slice);
	s->lease = l;
	s->client_id = l->client_id;
	s->rested_us = now_us > s->used_at_us ? now_us - s->used_at_us : 0;
	s->used_at_us = now_us;
	l->server = s;
	l->state = LEASE_HELD;
	l->slice->leased++;
}

void lease_post(struct monitor *m, struct lease *l, enum lease_state state,
	struct monitor_actions *actions)
{
	l->state = state;
	list_push_back(&m->inbox[l->worker], &l->in_slice);
	actions->wake |= UINT64_C(1) << l->worker;
}
