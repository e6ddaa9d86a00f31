/* SPDX-License-Identifier: ISC */
/*
 * What must be true of a host after every operation.
 */
#include "model.h"

static uint32_t above(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

static uint32_t at_least(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static struct slice *slice_at(struct model *w, uint32_t n)
{
	return &w->slices[n / MODEL_SHARES][n % MODEL_SHARES];
}

enum { SLICES = MODEL_POOLS * MODEL_SHARES };

/* By how much the claims of all exceed the budget: what a lasting share holds
 * above its floor is not there when another wants its own. */
static uint32_t lent_too_much(const struct model *w)
{
	uint32_t sum = 0;

	for (int i = 0; i < MODEL_SHARES; i++) {
		const struct share *s = &w->shares[i];

		sum += s->kind == SHARE_LASTING ? at_least(s->used, s->guaranteed)
						: s->guaranteed;
	}
	return above(sum, w->m.budget.limit);
}

/* An idle server was used a moment ago: who wants it, or one within a floor in its
 * place, may be told to wait for that moment. */
static bool has_just_used(const struct model *w)
{
	for (int i = 0; i < MODEL_SERVERS; i++) {
		const struct pool_server *s = &w->servers[i].s;

		if (w->servers[i].place == PLACE_POOL && s->state == SERVER_IDLE &&
			w->now < s->used_at_us + MONITOR_KEEP_US)
			return true;
	}
	return false;
}

void model_remember(struct model *w)
{
	struct model_counts *n = &w->before;

	w->had_just_used = has_just_used(w);
	w->has_chosen = false;
	w->was_upkept = false;
	w->returned = NULL;
	w->ended = NULL;
	w->asked = NULL;
	w->limits_changed = false;
	n->used = w->m.budget.used;
	n->connecting = w->m.connecting;
	n->lent = lent_too_much(w);
	for (int i = 0; i < MODEL_SHARES; i++)
		n->share_used[i] = w->shares[i].used;
	for (int i = 0; i < MODEL_QUOTAS; i++)
		n->quota_used[i] = w->quotas[i].used;
	for (int i = 0; i < MODEL_POOLS; i++)
		n->is_paused[i] = w->pools[i].is_paused;
	for (int i = 0; i < MODEL_POOLS; i++)
		n->fetching[i] = w->pools[i].fetching;
	for (uint32_t i = 0; i < SLICES; i++) {
		const struct slice *slice = slice_at(w, i);

		n->slice_servers[i / MODEL_SHARES][i % MODEL_SHARES] = slice->servers;
		n->slice_coming[i / MODEL_SHARES][i % MODEL_SHARES] = slice->coming;
		n->slice_waiting[i / MODEL_SHARES][i % MODEL_SHARES] = slice->waiting;
	}
	for (int i = 0; i < MODEL_CLIENTS; i++) {
		struct model_client *client = &w->clients[i];

		client->was_waiting = client->lease.state == LEASE_WAITING;
	}
}

/* Above a limit only because it was lowered, and then nothing is added. */
static bool exceeds(uint32_t now, uint32_t limit, uint32_t before)
{
	return now > limit && now > before;
}

static void check_limits(struct model *w)
{
	const struct model_counts *n = &w->before;

	if (exceeds(w->m.budget.used, w->m.budget.limit, n->used))
		model_fail(w, "more servers than the budget");
	if (exceeds(w->m.connecting, w->m.limits.connecting_max, n->connecting))
		model_fail(w, "more connects at once than allowed");
	if (!w->limits_changed && lent_too_much(w) > n->lent)
		model_fail(w, "a lasting share took what a floor may claim");
	for (int i = 0; i < MODEL_SHARES; i++) {
		if (exceeds(w->shares[i].used, w->shares[i].max, n->share_used[i]))
			model_fail(w, "a share has more than its maximum");
	}
	for (int i = 0; i < MODEL_QUOTAS; i++) {
		if (w->quotas[i].max != 0 &&
			exceeds(w->quotas[i].used, w->quotas[i].max, n->quota_used[i]))
			model_fail(w, "a database or user has more than its limit");
	}
	for (uint32_t i = 0; i < SLICES; i++) {
		const struct slice *slice = slice_at(w, i);
		uint32_t max = slice->limits.servers_max;

		if (max != 0 && slice->reserve_is_open)
			max += slice->limits.reserve;
		if (max != 0 &&
			exceeds(slice->servers, max,
				n->slice_servers[i / MODEL_SHARES][i % MODEL_SHARES]))
			model_fail(w, "a slice has more servers than its limit");
	}
}

static bool place_is_right(const struct model_server *server)
{
	const struct pool_server *s = &server->s;

	switch (server->place) {
	case PLACE_FREE:
		return s->state == SERVER_GONE || s->id == 0;
	case PLACE_CONNECTING:
		return s->state == SERVER_CONNECTING;
	case PLACE_POOL:
		/* Granted, and its worker not yet told: nobody has it. */
		return s->state == SERVER_IDLE ||
			(s->state == SERVER_LEASED && s->lease != NULL &&
				s->lease->state == LEASE_GRANTED);
	case PLACE_CLIENT:
		return s->state == SERVER_LEASED && s->lease == &server->client->lease &&
			s->lease->state == LEASE_HELD;
	case PLACE_CLEANING:
		return s->state == SERVER_CLEANING && s->lease == NULL;
	case PLACE_CHECKING:
		return s->state == SERVER_CHECKING && s->lease == NULL;
	case PLACE_CLOSING:
		return s->state == SERVER_CLOSING && s->lease == NULL;
	}
	return false;
}

/* Every unit has one owner: a server in one place, or a connect to begin. */
static void check_servers(struct model *w)
{
	uint32_t of_slice[MODEL_POOLS][MODEL_SHARES] = { 0 };
	uint32_t of_quota[MODEL_QUOTAS] = { 0 };
	uint32_t units = w->open_count;

	for (int i = 0; i < MODEL_SERVERS; i++) {
		const struct model_server *server = &w->servers[i];

		if (!place_is_right(server))
			model_fail(w, "a server is not where its state says");
		if (server->place == PLACE_FREE)
			continue;
		units++;
		of_slice[server->s.slice->pool - w->pools]
			[server->s.slice->share - w->shares]++;
	}
	for (uint32_t i = 0; i < w->open_count; i++)
		of_slice[w->opens[i].slice->pool - w->pools]
			[w->opens[i].slice->share - w->shares]++;
	if (units != w->m.budget.used)
		model_fail(w, "a unit without an owner, or with two");
	for (uint32_t i = 0; i < SLICES; i++) {
		const struct slice *slice = slice_at(w, i);

		if (slice->servers != of_slice[i / MODEL_SHARES][i % MODEL_SHARES])
			model_fail(w, "a unit counts for the wrong slice");
		of_quota[slice->quotas[0] - w->quotas] += slice->servers;
		of_quota[slice->quotas[1] - w->quotas] += slice->servers;
	}
	for (int i = 0; i < MODEL_QUOTAS; i++) {
		if (of_quota[i] != w->quotas[i].used)
			model_fail(w, "a quota counts wrongly");
	}
}

/* What is pinned is somebody's, and counts for its workload. */
static void check_pins(struct model *w)
{
	uint32_t of_share[MODEL_SHARES] = { 0 };

	for (int i = 0; i < MODEL_CLIENTS; i++) {
		const struct model_client *client = &w->clients[i];

		if (!client->lease.is_pinned)
			continue;
		if (client->place != CLIENT_HOLDS)
			model_fail(w, "a lease is pinned that nobody holds");
		of_share[client->lease.slice->share - w->shares]++;
	}
	for (int i = 0; i < MODEL_SHARES; i++) {
		if (of_share[i] != w->shares[i].pinned)
			model_fail(w, "a share counts its pinned leases wrongly");
	}
}

static bool client_is_right(const struct model_client *client)
{
	const struct lease *l = &client->lease;

	switch (client->place) {
	case CLIENT_OUT:
		return l->state == LEASE_NONE;
	case CLIENT_WAITS:
		return l->state == LEASE_WAITING || l->state == LEASE_GRANTED ||
			l->state == LEASE_REFUSED;
	case CLIENT_HOLDS:
		return l->state == LEASE_HELD && l->server == &client->server->s;
	}
	return false;
}

/* Who has been served by this operation must have been the first to ask. */
static void check_clients(struct model *w)
{
	for (int i = 0; i < MODEL_CLIENTS; i++) {
		const struct model_client *a = &w->clients[i];
		bool was_served = a->was_waiting
			? a->lease.state == LEASE_GRANTED
			: a->seq == w->next_seq && a->lease.state == LEASE_HELD;

		if (!client_is_right(a))
			model_fail(w, "a lease is not what its client believes");
		if (a->was_waiting && a->lease.state != LEASE_WAITING &&
			a->lease.state != LEASE_NONE &&
			(w->todo.wake & (UINT64_C(1) << a->lease.worker)) == 0)
			model_fail(w, "nobody tells the worker of a waiter");
		for (int k = 0; was_served && k < MODEL_CLIENTS; k++) {
			const struct model_client *b = &w->clients[k];

			if (b->lease.state == LEASE_WAITING && b->seq < a->seq &&
				b->lease.slice == a->lease.slice)
				model_fail(w, "overtaken by a younger waiter");
		}
	}
}

/* Once "from" (or nobody: NULL) has given a server up. */
static bool has_room(const struct slice *slice, const struct slice *from)
{
	for (int i = 0; i < SLICE_QUOTAS; i++) {
		const struct quota *quota = slice->quotas[i];
		bool is_given_up = from != NULL && from->quotas[i] == quota;

		if (quota->max != 0 && quota->used - (is_given_up ? 1 : 0) >= quota->max)
			return false;
	}
	return slice->limits.servers_max == 0 ||
		slice->servers < slice->limits.servers_max +
			(slice->reserve_is_open ? slice->limits.reserve : 0);
}

static bool is_usable(
	const struct model *w, const struct pool_server *s, const struct slice *slice)
{
	if (s->slice->pool != slice->pool || s->epoch != slice->pool->epoch)
		return false;
	return s->slice == slice ||
		(has_room(slice, s->slice) &&
			budget_may_take(&w->m.budget, slice->share, s->slice->share));
}

static bool is_evictable(
	const struct model *w, const struct pool_server *s, const struct slice *slice)
{
	if (s->slice->pool == slice->pool && s->epoch == slice->pool->epoch)
		return false;
	return has_room(slice, s->slice) &&
		budget_may_take(&w->m.budget, slice->share, s->slice->share);
}

/* Does anything but limits keep a connect from being made for its waiters? */
static bool connect_is_held(const struct model *w, const struct slice *slice)
{
	return w->must_choose || w->m.connecting >= w->m.limits.connecting_max ||
		w->chosen_at < w->m.retry_at_us ||
		w->chosen_at < slice->pool->retry_at_us || slice->pool->fetching > 0 ||
		slice->connecting >= slice->waiting;
}

/* A waiter has a server on its way, or a limit that holds it. */
static void check_waiters(struct model *w, const struct slice *slice)
{
	bool is_held = connect_is_held(w, slice);
	bool is_coming = slice->connecting + slice->coming >= slice->waiting;

	if (!is_held && has_room(slice, NULL) &&
		budget_may_take(&w->m.budget, slice->share, NULL))
		model_fail(w, "a waiter, and a unit that it could have");
	for (int i = 0; i < MODEL_SERVERS; i++) {
		const struct pool_server *s = &w->servers[i].s;

		if (w->servers[i].place != PLACE_POOL || s->state != SERVER_IDLE)
			continue;
		if (is_usable(w, s, slice))
			model_fail(w, "a waiter, and an idle server that it could use");
		if (!is_held && !is_coming && !w->spares && is_evictable(w, s, slice))
			model_fail(w, "a waiter, and an idle server that could go");
	}
}

/* Units were free: the host let nobody in until now. */
static bool has_opened(const struct model *w)
{
	for (uint32_t i = 0; i < w->todo.count; i++) {
		if (w->todo.list[i].verb == MONITOR_OPEN)
			return true;
	}
	return false;
}

/* Without the unit that was returned, and before it was chosen for anybody: an
 * idle one may be lent from a floor whose own waiters cannot use it. */
static bool was_below_floor(const struct model *w, const struct share *share)
{
	uint32_t before = w->before.share_used[share - w->shares];

	return share_has_claim(share) &&
		before - (w->owner == share ? 1 : 0) < share->guaranteed;
}

/* A borrowed unit that was returned stayed with a borrower: then nobody below a
 * floor waits for it whom nothing else is going to help. */
static void check_returned(struct model *w, const struct slice *slice)
{
	const struct pool_server *s = w->returned;

	if (s == NULL || (s->state != SERVER_IDLE && s->state != SERVER_LEASED) ||
		!share_is_borrowing(s->slice->share) ||
		w->m.budget.used > w->m.budget.limit || has_opened(w))
		return;
	if (!has_room(slice, NULL) && budget_may_take(&w->m.budget, slice->share, NULL))
		return; /* it is a quota that it waits for */
	if (was_below_floor(w, slice->share) && !connect_is_held(w, slice) &&
		has_room(slice, s->slice) &&
		slice->connecting + slice->coming < slice->waiting)
		model_fail(w, "a borrower keeps what a floor waits for");
}

/* A server closes for a waiter, who may then be helped otherwise, too, within the
 * same operation; never do two close for one, nor one for whom a connect was under
 * way. */
static void check_coming(
	struct model *w, const struct slice *slice, uint32_t p, uint32_t s)
{
	uint32_t waited = w->before.slice_waiting[p][s] + (w->asked == slice ? 1 : 0);
	uint32_t connecting = slice->connecting;

	for (uint32_t i = 0; i < w->todo.count; i++) {
		const struct monitor_action *a = &w->todo.list[i];

		connecting -= a->verb == MONITOR_OPEN && a->slice == slice;
	}
	if (!w->limits_changed && slice->coming > w->before.slice_coming[p][s] &&
		connecting + slice->coming > at_least(waited, slice->waiting))
		model_fail(w, "two servers close for one waiter");
}

/* What was taken from a client was borrowed, and goes to somebody below its floor who
 * has waited for the grace. */
static void check_ended(struct model *w)
{
	const struct slice *slice;
	const struct lease *oldest;

	if (w->ended == NULL)
		return;
	slice = w->ended->promised_to;
	if (slice == NULL || slice->waiting == 0) {
		model_fail(w, "a lease is ended for nobody");
		return;
	}
	oldest = container_of(list_first(&slice->waiters), struct lease, in_slice);
	if (!share_is_borrowing(w->owner))
		model_fail(w, "a lease within its floor is ended");
	if (w->ended_own)
		model_fail(w, "a pinned lease within its floor is ended");
	if (!share_is_below_floor(slice->share))
		model_fail(w, "a lease is ended for a borrower");
	if (w->m.limits.reclaim_grace_us == 0 ||
		w->now < oldest->asked_at_us + w->m.limits.reclaim_grace_us)
		model_fail(w, "a lease is ended before the grace is over");
	if (!has_room(slice, w->ended->slice))
		model_fail(w, "a lease is ended for who may not have its unit");
	if (slice->pool->fetching > 0)
		model_fail(w, "a lease is ended for who cannot use its unit yet");
}

/* Nothing is granted, kept, opened or given up for a paused pool. */
static void check_paused(struct model *w, const struct slice *slice, uint32_t p, uint32_t s)
{
	if (w->before.is_paused[p] && slice->servers > w->before.slice_servers[p][s])
		model_fail(w, "a paused pool has one more server");
	if (slice->coming > 0)
		model_fail(w, "a unit is promised to a paused pool");
	for (int i = 0; w->before.is_paused[p] && i < MODEL_CLIENTS; i++) {
		const struct model_client *client = &w->clients[i];

		if (client->lease.slice == slice &&
			((client->was_waiting && client->lease.state == LEASE_GRANTED) ||
				(w->asked == slice && client->seq == w->next_seq &&
					client->lease.state == LEASE_HELD)))
			model_fail(w, "a paused pool serves somebody");
	}
	for (int i = 0; w->was_upkept && i < MODEL_SERVERS; i++) {
		if (w->servers[i].place == PLACE_POOL && w->servers[i].s.slice == slice &&
			w->servers[i].s.state == SERVER_IDLE)
			model_fail(w, "a paused pool keeps a server");
	}
}

/* What is to be told is counted; until then nothing is begun for its pool, and no unit is
 * given up for it. */
static void check_fetching(struct model *w, const struct slice *slice, uint32_t p, uint32_t s)
{
	if (slice->pool->fetching != w->fetches[p])
		model_fail(w, "a pool counts its fetches wrongly");
	if (w->before.fetching[p] == 0 || slice->pool->fetching == 0)
		return;
	for (uint32_t i = 0; i < w->todo.count; i++) {
		if (w->todo.list[i].verb == MONITOR_OPEN && w->todo.list[i].slice == slice)
			model_fail(w, "a connect begins without its password");
	}
	if (slice->coming > w->before.slice_coming[p][s])
		model_fail(w, "a unit is promised to who cannot use it yet");
}

static void check_slices(struct model *w)
{
	for (uint32_t i = 0; i < SLICES; i++) {
		const struct slice *slice = slice_at(w, i);

		check_coming(w, slice, i / MODEL_SHARES, i % MODEL_SHARES);
		check_fetching(w, slice, i / MODEL_SHARES, i % MODEL_SHARES);
		if (slice->pool->is_paused)
			check_paused(w, slice, i / MODEL_SHARES, i % MODEL_SHARES);
		if (slice->waiting == 0 || slice->pool->is_paused)
			continue;
		check_waiters(w, slice);
		check_returned(w, slice);
	}
}

void model_check(struct model *w)
{
	if (w->has_chosen)
		w->spares = w->had_just_used || w->returned != NULL || has_just_used(w);
	monitor_check(&w->m);
	check_limits(w);
	check_servers(w);
	check_clients(w);
	check_slices(w);
	check_pins(w);
	check_ended(w);
}

bool model_has_hope(const struct model *w, const struct share *share)
{
	uint32_t floors = 0;

	for (int i = 0; i < MODEL_SHARES; i++)
		floors += w->shares[i].guaranteed;
	return share->guaranteed > 0 || floors < w->m.budget.limit;
}
