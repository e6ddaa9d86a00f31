/* SPDX-License-Identifier: ISC */
/*
 * Who gets a server that is free, whom to open one for, and whose idle one has
 * to go for it.
 *
 * Thread: under the monitor's lock.
 * Limits: work is bounded by workloads, by pools in which somebody waits and,
 *         when an idle server has to go, by idle servers; never by the number of
 *         waiters.
 */
#include "pool/monitor_priv.h"

enum { CHOOSE_IDLE_LOOK = 8 };

bool choose_has_room_from(const struct slice *slice, const struct slice *from)
{
	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		const struct quota *quota = slice->quotas[i];
		bool gives = from != NULL &&
			(from->quotas[0] == quota || from->quotas[1] == quota);

		if (!quota_has_room(quota, gives ? 0 : 1))
			return false;
	}
	return slice_servers_max(slice) == 0 || slice->servers < slice_servers_max(slice);
}

static bool slice_has_room(const struct slice *slice)
{
	return choose_has_room_from(slice, NULL);
}

/* May a server of this slice be used by that one? */
static bool may_use(
	const struct monitor *m, const struct pool_server *s, const struct slice *to)
{
	if (s->slice == to)
		return true;
	return choose_may_replace(m, s, to);
}

/* The one that still has the client's own session, if it is in use as the others are: one
 * that nobody needs for long is to expire. */
static struct pool_server *choose_known(
	const struct monitor *m, const struct lease *l, const struct slice *slice)
{
	struct pool_server *s = *pool_known(slice->pool, l->client_id);

	if (s == NULL || s->last_client != l->client_id || s->state_key != l->state_key ||
		s->epoch != slice->pool->epoch || !may_use(m, s, slice) ||
		server_of_idle(list_first(&slice->pool->idle))->used_at_us >
			s->used_at_us + MONITOR_KEEP_US)
		return NULL;
	return s;
}

/* Prefers a server that already carries the client's state, best its own session.
 * Looks at a few of those that may be used; the others it passes over. */
struct pool_server *choose_idle(
	struct monitor *m, const struct lease *l, const struct slice *slice)
{
	const struct slice *refused = NULL;
	struct pool_server *first = NULL, *match = NULL;
	int looked = 0;

	match = choose_known(m, l, slice);
	if (match != NULL)
		return match;
	list_for_each(&slice->pool->idle, node) {
		struct pool_server *s = server_of_idle(node);

		if (s->slice == refused || s->epoch != slice->pool->epoch)
			continue;
		if (!may_use(m, s, slice)) {
			refused = s->slice;
			continue;
		}
		if (s->state_key == l->state_key) {
			if (s->last_client == l->client_id || s->last_client == 0)
				return s;
			if (match == NULL)
				match = s;
		}
		if (first == NULL)
			first = s;
		if (++looked == CHOOSE_IDLE_LOOK)
			break;
	}
	return match != NULL ? match : first;
}

static struct slice *slice_of_hungry(struct list_node *node)
{
	return container_of(node, struct slice, in_hungry);
}

bool choose_is_older(const struct slice *a, const struct slice *b)
{
	return b == NULL || slice_oldest(a)->asked_at_us < slice_oldest(b)->asked_at_us;
}

/* Except: a server that has just logged in and is not counted as such yet. */
static bool host_is_open(
	const struct monitor *m, const struct pool_server *except, uint64_t now_us)
{
	uint32_t connecting = m->connecting;

	if (except != NULL && except->state == SERVER_CONNECTING)
		connecting--;
	return connecting < m->limits.connecting_max && now_us >= m->retry_at_us;
}

/* Is there a waiter that no connect is under way for, though one may be, given
 * that a server of "from" (or nobody's: NULL) closes for it? */
static bool slice_may_connect(
	const struct slice *slice, const struct slice *from, uint64_t now_us)
{
	return slice->connecting < slice->waiting && choose_has_room_from(slice, from) &&
		pool_may_connect(slice->pool, now_us);
}

bool choose_fits(const struct monitor *m, const struct slice *slice)
{
	return slice_has_room(slice) && budget_may_take(&m->budget, slice->share, NULL);
}

