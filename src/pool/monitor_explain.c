/* SPDX-License-Identifier: ISC */
/*
 * What a waiter waits for, and whom to take something back from when a workload
 * does not get what it is guaranteed.
 */
#include "pool/monitor_priv.h"

/* In the order of include/wait_reasons.def. */
enum wait_reason monitor_slice_reason(
	const struct monitor *m, const struct slice *slice, uint64_t now_us)
{
	const struct share *share = slice->share;
	uint32_t servers_max = slice_servers_max(slice);

	if (slice->pool->is_paused)
		return WAIT_PAUSED;
	if (slice->connecting > 0)
		return WAIT_CONNECTING;
	if (slice->coming > 0)
		return WAIT_CLOSING;
	if (slice->pool->fetching > 0)
		return WAIT_PASSWORD;
	/* Also when the next try is due and has not begun. */
	if (now_us < m->retry_at_us || m->failures > 0)
		return WAIT_HOST;
	if (now_us < slice->pool->retry_at_us)
		return WAIT_LOGIN;
	if (servers_max != 0 && slice->servers >= servers_max)
		return WAIT_POOL;
	if (!quota_has_room(slice->quotas[SLICE_QUOTA_DATABASE], 1))
		return WAIT_DATABASE;
	if (!quota_has_room(slice->quotas[SLICE_QUOTA_USER], 1))
		return WAIT_USER;
	/* But for whom it would not have more without them. */
	if (m->limits.elsewhere > 0 && m->budget.used >= m->budget.limit &&
		(share->used < share->max || share->max >= m->budget.limit))
		return WAIT_ELSEWHERE;
	if (share->used >= share->max)
		return WAIT_WORKLOAD;
	if (m->budget.used >= m->budget.limit)
		return WAIT_BUDGET;
	if (!budget_may_take(&m->budget, share, NULL))
		return WAIT_FLOORS;
	if (m->connecting >= m->limits.connecting_max)
		return WAIT_PACING;
	return WAIT_TURN;
}

static void explain_slice(const struct monitor *m, const struct slice *slice,
	uint64_t now_us, struct monitor_wait *out)
{
	*out = (struct monitor_wait){
		.reason = monitor_slice_reason(m, slice, now_us),
		.waiting = slice->waiting,
		.used = slice->share->used,
		.max = slice->share->max,
		.others = m->budget.used - slice->share->used,
		.budget = m->budget.limit,
	};
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		if (slice->pool->slices[i] != NULL)
			out->pool_leased += slice->pool->slices[i]->leased;
	}
}

void monitor_explain(struct monitor *m, const struct lease *l, uint64_t now_us,
	struct monitor_wait *out)
{
	pthread_mutex_lock(&m->lock);
	*out = (struct monitor_wait){ .reason = WAIT_TURN };
	if (l->state == LEASE_WAITING) {
		explain_slice(m, l->slice, now_us, out);
		out->since_us = l->asked_at_us;
		list_for_each(&l->slice->waiters, node) {
			out->position++;
			if (node == &l->in_slice)
				break;
		}
	}
	pthread_mutex_unlock(&m->lock);
}

struct waiter_visit {
	const struct monitor *monitor;
	uint64_t now_us;
	void (*f)(const struct lease *, const struct monitor_wait *, void *);
	void *arg;
};

static void visit_waiters(const struct waiter_visit *v, const struct slice *slice)
{
	struct monitor_wait wait;

	explain_slice(v->monitor, slice, v->now_us, &wait);
	list_for_each(&slice->waiters, node) {
		wait.since_us = lease_of_slice(node)->asked_at_us;
		wait.position++;
		v->f(lease_of_slice(node), &wait, v->arg);
	}
}

/* Those are in no list of who is to be served. */
static void visit_held(const struct waiter_visit *v)
{
	const struct monitor *m = v->monitor;

	list_for_each(&m->pools, node) {
		const struct pool *pool = container_of(node, struct pool, in_monitor);

		for (uint32_t i = 0; pool->is_paused && i < m->budget.share_count; i++) {
			if (pool->slices[i] != NULL)
				visit_waiters(v, pool->slices[i]);
		}
	}
}

void monitor_each_waiter(struct monitor *m, uint64_t now_us,
	void (*f)(const struct lease *, const struct monitor_wait *, void *), void *arg)
{
	const struct waiter_visit v = { m, now_us, f, arg };

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		list_for_each(&m->budget.shares[i]->hungry, hungry)
			visit_waiters(&v, container_of(hungry, struct slice, in_hungry));
	}
	if (m->held > 0)
		visit_held(&v);
	pthread_mutex_unlock(&m->lock);
}

/* --- stalled leases ------------------------------------------------------------------ */

/* Has the oldest waiter of this slice a right to a unit, and waited for it in vain? */
static bool is_kept_waiting(
	const struct monitor *m, const struct slice *slice, uint64_t now_us)
{
	return elapsed_us(now_us, slice_oldest(slice)->asked_at_us) >= m->limits.reclaim_grace_us &&
		slice->connecting + slice->coming < slice->waiting &&
		slice->pool->fetching == 0 && !choose_fits(m, slice);
}

/* For whom this unit would be the one; NULL: for nobody. */
static struct slice *kept_waiting_for(
	const struct monitor *m, const struct pool_server *s, uint64_t now_us)
{
	struct slice *best = NULL;

	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *share = m->budget.shares[i];

		if (!share_has_claim(share))
			continue;
		list_for_each(&share->hungry, node) {
			struct slice *slice = container_of(node, struct slice, in_hungry);

			if (is_kept_waiting(m, slice, now_us) &&
				(s == NULL || choose_may_replace(m, s, slice)) &&
				choose_is_older(slice, best))
				best = slice;
		}
	}
	return best;
}

bool monitor_is_calm(struct monitor *m)
{
	bool is_calm;

	pthread_mutex_lock(&m->lock);
	is_calm = m->waiting == 0 && m->held == 0 && m->connecting == 0 && m->closing == 0 &&
		m->failures == 0 && m->budget.used <= m->budget.limit;
	pthread_mutex_unlock(&m->lock);
	return is_calm;
}

bool monitor_wants_back(struct monitor *m, uint64_t now_us)
{
	bool wants;

	pthread_mutex_lock(&m->lock);
	wants = m->waiting > 0 && m->limits.reclaim_grace_us != 0 &&
		kept_waiting_for(m, NULL, now_us) != NULL;
	pthread_mutex_unlock(&m->lock);
	return wants;
}

bool monitor_end_stalled(struct monitor *m, struct lease *l, uint64_t now_us)
{
	struct slice *slice = NULL;
	struct pool_server *s;

	pthread_mutex_lock(&m->lock);
	s = l->state == LEASE_HELD ? l->server : NULL;
	/* What is promised already does not count as borrowed any more; pinned leases
	 * are within the floor as far as it goes. */
	if (s != NULL && s->promised_to == NULL && m->limits.reclaim_grace_us != 0 &&
		share_borrowed(s->slice->share) > s->slice->share->outgoing &&
		(!l->is_pinned || s->slice->share->pinned > s->slice->share->guaranteed))
		slice = kept_waiting_for(m, s, now_us);
	if (slice != NULL) {
		server_promise(s, slice);
		s->slice->share->stalled_ended++;
	}
	pthread_mutex_unlock(&m->lock);
	return slice != NULL;
}
