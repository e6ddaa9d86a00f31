/* SPDX-License-Identifier: ISC */
/*
 * Pinned leases: those that a client of a transaction workload keeps beyond the end of
 * its transaction, as the server carries what is the client's alone.
 *
 * Such a lease is not given back soon, and so never lent: as many as there are count
 * within the floor of their workload, and what it has borrowed is among the others.
 */
#include "pool/monitor_priv.h"

void lease_unpin(struct lease *l)
{
	if (!l->is_pinned)
		return;
	assert(l->slice->share->pinned > 0);
	l->is_pinned = false;
	l->slice->share->pinned--;
}

static void pin(struct lease *l)
{
	l->is_pinned = true;
	l->slice->share->pinned++;
}

void monitor_share_pins(struct monitor *m, struct share *share, uint32_t max)
{
	pthread_mutex_lock(&m->lock);
	share->pinned_max = max;
	share->is_ending = false;
	pthread_mutex_unlock(&m->lock);
}

void monitor_share_ends(struct monitor *m, struct share *share, uint32_t more)
{
	pthread_mutex_lock(&m->lock);
	share->pinned_max = share->pinned + more;
	share->is_ending = true;
	pthread_mutex_unlock(&m->lock);
}

bool monitor_pin(struct monitor *m, struct lease *l, uint32_t *max)
{
	struct share *share;

	pthread_mutex_lock(&m->lock);
	assert(l->state == LEASE_HELD);
	share = l->slice->share;
	*max = share_pinned_max(share);
	if (!l->is_pinned && share->pinned < *max)
		pin(l);
	else if (!l->is_pinned)
		share->pins_refused++;
	pthread_mutex_unlock(&m->lock);
	return l->is_pinned;
}

void monitor_pin_found(struct monitor *m, struct lease *l)
{
	struct share *share;

	pthread_mutex_lock(&m->lock);
	assert(l->state == LEASE_HELD);
	share = l->slice->share;
	if (!l->is_pinned) {
		share->pins_over += share->pinned >= share_pinned_max(share);
		pin(l);
	}
	pthread_mutex_unlock(&m->lock);
}

void monitor_unpin(struct monitor *m, struct lease *l)
{
	pthread_mutex_lock(&m->lock);
	assert(l->state == LEASE_HELD);
	lease_unpin(l);
	pthread_mutex_unlock(&m->lock);
}