bool choose_may_replace(
	const struct monitor *m, const struct pool_server *s, const struct slice *slice)
{
	return choose_has_room_from(slice, s->slice) &&
		budget_may_take(&m->budget, slice->share, s->slice->share);
}

/* Would the unit of s, once s has closed, help a waiter of this slice whom
 * nothing else is going to help? */
static bool closing_helps(const struct monitor *m, const struct pool_server *s,
	const struct slice *slice, uint64_t now_us)
{
	return host_is_open(m, s, now_us) && slice_may_connect(slice, s->slice, now_us) &&
		slice->connecting + slice->coming < slice->waiting &&
		!choose_fits(m, slice) &&
		budget_may_take(&m->budget, slice->share, s->slice->share);
}

/* Do both have a database's or a user's limit in common that is exhausted (with so
 * many more)? */
static bool share_quota(const struct slice *a, const struct slice *b, uint32_t more)
{
	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		if (a->quotas[i] == b->quotas[i] && !quota_has_room(a->quotas[i], more))
			return true;
	}
	return false;
}

/* Would giving up that server help only as far as limits of a database or user are
 * concerned?  Floors are no argument then: there are units for all. */
static bool is_about_quota(
	const struct monitor *m, const struct slice *from, const struct slice *to)
{
	return share_quota(from, to, 1) && budget_may_take(&m->budget, to->share, NULL);
}

/* Would a share be below its floor without the unit of s? */
static bool has_claim(const struct share *share, const struct pool_server *s)
{
	if (share == s->slice->share)
		return !share_is_borrowing(share);
	return share_has_claim(share);
}

/* Of the workloads below their floor, the slice that has waited longest and that
 * this unit, borrowed or not wanted here by its owner, can help: with its server,
 * or by closing it.  Within one workload a pool keeps what it has just used, if nobody
 * else wants it (is_wanted) as it is. */
static struct slice *oldest_claim(
	const struct monitor *m, const struct pool_server *s, bool is_wanted, uint64_t now_us)
{
	struct slice *best = NULL;

	if (!share_is_borrowing(s->slice->share) && s->slice->waiting > 0)
		return NULL;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *share = m->budget.shares[i];

		if (!has_claim(share, s))
			continue;
		list_for_each(&share->hungry, node) {
			struct slice *slice = slice_of_hungry(node);

			if (!choose_is_older(slice, best))
				continue;
			if (!is_wanted && slice->share == s->slice->share &&
				slice->pool != s->slice->pool &&
				choose_is_kept(s, slice, now_us))
				continue;
			if (slice->pool == s->slice->pool
					? may_use(m, s, slice)
					: closing_helps(m, s, slice, now_us) &&
						!is_about_quota(m, s->slice, slice))
				best = slice;
		}
	}
	return best;
}

/* A unit within its owner's floor is lent only if the owner leaves it unused. */
static bool may_lend(const struct pool_server *s, const struct slice *to, bool is_wanted)
{
	const struct share *owner = s->slice->share;

	return to->share == owner || share_is_below_floor(to->share) ||
		share_is_borrowing(owner) || !is_wanted;
}

/* Weights compare what each has.  Who has nothing would never have any where there
 * is less to borrow than there are borrowers: then age decides. */
static bool weights_decide(const struct slice *a, const struct slice *b)
{
	return a->share != b->share && a->share->used > 0 && b->share->used > 0;
}

/* Both want to borrow what is free: the weights, and then age. */
static bool borrows_first(const struct slice *a, const struct slice *b)
{
	if (share_goes_before(a->share, b->share, false))
		return true;
	return !share_goes_before(b->share, a->share, false) && choose_is_older(a, b);
}

/* A unit that "owner" may keep or give up: is it rather for the waiter of a, or of
 * b?  Of one workload the older; between borrowers the weights decide. */
static bool is_nearer(
	const struct slice *a, const struct slice *b, const struct share *owner)
{
	if (b == NULL || !weights_decide(a, b))
		return choose_is_older(a, b);
	if (a->share == owner)
		return !share_goes_before(b->share, owner, true);
	if (b->share == owner)
		return share_goes_before(a->share, owner, true);
	return borrows_first(a, b);
}

