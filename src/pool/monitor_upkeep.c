/* SPDX-License-Identifier: ISC */
/*
 * What happens without anybody asking: servers expire, pools keep their minimum,
 * idle servers are looked at; and the views.
 */
#include <assert.h>

#include "pool/monitor_priv.h"

/* What a replacement is opened ahead of, and how long before. */
enum {
	REPLACE_PART = 10, /* of the lifetime */
	REPLACE_AHEAD_MIN_US = 1250000, /* somebody looks within that */
	REPLACE_AHEAD_MAX_US = 5000000,
	RESERVE_IDLE_US = 1000000 /* the reserve is for bursts: it goes soon */
};

static bool is_of_reserve(const struct slice *slice)
{
	return slice->limits.servers_max != 0 && slice->limits.reserve != 0 &&
		slice->servers - slice->closing > slice->limits.servers_max;
}

static bool has_expired(const struct pool_server *s, uint64_t now_us, enum server_end *why)
{
	const struct slice *slice = s->slice;
	uint64_t idle_timeout = slice->limits.idle_timeout_us;
	uint64_t idle_us = elapsed_us(now_us, s->used_at_us);

	if (choose_is_over(s, now_us, why))
		return true;
	*why = SERVER_END_IDLE;
	if (is_of_reserve(slice) && idle_us >= RESERVE_IDLE_US)
		return true;
	return idle_timeout != 0 && idle_us >= idle_timeout &&
		slice->servers - slice->closing > slice->limits.servers_min;
}

static void expire_pool(struct monitor *m, struct pool *pool, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct list_node *node = pool->idle.head.prev;

	/* Those go first that nobody has used for long. */
	while (node != &pool->idle.head && actions_have_room(actions)) {
		struct pool_server *s = server_of_idle(node);
		enum server_end why;

		node = node->prev;
		if (!has_expired(s, now_us, &why)) {
			if (!choose_is_surplus(m, s))
				continue;
			why = SERVER_END_SURPLUS;
		}
		server_enter(m, s, SERVER_CLOSING);
		actions_close(actions, s, why);
	}
}

/* What is kept in stock is not borrowed while somebody waits. */
static bool may_stock(const struct monitor *m, const struct slice *slice)
{
	return slice->servers - slice->closing < slice->limits.servers_min &&
		(m->waiting == 0 || share_has_claim(slice->share));
}

static void fill_pool(struct monitor *m, struct pool *pool, uint64_t now_us,
	struct monitor_actions *actions)
{
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct slice *slice = pool->slices[i];

		while (slice != NULL && may_stock(m, slice) &&
			actions_have_room(actions) && choose_may_open(m, slice, now_us))
			choose_open(m, slice, now_us, actions);
	}
}

/* A client that waits for long opens the reserve of its pool. */
static void open_reserve(struct slice *slice, uint64_t now_us)
{
	slice->reserve_is_open = false;
	if (slice->waiting == 0 || slice->limits.reserve == 0)
		return;
	slice->reserve_is_open = elapsed_us(now_us, slice_oldest(slice)->asked_at_us) >=
		slice->limits.reserve_after_us;
}

static void open_reserves(struct monitor *m, struct pool *pool, uint64_t now_us)
{
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		if (pool->slices[i] != NULL)
			open_reserve(pool->slices[i], now_us);
	}
}

/* PostgreSQL does not answer: whoever counts on this unit looks for another. */
static void stop_counting_on(struct pool_server *s, uint64_t now_us)
{
	if (s->state != SERVER_CLOSING)
		return;
	if (s->closing_since_us == 0)
		s->closing_since_us = now_us;
	else if (elapsed_us(now_us, s->closing_since_us) >= MONITOR_CLOSING_PATIENCE_US)
		server_promise(s, NULL);
}

/* Grows old while it is in use: another one is made ready before it goes, if nobody
 * has to give up anything for it. */
static bool wants_replacement(
	const struct monitor *m, const struct pool_server *s, uint64_t now_us)
{
	const struct slice *slice = s->slice;
	uint64_t ahead_us = slice->limits.lifetime_us / REPLACE_PART;

	if (ahead_us < REPLACE_AHEAD_MIN_US || s->expires_at_us == 0 || s->is_replaced ||
		s->epoch != slice->pool->epoch)
		return false;
	ahead_us = u64_min(ahead_us, REPLACE_AHEAD_MAX_US);
	if (now_us + ahead_us < s->expires_at_us ||
		(s->state != SERVER_LEASED &&
			(s->state != SERVER_IDLE ||
				elapsed_us(now_us, s->used_at_us) > ahead_us)))
		return false;
	return m->waiting == 0 && slice->connecting == 0 &&
		m->budget.used + 1 + budget_floors_open(&m->budget, slice->share, NULL) <=
		m->budget.limit &&
		choose_may_open(m, slice, now_us);
}

