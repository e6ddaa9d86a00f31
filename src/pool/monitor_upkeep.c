/* SPDX-License-Identifier: ISC */
/*
 * What happens without anybody asking: servers expire, pools keep their minimum,
 * idle servers are looked at; and the views.
 */
#include <assert.h>

#include "pool/monitor_priv.h"

static bool has_expired(const struct pool_server *s, uint64_t now_us)
{
	const struct slice *slice = s->slice;
	uint64_t idle_timeout = slice->limits.idle_timeout_us;

	if (s->epoch != slice->pool->epoch)
		return true;
	if (s->expires_at_us != 0 && now_us >= s->expires_at_us)
		return true;
	return idle_timeout != 0 && now_us - s->used_at_us >= idle_timeout &&
		slice->servers > slice->limits.servers_min;
}

static void expire_pool(struct monitor *m, struct pool *pool, uint64_t now_us,
	struct monitor_actions *actions)
{
	list_for_each_safe(&pool->idle, node) {
		struct pool_server *s = container_of(node, struct pool_server, in_idle);
		bool over = m->budget.used - m->closing > m->budget.limit ||
			s->slice->share->used > s->slice->share->max;

		if (!actions_have_room(actions))
			return;
		if (!over && !has_expired(s, now_us))
			continue;
		server_enter(m, s, SERVER_CLOSING);
		actions_add(actions, MONITOR_CLOSE, s->slice, s);
	}
}

static void fill_pool(struct monitor *m, struct pool *pool, uint64_t now_us,
	struct monitor_actions *actions)
{
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct slice *slice = pool->slices[i];

		while (slice != NULL && slice->servers < slice->limits.servers_min &&
			actions_have_room(actions) && choose_may_open(m, slice, now_us))
			choose_open(m, slice, actions);
	}
}

bool monitor_upkeep(struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	bool more;

	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);

		expire_pool(m, pool, now_us, actions);
		fill_pool(m, pool, now_us, actions);
	}
	choose_openings(m, now_us, actions);
	more = !actions_have_room(actions);
	pthread_mutex_unlock(&m->lock);
	return more;
}

uint32_t monitor_take_idle(struct monitor *m, uint64_t now_us, uint64_t min_idle_us,
	struct pool_server **out, uint32_t max)
{
	uint32_t count = 0;

	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);
		struct list_node *last;

		while (count < max && (last = list_last(&pool->idle)) != NULL) {
			struct pool_server *s =
				container_of(last, struct pool_server, in_idle);

			if (now_us - s->used_at_us < min_idle_us)
				break;
			server_enter(m, s, SERVER_CHECKING);
			out[count++] = s;
		}
	}
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

void monitor_each_server(struct monitor *m, void (*f)(const struct pool_server *, void *),
	void *arg)
{
	pthread_mutex_lock(&m->lock);
	list_for_each(&m->servers, node)
		f(container_of(node, struct pool_server, in_monitor), arg);
	pthread_mutex_unlock(&m->lock);
}

void monitor_each_pool(struct monitor *m, void (*f)(const struct pool *, void *), void *arg)
{
	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node)
		f(container_of(node, struct pool, in_monitor), arg);
	pthread_mutex_unlock(&m->lock);
}

static uint32_t list_count(const struct list *list)
{
	uint32_t count = 0;

	list_for_each(list, node)
		count++;
	return count;
}

static void check_slice(const struct slice *slice, uint32_t *waiting)
{
	assert(list_count(&slice->waiters) == slice->waiting);
	assert(list_is_linked(&slice->in_hungry) == (slice->waiting > 0));
	assert(slice->connecting <= slice->servers);
	*waiting += slice->waiting;
}

static void check_pool(const struct monitor *m, const struct pool *pool)
{
	uint32_t servers = 0, waiting = 0, connecting = 0;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct slice *slice = pool->slices[i];

		if (slice == NULL)
			continue;
		check_slice(slice, &waiting);
		servers += slice->servers;
		connecting += slice->connecting;
	}
	assert(servers == pool->servers);
	assert(waiting == pool->waiting);
	assert(connecting == pool->connecting);
	assert(list_count(&pool->idle) == pool->idle_count);
}

void monitor_check(struct monitor *m)
{
	uint32_t servers = 0, waiting = 0, idle = 0, connecting = 0, used = 0;

	pthread_mutex_lock(&m->lock);
	list_for_each(&m->pools, node) {
		const struct pool *pool = container_of(node, struct pool, in_monitor);

		check_pool(m, pool);
		servers += pool->servers;
		waiting += pool->waiting;
		idle += pool->idle_count;
		connecting += pool->connecting;
	}
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *share = m->budget.shares[i];

		assert(list_count(&share->waiters) == share->waiting);
		used += share->used;
	}
	assert(used == m->budget.used);
	assert(servers == m->budget.used);
	assert(waiting == m->waiting);
	assert(idle == m->idle);
	assert(connecting == m->connecting);
	assert(list_count(&m->servers) <= servers);
	pthread_mutex_unlock(&m->lock);
}
