/* SPDX-License-Identifier: ISC */
/*
 * Who gets a server that is free, whom to open one for, and whose idle one has
 * to go for it.
 *
 * Thread: under the monitor's lock.
 * Limits: work is bounded by workloads and by pools in which somebody waits,
 *         never by the number of waiters.
 */
#include "pool/monitor_priv.h"

enum { CHOOSE_IDLE_LOOK = 8 };

static struct lease *lease_of_slice(struct list_node *node)
{
	return container_of(node, struct lease, in_slice);
}

static bool slice_has_room(const struct slice *slice)
{
	return slice->limits.servers_max == 0 ||
		slice->servers < slice->limits.servers_max;
}

/* May a server of this slice be used by that one? */
static bool may_use(const struct monitor *m, const struct pool_server *s,
	const struct slice *to)
{
	if (s->slice == to)
		return true;
	return slice_has_room(to) && budget_may_take(&m->budget, to->share, s->slice->share);
}

/* Prefers a server that already carries the client's state. */
struct pool_server *choose_idle(struct monitor *m, const struct lease *l,
	const struct slice *slice)
{
	struct pool_server *first = NULL;
	int looked = 0;

	list_for_each(&slice->pool->idle, node) {
		struct pool_server *s = container_of(node, struct pool_server, in_idle);

		if (looked++ == CHOOSE_IDLE_LOOK)
			break;
		if (!may_use(m, s, slice))
			continue;
		if (s->state_key == l->state_key)
			return s;
		if (first == NULL)
			first = s;
	}
	return first;
}

static struct lease *older(struct lease *a, struct lease *b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return b->asked_at_us < a->asked_at_us ? b : a;
}

static struct lease *share_oldest(const struct share *share)
{
	struct list_node *node = list_first(&share->waiters);

	return node == NULL ? NULL : container_of(node, struct lease, in_share);
}

/* The oldest waiter of a workload that is below its floor, other than this. */
static struct lease *oldest_below_floor(const struct monitor *m, const struct share *not)
{
	struct lease *best = NULL;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *share = m->budget.shares[i];

		if (share != not && share_is_below_floor(share))
			best = older(best, share_oldest(share));
	}
	return best;
}

static struct lease *oldest_in_pool(const struct monitor *m, const struct pool_server *s)
{
	const struct pool *pool = s->slice->pool;
	struct lease *best = NULL;

	if (pool->waiting == 0)
		return NULL;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct slice *slice = pool->slices[i];

		if (slice == NULL || slice->waiting == 0 || !may_use(m, s, slice))
			continue;
		best = older(best, lease_of_slice(list_first(&slice->waiters)));
	}
	return best;
}

/* A pool with fewer servers whose oldest waiter has waited for long, and longer
 * than ours, and who can only be helped by giving up this unit. */
static bool other_pool_is_due(const struct monitor *m, const struct pool_server *s,
	const struct lease *ours, uint64_t now_us)
{
	const struct pool *pool = s->slice->pool;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct lease *l = share_oldest(m->budget.shares[i]);
		const struct pool *other;

		if (l == NULL || l->slice->pool == pool)
			continue;
		other = l->slice->pool;
		if (now_us - l->asked_at_us < MONITOR_SWITCH_AFTER_US ||
			(ours != NULL && ours->asked_at_us <= l->asked_at_us))
			continue;
		if (other->servers != 0 && other->servers + 1 >= pool->servers)
			continue;
		if (other->connecting + m->closing >= other->waiting ||
			now_us < other->retry_at_us || !slice_has_room(l->slice))
			continue;
		if (!budget_may_take(&m->budget, l->slice->share, NULL) &&
			budget_may_take(&m->budget, l->slice->share, s->slice->share))
			return true;
	}
	return false;
}

static bool must_close(const struct monitor *m, const struct pool_server *s,
	uint64_t now_us)
{
	const struct slice *slice = s->slice;

	return s->epoch != slice->pool->epoch || m->budget.used > m->budget.limit ||
		slice->share->used > slice->share->max ||
		(s->expires_at_us != 0 && now_us >= s->expires_at_us);
}

static void close_server(struct monitor *m, struct pool_server *s,
	struct monitor_actions *actions)
{
	server_enter(m, s, SERVER_CLOSING);
	actions_add(actions, MONITOR_CLOSE, s->slice, s);
}

/* A server is clean and nobody's: passes it on, keeps it, or ends it.  The
 * caller left room for one action. */