static struct slice *next_in_pool(const struct monitor *m, const struct pool_server *s)
{
	const struct pool *pool = s->slice->pool;
	struct slice *best = NULL;

	if (pool->waiting == 0)
		return NULL;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct slice *slice = pool->slices[i];

		if (slice == NULL || slice->waiting == 0 ||
			!is_nearer(slice, best, s->slice->share))
			continue;
		if (may_use(m, s, slice) && may_lend(s, slice, s->slice->waiting > 0))
			best = slice;
	}
	return best;
}

/* Of the same workload: a pool with fewer servers, and longer in waiting than ours.
 * Of another: one that has borrowed less than its weight, or that waits longer for what
 * a limit lets only one of both have. */
static bool comes_before(const struct pool_server *s, const struct slice *slice,
	const struct slice *ours, bool is_of_quota)
{
	const struct pool *pool = s->slice->pool, *other = slice->pool;

	if (slice->share != s->slice->share && (slice->share->used == 0 || is_of_quota))
		return choose_is_older(slice, ours);
	if (slice->share != s->slice->share)
		return share_is_borrowing(s->slice->share) &&
			share_goes_before(slice->share, s->slice->share, true);
	return choose_is_older(slice, ours) &&
		(other->servers == 0 || other->servers + 1 < pool->servers);
}

/* Another pool whose turn it is, whose oldest waiter has waited for long, and who
 * can only be helped by giving up this unit. */
static struct slice *other_pool_due(const struct monitor *m, const struct pool_server *s,
	const struct slice *ours, uint64_t now_us)
{
	const struct pool *pool = s->slice->pool;
	struct slice *best = NULL;

	/* The unit may have come from another pool when this server was opened. */
	if (elapsed_us(now_us, s->connected_at_us) < MONITOR_SWITCH_AFTER_US)
		return NULL;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		list_for_each(&m->budget.shares[i]->hungry, node) {
			struct slice *slice = slice_of_hungry(node);
			bool is_of_quota = share_quota(s->slice, slice, 1);

			if (slice->pool == pool || !choose_is_older(slice, best) ||
				!comes_before(s, slice, ours, is_of_quota))
				continue;
			if (elapsed_us(now_us, slice_oldest(slice)->asked_at_us) <
				MONITOR_SWITCH_AFTER_US)
				continue;
			if (closing_helps(m, s, slice, now_us) &&
				(is_of_quota || may_lend(s, slice, true)))
				best = slice;
		}
	}
	return best;
}

/* Is there one more than some limit allows?  Those that are closing already will
 * make room. */
static bool exceeds_own(const struct pool_server *s)
{
	const struct slice *slice = s->slice;

	for (size_t i = 0; i < SLICE_QUOTAS; i++) {
		const struct quota *quota = slice->quotas[i];

		if (quota != NULL && quota->max != 0 &&
			quota->used - quota->closing > quota->max)
			return true;
	}
	return slice->share->used - slice->share->closing > slice->share->max ||
		(slice->limits.servers_max != 0 &&
			slice->servers - slice->closing >
				slice->limits.servers_max + slice->limits.reserve);
}

bool choose_is_surplus(const struct monitor *m, const struct pool_server *s)
{
	return m->budget.used - m->closing > m->budget.limit || exceeds_own(s);
}

/* After a shrink: does another workload hold more than its floor, and give back
 * soon?  Then that is what goes. */
static bool others_give_back(const struct monitor *m, const struct share *except)
{
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		const struct share *s = m->budget.shares[i];

		if (s != except && s->kind == SHARE_TRANSIENT &&
			s->used - s->closing > s->guaranteed + s->idle)
			return true;
	}
	return false;
}