static void look_at_servers(
	struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	list_for_each(&m->servers, node) {
		struct pool_server *s =
			container_of(node, struct pool_server, in_monitor);

		stop_counting_on(s, now_us);
		if (actions_have_room(actions) && wants_replacement(m, s, now_us)) {
			s->is_replaced = true;
			choose_open(m, s->slice, now_us, actions);
		}
	}
}

/* Nobody asks for a host that has failed: is it there again? */
static void probe_host(struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	struct slice *slice = m->failed_slice;

	if (slice == NULL || m->failures == 0 || m->connecting > 0 || m->waiting > 0 ||
		!actions_have_room(actions) || !choose_may_open(m, slice, now_us) ||
		!budget_may_take(&m->budget, slice->share, NULL))
		return;
	choose_open(m, slice, now_us, actions);
}

bool monitor_upkeep(struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	bool more;

	pthread_mutex_lock(&m->lock);
	look_at_servers(m, now_us, actions);
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);

		expire_pool(m, pool, now_us, actions);
		open_reserves(m, pool, now_us);
	}
	/* Who waits comes before what is only kept in stock. */
	choose_openings(m, now_us, actions);
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);

		fill_pool(m, pool, now_us, actions);
	}
	probe_host(m, now_us, actions);
	more = !actions_have_room(actions);
	pthread_mutex_unlock(&m->lock);
	return more;
}

/* Those of this round that have not been looked at yet. */
static uint32_t take_idle_of_round(struct monitor *m, uint64_t now_us,
	uint64_t min_idle_us, struct pool_server **out, uint32_t max)
{
	uint32_t count = 0;

	list_for_each(&m->pools, in_monitor) {
		struct pool *pool = container_of(in_monitor, struct pool, in_monitor);
		struct list_node *node = pool->idle.head.prev;

		while (count < max && node != &pool->idle.head) {
			struct pool_server *s = server_of_idle(node);

			node = node->prev;
			if (elapsed_us(now_us, s->used_at_us) < min_idle_us)
				break;
			if (s->check_round == m->check_round)
				continue;
			s->check_round = m->check_round;
			server_enter(m, s, SERVER_CHECKING);
			out[count++] = s;
		}
	}
	return count;
}

uint32_t monitor_take_idle(struct monitor *m, uint64_t now_us, uint64_t min_idle_us,
	struct pool_server **out, uint32_t max)
{
	uint32_t count;

	pthread_mutex_lock(&m->lock);
	count = take_idle_of_round(m, now_us, min_idle_us, out, max);
	if (count == 0) {
		m->check_round++;
		count = take_idle_of_round(m, now_us, min_idle_us, out, max);
	}
	if (count < max)
		m->check_round++;
	pthread_mutex_unlock(&m->lock);
	return count;
}

void monitor_retire(struct monitor *m, struct pool *only)
{
	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);

		if (only == NULL || only == pool)
			pool->epoch++;
	}
	pthread_mutex_unlock(&m->lock);
}

void monitor_pool_pause(struct monitor *m, struct pool *pool, bool is_paused)
{
	pthread_mutex_lock(&m->lock);
	if (pool->is_paused != is_paused)
		pool_hold(m, pool, is_paused);
	/* Others may have what was to be for its waiters. */
	list_for_each(&m->servers, node) {
		struct pool_server *s = container_of(node, struct pool_server, in_monitor);

		if (is_paused && s->promised_to != NULL && s->promised_to->pool == pool)
			server_promise(s, NULL);
	}
	pthread_mutex_unlock(&m->lock);
}

bool monitor_pool_is_held(struct monitor *m, const struct pool *pool)
{
	bool is_held;

	pthread_mutex_lock(&m->lock);
	is_held = pool->is_paused && pool->was_ready;
	pthread_mutex_unlock(&m->lock);
	return is_held;
}

void monitor_pool_left(struct monitor *m, const struct pool *pool, uint64_t now_us,
	struct monitor_left *out)
{
	pthread_mutex_lock(&m->lock);
	*out = (struct monitor_left){ .servers = pool->servers };
	list_for_each(&m->servers, node) {
		const struct pool_server *s =
			container_of(node, struct pool_server, in_monitor);

		if (s->slice->pool != pool)
			continue;
		if (s->state == SERVER_CLOSING && s->closing_since_us != 0 &&
			elapsed_us(now_us, s->closing_since_us) >=
				MONITOR_CLOSING_PATIENCE_US)
			out->servers--;
		else if (s->epoch != pool->epoch || s->state == SERVER_CLOSING)
			out->retired++;
	}
	pthread_mutex_unlock(&m->lock);
}

void monitor_each_server(
	struct monitor *m, void (*f)(const struct pool_server *, void *), void *arg)
{
	pthread_mutex_lock(&m->lock);
	list_for_each(&m->servers, node)
		f(container_of(node, struct pool_server, in_monitor), arg);
	pthread_mutex_unlock(&m->lock);
}