void choose_for_server(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct lease *floor = NULL, *ours;

	if (must_close(m, s, now_us)) {
		close_server(m, s, actions);
		return;
	}
	if (share_is_borrowing(s->slice->share))
		floor = oldest_below_floor(m, s->slice->share);
	if (floor != NULL && floor->slice->pool == s->slice->pool &&
		may_use(m, s, floor->slice)) {
		ours = floor;
	} else if (floor != NULL && floor->slice->pool != s->slice->pool &&
		m->closing < m->waiting && slice_has_room(floor->slice)) {
		close_server(m, s, actions);
		return;
	} else {
		ours = oldest_in_pool(m, s);
		if (m->waiting > 0 && other_pool_is_due(m, s, ours, now_us)) {
			close_server(m, s, actions);
			return;
		}
	}
	if (ours == NULL) {
		server_enter(m, s, SERVER_IDLE);
		return;
	}
	lease_dequeue(m, ours);
	lease_hold(m, ours, s, now_us);
	lease_post(m, ours, LEASE_GRANTED, actions);
}

bool choose_may_open(const struct monitor *m, const struct slice *slice, uint64_t now_us)
{
	return m->connecting < m->limits.connecting_max && now_us >= m->retry_at_us &&
		now_us >= slice->pool->retry_at_us && slice_has_room(slice) &&
		budget_may_take(&m->budget, slice->share, NULL);
}

void choose_open(struct monitor *m, struct slice *slice, struct monitor_actions *actions)
{
	budget_take(&m->budget, slice->share);
	slice->servers++;
	slice->connecting++;
	slice->pool->servers++;
	slice->pool->connecting++;
	m->connecting++;
	actions_add(actions, MONITOR_OPEN, slice, NULL);
}

/* The slice whose oldest waiter has waited longest and for whom no server is on
 * its way; those of workloads below their floor first. */
static struct slice *neediest(const struct monitor *m, uint64_t now_us)
{
	struct slice *best = NULL;
	uint64_t best_at = 0;
	bool best_floor = false;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct share *share = m->budget.shares[i];
		bool floor = share_is_below_floor(share);

		list_for_each(&share->hungry, node) {
			struct slice *slice = container_of(node, struct slice, in_hungry);
			uint64_t at = lease_of_slice(list_first(&slice->waiters))->asked_at_us;

			if (slice->connecting >= slice->waiting || !slice_has_room(slice) ||
				now_us < slice->pool->retry_at_us)
				continue;
			if (best != NULL && (best_floor > floor ||
				(best_floor == floor && best_at <= at)))
				continue;
			best = slice;
			best_at = at;
			best_floor = floor;
		}
	}
	return best;
}

/* The idle server longest unused whose unit this share could have. */
static struct pool_server *idle_victim(const struct monitor *m, const struct slice *to)
{
	struct pool_server *best = NULL;

	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);
		struct list_node *last = list_last(&pool->idle);
		struct pool_server *s;

		if (last == NULL || pool == to->pool)
			continue;
		s = container_of(last, struct pool_server, in_idle);
		if (!budget_may_take(&m->budget, to->share, s->slice->share))
			continue;
		if (best == NULL || s->used_at_us < best->used_at_us)
			best = s;
	}
	return best;
}

/* What kept a waiter from an idle server of its own pool may have gone. */
static bool use_idle(struct monitor *m, struct slice *slice, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct lease *l = lease_of_slice(list_first(&slice->waiters));
	struct pool_server *s;

	if (slice->pool->idle_count == 0)
		return false;
	s = choose_idle(m, l, slice);
	if (s == NULL)
		return false;
	lease_dequeue(m, l);
	lease_hold(m, l, s, now_us);
	lease_post(m, l, LEASE_GRANTED, actions);
	return true;
}

void choose_openings(struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	while (m->waiting > 0 && actions_have_room(actions)) {
		struct pool_server *victim;
		struct slice *slice;

		/* The usual case at saturation, told without looking further. */
		if (m->budget.used >= m->budget.limit && m->idle == 0)
			return;
		if (m->connecting >= m->limits.connecting_max || now_us < m->retry_at_us)
			return;
		slice = neediest(m, now_us);
		if (slice == NULL)
			return;
		if (use_idle(m, slice, now_us, actions))
			continue;
		if (choose_may_open(m, slice, now_us)) {
			choose_open(m, slice, actions);
			continue;
		}
		/* A unit that is closing will be free in a moment: not two for one. */
		if (m->idle == 0 || m->closing >= m->waiting)
			return;
		victim = idle_victim(m, slice);
		if (victim == NULL)
			return;
		close_server(m, victim, actions);
	}
}