bool choose_is_over(const struct pool_server *s, uint64_t now_us, enum server_end *why)
{
	const struct pool *pool = s->slice->pool;

	if (s->epoch != pool->epoch)
		*why = SERVER_END_OBSOLETE;
	else if (pool->is_paused)
		*why = SERVER_END_PAUSED;
	else if (s->expires_at_us != 0 && now_us >= s->expires_at_us)
		*why = SERVER_END_LIFETIME;
	else
		return false;
	return true;
}

static bool must_close(const struct monitor *m, const struct pool_server *s, uint64_t now_us,
	enum server_end *why)
{
	if (choose_is_over(s, now_us, why))
		return true;
	if (!choose_is_surplus(m, s))
		return false;
	*why = SERVER_END_SURPLUS;
	return exceeds_own(s) || share_is_borrowing(s->slice->share) ||
		s->slice->waiting == 0 || !others_give_back(m, s->slice->share);
}

/* What it frees is promised to for_whom, NULL: to nobody. */
static void end_server(struct monitor *m, struct pool_server *s, struct slice *for_whom,
	enum server_end why, struct monitor_actions *actions)
{
	server_enter(m, s, SERVER_CLOSING);
	server_promise(s, for_whom);
	actions_close(actions, s, why);
}

/* For a waiter of another pool. */
static void evict(struct monitor *m, struct pool_server *s, struct slice *for_whom,
	struct monitor_actions *actions)
{
	end_server(m, s, for_whom, SERVER_END_EVICTED, actions);
}

static void grant(struct monitor *m, struct slice *slice, struct pool_server *s,
	uint64_t now_us, struct monitor_actions *actions)
{
	struct lease *l = slice_oldest(slice);

	if (l->is_claim)
		histogram_add(
			&slice->share->reclaims, elapsed_us(now_us, l->asked_at_us));
	l->is_claim = false;
	lease_dequeue(m, l);
	lease_hold(m, l, s, now_us);
	lease_post(m, l, LEASE_GRANTED, actions);
}

/* A server is clean and nobody's: passes it on, keeps it, or ends it.  The
 * caller left room for one action. */
void choose_for_server(struct monitor *m, struct pool_server *s, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct slice *claim, *ours, *due;
	enum server_end why;

	if (must_close(m, s, now_us, &why)) {
		end_server(m, s, NULL, why, actions);
		return;
	}
	if (m->waiting == 0) {
		server_enter(m, s, SERVER_IDLE);
		return;
	}
	ours = next_in_pool(m, s);
	claim = oldest_claim(m, s, ours != NULL, now_us);
	if (claim != NULL && claim->pool != s->slice->pool) {
		evict(m, s, claim, actions);
		return;
	}
	if (claim != NULL)
		ours = claim;
	if (ours == NULL) {
		/* choose_openings() may close it for another pool. */
		server_enter(m, s, SERVER_IDLE);
		return;
	}
	due = claim != NULL ? NULL : other_pool_due(m, s, ours, now_us);
	if (due != NULL)
		evict(m, s, due, actions);
	else
		grant(m, ours, s, now_us, actions);
}

bool choose_may_open(const struct monitor *m, const struct slice *slice, uint64_t now_us)
{
	return !slice->pool->is_paused && host_is_open(m, NULL, now_us) &&
		pool_may_connect(slice->pool, now_us) && choose_fits(m, slice);
}

void choose_open(struct monitor *m, struct slice *slice, uint64_t now_us,
	struct monitor_actions *actions)
{
	struct pool *pool = slice->pool;
	struct unit unit = budget_take(&m->budget, slice->share);

	slice->servers++;
	slice_count_quotas(slice, 1);
	slice->connecting++;
	pool->servers++;
	pool->connecting++;
	m->connecting++;
	actions_add(actions, MONITOR_OPEN, slice, NULL);
	actions->list[actions->count - 1].unit = unit_move(&unit);
	actions->list[actions->count - 1].is_fetched = pool->fetched_at_us != 0 &&
		elapsed_us(now_us, pool->fetched_at_us) < MONITOR_FRESH_US;
	pool->fetched_at_us = 0;
}

/* How the oldest waiter of a slice can be helped. */
enum help {
	HELP_NONE,
	HELP_IDLE, /* with *s as it is */
	HELP_OPEN,
	HELP_EVICT /* by closing *s */
};

