/* SPDX-License-Identifier: ISC */
/*
 * What the files of the monitor share.  Everything here runs under its lock.
 */
#ifndef POOL_MONITOR_PRIV_H
#define POOL_MONITOR_PRIV_H

#include <assert.h>

#include "pool/monitor.h"

static inline struct lease *lease_of_slice(struct list_node *node)
{
	return container_of(node, struct lease, in_slice);
}

/* Who has waited longest; somebody does. */
static inline struct lease *slice_oldest(const struct slice *slice)
{
	return lease_of_slice(list_first(&slice->waiters));
}

static inline struct pool_server *server_of_idle(struct list_node *node)
{
	return container_of(node, struct pool_server, in_idle);
}

/* monitor_state.c: the only assignments to the states and to the counts. */
void server_enter(struct monitor *, struct pool_server *, enum server_state next);
void server_end_lease(struct pool_server *);
/* Its unit is counted on for a waiter of that slice; NULL: not any more. */
void server_promise(struct pool_server *, struct slice *);
void slice_count_quotas(struct slice *, int change);
void server_set_slice(struct monitor *, struct pool_server *, struct slice *);
void lease_enqueue(struct monitor *, struct lease *, struct slice *, uint64_t now_us);
void lease_dequeue(struct monitor *, struct lease *);
/* Those who wait in it are to be served from now on, or not any more. */
void pool_hold(struct monitor *, struct pool *, bool is_paused);
void lease_hold(struct monitor *, struct lease *, struct pool_server *, uint64_t now_us);
/* monitor_pin.c */
void lease_unpin(struct lease *);
void lease_post(
	struct monitor *, struct lease *, enum lease_state, struct monitor_actions *);

/* monitor_choose.c: who gets what. */
struct pool_server *choose_idle(
	struct monitor *, const struct lease *, const struct slice *);
void choose_for_server(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);
void choose_openings(struct monitor *, uint64_t now_us, struct monitor_actions *);
/* Has the slice room for one more server, as far as its own limits and those of the
 * database and the user go, given that "from" (NULL: nobody) gives one up? */
bool choose_has_room_from(const struct slice *, const struct slice *from);
/* The idle server that is to be closed for a waiter of the slice, or NULL. */
struct pool_server *choose_victim(
	const struct monitor *, const struct slice *to, uint64_t now_us);
/* A pool that has no more servers than the one that wants another keeps what it has
 * just used: its client is between two queries. */
bool choose_is_kept(const struct pool_server *, const struct slice *to, uint64_t now_us);
/* Nobody has to give up anything for one more server of this slice. */
bool choose_fits(const struct monitor *, const struct slice *);
/* Would a server of this slice be allowed if that server were not there, or if it
 * were this slice's? */
bool choose_may_replace(
	const struct monitor *, const struct pool_server *, const struct slice *);
/* The oldest waiter of one has waited longer than that of the other (NULL: nobody). */
bool choose_is_older(const struct slice *, const struct slice *);
bool choose_is_surplus(const struct monitor *, const struct pool_server *);
/* Is it to be closed whoever waits?  *why is set then. */
bool choose_is_over(const struct pool_server *, uint64_t now_us, enum server_end *why);
bool choose_may_open(const struct monitor *, const struct slice *, uint64_t now_us);
void choose_open(struct monitor *, struct slice *, uint64_t now_us,
	struct monitor_actions *);

/* Workers read the clock once a turn: what another one did may lie ahead of ours. */
static inline uint64_t elapsed_us(uint64_t now_us, uint64_t since_us)
{
	return now_us > since_us ? now_us - since_us : 0;
}

/* With the reserve while somebody has waited for it; 0: no limit. */
static inline uint32_t slice_servers_max(const struct slice *slice)
{
	if (slice->limits.servers_max == 0 || !slice->reserve_is_open)
		return slice->limits.servers_max;
	return slice->limits.servers_max + slice->limits.reserve;
}

/* Nothing is known that keeps a login from being tried. */
static inline bool pool_may_connect(const struct pool *pool, uint64_t now_us)
{
	return pool->fetching == 0 && now_us >= pool->retry_at_us;
}

static inline bool quota_has_room(const struct quota *quota, uint32_t more)
{
	return quota == NULL || quota->max == 0 || quota->used + more <= quota->max;
}

static inline bool actions_have_room(const struct monitor_actions *a)
{
	return a->count < MONITOR_ACTIONS_MAX;
}

static inline void actions_add(struct monitor_actions *a, enum monitor_verb verb,
	struct slice *slice, struct pool_server *server)
{
	assert(actions_have_room(a));
	a->list[a->count++] =
		(struct monitor_action){ .verb = verb, .slice = slice, .server = server };
}

/* It is CLOSING. */
static inline void actions_close(
	struct monitor_actions *a, struct pool_server *server, enum server_end why)
{
	actions_add(a, MONITOR_CLOSE, server->slice, server);
	a->list[a->count - 1].end = why;
}

#endif