void monitor_each_pool(
	struct monitor *m, void (*f)(const struct pool *, void *), void *arg)
{
	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node)
		f(container_of(node, struct pool, in_monitor), arg);
	pthread_mutex_unlock(&m->lock);
}

static uint32_t list_count(const struct list *list)
{
	uint32_t count = 0;

	list_for_each(list, node) count++;
	return count;
}

struct check_totals {
	uint32_t closing;
	uint32_t idle;
	uint32_t coming;
	uint32_t leased;
	uint32_t pinned;
};

static void check_server(const struct pool_server *s, struct check_totals *t)
{
	assert(list_is_linked(&s->in_idle) == (s->state == SERVER_IDLE));
	assert(s->lease == NULL || s->state == SERVER_LEASED);
	assert(s->lease == NULL ||
		(s->lease->server == s && s->lease->slice == s->slice &&
			(s->lease->state == LEASE_HELD ||
				s->lease->state == LEASE_GRANTED)));
	assert(s->promised_to == NULL || s->state == SERVER_LEASED ||
		s->state == SERVER_CLEANING || s->state == SERVER_CLOSING);
	assert(s->state != SERVER_GONE);
	assert(s->unit.share == s->slice->share);
	assert(s->lease == NULL || !s->lease->is_pinned || s->lease->state == LEASE_HELD);
	t->pinned += s->lease != NULL && s->lease->is_pinned;
	t->idle += s->state == SERVER_IDLE;
	t->closing += s->state == SERVER_CLOSING;
	t->coming += s->promised_to != NULL;
	t->leased += s->lease != NULL;
}

static void check_slice(
	const struct slice *slice, uint32_t *waiting, struct check_totals *t)
{
	assert(list_count(&slice->waiters) == slice->waiting);
	assert(list_is_linked(&slice->in_hungry) ==
		(slice->waiting > 0 && !slice->pool->is_paused));
	assert(slice->connecting + slice->closing <= slice->servers);
	t->closing -= slice->closing;
	t->coming -= slice->coming;
	t->leased -= slice->leased;
	*waiting += slice->waiting;
}

static void check_pool(
	const struct monitor *m, const struct pool *pool, struct check_totals *t)
{
	uint32_t servers = 0, waiting = 0, connecting = 0;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct slice *slice = pool->slices[i];

		if (slice == NULL)
			continue;
		check_slice(slice, &waiting, t);
		servers += slice->servers;
		connecting += slice->connecting;
	}
	assert(servers == pool->servers);
	assert(waiting == pool->waiting);
	assert(pool_is_wanted(pool) == (waiting > 0));
	assert(connecting == pool->connecting);
	assert(list_count(&pool->idle) == pool->idle_count);
	for (uint32_t i = 0; i < POOL_KNOWN_MAX; i++)
		assert(pool->known[i] == NULL ||
			(pool->known[i]->state == SERVER_IDLE &&
				pool->known[i]->slice->pool == pool &&
				pool->known[i]->last_client % POOL_KNOWN_MAX == i));
}

void monitor_check(struct monitor *m)
{
	uint32_t servers = 0, waiting = 0, idle = 0, connecting = 0, used = 0, held = 0;
	uint32_t incoming = 0, outgoing = 0;
	struct check_totals t = { 0 };

	pthread_mutex_lock(&m->lock);
	list_for_each(&m->servers, node)
		check_server(container_of(node, struct pool_server, in_monitor), &t);
	assert(t.idle == m->idle && t.closing == m->closing);
	list_for_each(&m->pools, node) {
		const struct pool *pool = container_of(node, struct pool, in_monitor);

		check_pool(m, pool, &t);
		servers += pool->servers;
		waiting += pool->waiting;
		held += pool->is_paused ? pool->waiting : 0;
		idle += pool->idle_count;
		connecting += pool->connecting;
	}
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *share = m->budget.shares[i];

		assert(list_count(&share->waiters) == share->waiting);
		used += share->used;
		t.idle -= share->idle;
		t.pinned -= share->pinned;
		assert(share->pinned <= share->used);
		incoming += share->incoming;
		outgoing += share->outgoing;
	}
	/* The servers' totals less the sums of what slices and shares say. */
	assert(t.closing == 0 && t.coming == 0 && t.leased == 0 && t.idle == 0 &&
		t.pinned == 0);
	assert(incoming == outgoing);
	assert(used == m->budget.used);
	assert(servers == m->budget.used);
	assert(waiting == m->waiting + m->held);
	assert(held == m->held);
	assert(idle == m->idle);
	assert(connecting == m->connecting);
	assert(list_count(&m->servers) <= servers);
	pthread_mutex_unlock(&m->lock);
}

void monitor_renew(struct monitor *m, struct pool_server *s, uint32_t times)
{
	pthread_mutex_lock(&m->lock);
	if (s->epoch + times == s->slice->pool->epoch)
		s->epoch = s->slice->pool->epoch;
	pthread_mutex_unlock(&m->lock);
}