static enum help help_for(struct monitor *m, const struct slice *slice, uint64_t now_us,
	struct pool_server **s)
{
	/* What kept it from an idle server of its own pool may have gone. */
	if (slice->pool->idle_count > 0) {
		*s = choose_idle(m, slice_oldest(slice), slice);
		if (*s != NULL)
			return HELP_IDLE;
	}
	if (!host_is_open(m, NULL, now_us) || slice->connecting >= slice->waiting ||
		!pool_may_connect(slice->pool, now_us))
		return HELP_NONE;
	if (choose_fits(m, slice))
		return HELP_OPEN;
	/* A unit that is coming will be free in a moment: not two for one. */
	if (m->idle == 0 || slice->connecting + slice->coming >= slice->waiting)
		return HELP_NONE;
	*s = choose_victim(m, slice, now_us);
	return *s != NULL ? HELP_EVICT : HELP_NONE;
}

/* How a workload stands to its floor.  One that has an idle server in another pool, which
 * is of no use to who waits, can give that up for it: a unit that is free is rather for
 * one that has not as many, who would take it back at once. */
enum floor_place { FLOOR_MET, FLOOR_MET_BY_IDLE, FLOOR_NOT_MET };

static enum floor_place floor_place(const struct share *share)
{
	if (share_has_claim(share))
		return FLOOR_NOT_MET;
	return share->used - share->idle < share->guaranteed ? FLOOR_MET_BY_IDLE : FLOOR_MET;
}

/* Is a to be helped before b?  Workloads below their floor first, then who has
 * borrowed less than its weight, then who has waited longer. */
static bool is_needier(const struct monitor *m, const struct slice *a,
	enum floor_place a_floor, const struct slice *b, enum floor_place b_floor)
{
	if (b == NULL)
		return true;
	/* There are units for both, but a limit lets only one have one: floors are no
	 * argument then. */
	if (share_quota(a, b, 2) && m->budget.used + 2 <= m->budget.limit)
		return choose_is_older(a, b);
	if (a_floor != b_floor)
		return a_floor > b_floor;
	if (a_floor != FLOOR_MET || !weights_decide(a, b))
		return choose_is_older(a, b);
	return borrows_first(a, b);
}

/* The slice that is to be helped next, and how. */
static enum help neediest(
	struct monitor *m, uint64_t now_us, struct slice **slice, struct pool_server **s)
{
	enum help best = HELP_NONE;
	enum floor_place best_floor = FLOOR_MET;

	*slice = NULL;
	for (uint32_t i = 0; i < m->budget.share_count; i++) {
		struct share *share = m->budget.shares[i];
		enum floor_place floor = floor_place(share);

		/* The usual case: at its maximum, with all of it in use. */
		if (share->used >= share->max && m->idle == 0)
			continue;
		list_for_each(&share->hungry, node) {
			struct slice *one = slice_of_hungry(node);
			struct pool_server *found = NULL;
			enum help help;

			if (!is_needier(m, one, floor, *slice, best_floor))
				continue;
			help = help_for(m, one, now_us, &found);
			if (help == HELP_NONE)
				continue;
			best = help;
			best_floor = floor;
			*slice = one;
			*s = found;
		}
	}
	return best;
}

void choose_openings(struct monitor *m, uint64_t now_us, struct monitor_actions *actions)
{
	while (m->waiting > 0 && actions_have_room(actions)) {
		struct pool_server *s = NULL;
		struct slice *slice;

		/* The usual cases, told without looking further. */
		if (m->idle == 0 &&
			(m->budget.used >= m->budget.limit ||
				!host_is_open(m, NULL, now_us)))
			return;
		switch (neediest(m, now_us, &slice, &s)) {
		case HELP_NONE:
			return;
		case HELP_IDLE:
			grant(m, slice, s, now_us, actions);
			break;
		case HELP_OPEN:
			choose_open(m, slice, now_us, actions);
			break;
		case HELP_EVICT:
			evict(m, s, slice, actions);
			break;
		}
	}
}
