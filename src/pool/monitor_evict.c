/* SPDX-License-Identifier: ISC */
/*
 * Whose idle server has to go so that a waiter of another pool or workload can have
 * one.
 *
 * Thread: under the monitor's lock.
 * Limits: work is bounded by idle servers.
 */
#include "pool/monitor_priv.h"

/* A lasting loan may need more than one unit to go: all that others have above
 * their floors counts against it.  Would it do if the idle ones went? */
static bool idle_would_do(const struct monitor *m, const struct share *to)
{
	uint64_t claims = (uint64_t)to->used + 1;

	if (to->kind != SHARE_LASTING || to->used >= to->max)
		return false;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *s = m->budget.shares[i];

		if (s == to)
			continue;
		claims += s->guaranteed;
		if (s->used > s->guaranteed + s->idle)
			claims += s->used - s->guaranteed - s->idle;
	}
	return claims <= m->budget.limit;
}

/* May this idle server go for a waiter of that slice?  One that the waiter could
 * use as it is has been offered before; a retired one nobody can use. */
static bool may_evict(
	const struct monitor *m, const struct pool_server *s, const struct slice *to)
{
	const struct share *owner = s->slice->share;

	if (!choose_has_room_from(to, s->slice))
		return false;
	if (budget_may_take(&m->budget, to->share, owner))
		return s->slice->pool != to->pool || s->epoch != to->pool->epoch;
	return owner != to->share && share_is_borrowing(owner) &&
		idle_would_do(m, to->share);
}

bool choose_is_kept(const struct pool_server *s, const struct slice *to, uint64_t now_us)
{
	return s->epoch == s->slice->pool->epoch && !share_has_claim(to->share) &&
		s->slice->pool->servers <= to->pool->servers &&
		elapsed_us(now_us, s->used_at_us) < MONITOR_KEEP_US;
}

/* The idle server longest unused whose unit this share could have; first of its
 * own and of those who borrow, then of what others have within their floors. */
static struct pool_server *one_victim(
	const struct monitor *m, const struct slice *to, uint64_t now_us)
{
	struct pool_server *best = NULL;
	bool best_is_cheap = false, keeps_cheap = false;

	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);
		const struct slice *refused = NULL;

		list_for_each(&pool->idle, idle) {
			struct pool_server *s = server_of_idle(idle);
			struct share *owner = s->slice->share;
			bool is_cheap = owner == to->share || share_is_borrowing(owner);

			if (s->slice == refused && s->epoch == pool->epoch)
				continue;
			if (choose_is_kept(s, to, now_us)) {
				keeps_cheap = keeps_cheap || (is_cheap && may_evict(m, s, to));
				continue;
			}
			if (best != NULL &&
				(best_is_cheap > is_cheap ||
					(best_is_cheap == is_cheap &&
						best->used_at_us < s->used_at_us)))
				continue;
			if (!may_evict(m, s, to)) {
				refused = s->slice;
				continue;
			}
			best = s;
			best_is_cheap = is_cheap;
		}
	}
	/* Rather wait for that than take what is within a floor. */
	return best_is_cheap || !keeps_cheap ? best : NULL;
}

/* What keeps a slice from one more server: the budget, and its full quotas. */
enum { NEED_BUDGET, NEED_QUOTA, NEEDS = NEED_QUOTA + SLICE_QUOTAS };

static bool meets_need(const struct monitor *m, const struct pool_server *s,
	const struct slice *to, size_t need)
{
	const struct share *owner = s->slice->share;
	const struct quota *quota;

	if (need == NEED_BUDGET)
		return budget_may_take(&m->budget, to->share, owner) ||
			(owner != to->share && share_is_borrowing(owner) &&
				idle_would_do(m, to->share));
	quota = to->quotas[need - NEED_QUOTA];
	return s->slice->quotas[0] == quota || s->slice->quotas[1] == quota;
}

/* No idle server is enough, but several together are: one that frees a unit goes first,
 * the others when this has helped. */
static struct pool_server *first_of_victims(
	const struct monitor *m, const struct slice *to, uint64_t now_us)
{
	struct pool_server *found[NEEDS] = { NULL }, *first = NULL;

	if (slice_servers_max(to) != 0 && to->servers >= slice_servers_max(to))
		return NULL;
	list_for_each(&m->pools, node) {
		struct pool *pool = container_of(node, struct pool, in_monitor);

		list_for_each(&pool->idle, idle) {
			struct pool_server *s = server_of_idle(idle);

			for (size_t need = 0; need < NEEDS; need++) {
				if (!choose_is_kept(s, to, now_us) &&
					meets_need(m, s, to, need))
					found[need] = s;
			}
		}
	}
	for (size_t need = 0; need < NEEDS; need++) {
		bool is_needed = need == NEED_BUDGET
			? !budget_may_take(&m->budget, to->share, NULL)
			: !quota_has_room(to->quotas[need - NEED_QUOTA], 1);

		if (is_needed && found[need] == NULL)
			return NULL;
		if (is_needed && first == NULL)
			first = found[need];
	}
	return first;
}

struct pool_server *choose_victim(
	const struct monitor *m, const struct slice *to, uint64_t now_us)
{
	struct pool_server *s = one_victim(m, to, now_us);

	return s != NULL || choose_has_room_from(to, NULL) ? s : first_of_victims(m, to, now_us);
}
