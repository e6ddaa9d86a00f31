/* SPDX-License-Identifier: ISC */
/*
 * A host's budget as views show it: who has which part, and who lends to whom.
 */
#include <string.h>

#include "admin/snap.h"
#include "base/clock.h"

static void count_lease(struct snap_share *share, const struct pool_server *s)
{
	if (s->used_at_us == 0 || (share->lease_us != 0 && share->lease_us <= s->used_at_us))
		return;
	share->lease_us = s->used_at_us;
	share->lease_client = s->client_id;
}

/* Its servers by what they do; the rest of its units is connecting, some of them
 * without a server yet. */
static void count_server(
	struct snap_budget *b, const struct pool_server *s, uint64_t now_us)
{
	struct snap_share *share = &b->shares[s->slice->share->index];

	switch (s->state) {
	case SERVER_LEASED:
		count_lease(share, s);
		share->leased++;
		return;
	case SERVER_CLEANING:
		share->leased++;
		return;
	case SERVER_IDLE:
	case SERVER_CHECKING:
		share->idle++;
		return;
	case SERVER_CLOSING:
		share->closing++;
		if (s->closing_since_us != 0 &&
			now_us > s->closing_since_us + MONITOR_CLOSING_PATIENCE_US)
			b->quarantined++;
		return;
	case SERVER_CONNECTING:
	case SERVER_GONE:
	case SERVER_STATE_COUNT:
		return;
	}
}

static void copy_share(struct snap_share *to, const struct monitor *m, const struct share *s,
	uint64_t now_us)
{
	struct list_node *first = list_first(&s->waiters);
	const struct lease *oldest;

	*to = (struct snap_share){
		.workload = s->name,
		.guaranteed = s->guaranteed,
		.max = s->max,
		.weight = s->weight == 0 ? 1 : s->weight,
		.used = s->used,
		.waiting = s->waiting,
		.stalled_ended = s->stalled_ended,
		.pinned = s->pinned,
		.max_pinned = s->kind == SHARE_LASTING ? 0 : share_pinned_max(s),
		.pins_refused = s->pins_refused,
		.pins_over = s->pins_over,
	};
	if (first == NULL)
		return;
	oldest = container_of(first, struct lease, in_share);
	to->oldest_us = oldest->asked_at_us;
	to->reason = monitor_slice_reason(m, oldest->slice, now_us);
}

static void copy_budget(struct snap_budget *out, const struct monitor *m, uint64_t now_us)
{
	out->limit = m->budget.limit;
	out->elsewhere = m->limits.elsewhere;
	out->used = m->budget.used;
	out->waiting = m->waiting + m->held;
	out->denied = m->denied;
	memcpy(out->failed, m->failed, sizeof(out->failed));
	out->retry_at_us = m->retry_at_us;
	out->error = m->error;
	out->share_count = m->budget.share_count;
	for (uint32_t i = 0; i < out->share_count; i++)
		copy_share(&out->shares[i], m, m->budget.shares[i], now_us);
	list_for_each(&m->servers, node) count_server(
		out, container_of(node, struct pool_server, in_monitor), now_us);
}

/* What of the loans no unclaimed unit covers is missing from the floors of those who
 * use less than them: each lends in proportion to what it leaves unused. */
void snap_find_lent(struct snap_budget *b)
{
	uint64_t open = 0, floors = 0, borrowed = 0, lent, seen = 0;

	for (uint32_t i = 0; i < b->share_count; i++) {
		struct snap_share *s = &b->shares[i];

		s->borrowed = s->used > s->guaranteed ? s->used - s->guaranteed : 0;
		borrowed += s->borrowed;
		floors += s->guaranteed;
		open += s->used < s->guaranteed ? s->guaranteed - s->used : 0;
	}
	lent = floors < b->limit ? b->limit - floors : 0;
	lent = borrowed > lent ? borrowed - lent : 0;
	/* More only where the budget has shrunk: that is nobody's loan. */
	lent = u64_min(lent, open);
	for (uint32_t i = 0; i < b->share_count; i++) {
		struct snap_share *s = &b->shares[i];
		uint64_t before = seen;

		seen += s->used < s->guaranteed ? s->guaranteed - s->used : 0;
		/* Cut where the running sum crosses whole numbers: it adds up. */
		s->lent = open == 0
			? 0
			: (uint32_t)(seen * lent / open - before * lent / open);
	}
	b->guaranteed = (uint32_t)floors;
	b->borrowed = (uint32_t)borrowed;
	b->lent = (uint32_t)lent;
}

void snap_budget(struct route_host *h, struct snap_budget *out)
{
	struct monitor *m = &h->monitor;
	uint64_t now_us = clock_now_us();

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&m->lock);
	copy_budget(out, m, now_us);
	pthread_mutex_unlock(&m->lock);
	for (uint32_t i = 0; i < out->share_count; i++) {
		struct snap_share *s = &out->shares[i];

		s->connecting = s->used - s->leased - s->idle - s->closing;
		out->leased += s->leased;
		out->idle += s->idle;
		out->connecting += s->connecting;
		out->closing += s->closing;
	}
	snap_find_lent(out);
}

void snap_reclaims(struct route_host *h, uint32_t share, struct histogram *out)
{
	struct monitor *m = &h->monitor;

	pthread_mutex_lock(&m->lock);
	*out = m->budget.shares[share]->reclaims;
	pthread_mutex_unlock(&m->lock);
}

bool snap_share_is_alive(const struct snap_share *s)
{
	return s->max > 0 || s->used > 0 || s->waiting > 0;
}
