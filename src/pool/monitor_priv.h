/* SPDX-License-Identifier: ISC */
/*
 * What the files of the monitor share.  Everything here runs under its lock.
 */
#ifndef POOL_MONITOR_PRIV_H
#define POOL_MONITOR_PRIV_H

#include <assert.h>

#include "pool/monitor.h"

static inline struct pool_server *server_of_idle(struct list_node *node)
{
	return container_of(node, struct pool_server, in_idle);
}

/* monitor_state.c: the only assignments to the states and to the counts. */
void server_enter(struct monitor *, struct pool_server *, enum server_state next);
void server_end_lease(struct pool_server *);
void slice_count_quotas(struct slice *, int change);
void server_set_slice(struct monitor *, struct pool_server *, struct slice *);
void lease_enqueue(struct monitor *, struct lease *, struct slice *, uint64_t now_us);
void lease_dequeue(struct monitor *, struct lease *);
void lease_hold(struct monitor *, struct lease *, struct pool_server *, uint64_t now_us);
void lease_post(struct monitor *, struct lease *, enum lease_state,
	struct monitor_actions *);

/* monitor_choose.c: who gets what. */
struct pool_server *choose_idle(struct monitor *, const struct lease *,
	const struct slice *);
void choose_for_server(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);
void choose_openings(struct monitor *, uint64_t now_us, struct monitor_actions *);
bool choose_is_surplus(const struct monitor *, const struct pool_server *);
bool choose_may_open(const struct monitor *, const struct slice *, uint64_t now_us);
void choose_open(struct monitor *, struct slice *, struct monitor_actions *);

/* Workers read the clock once a turn: what another one did may lie ahead of ours. */
static inline uint64_t elapsed_us(uint64_t now_us, uint64_t since_us)
{
	return now_us > since_us ? now_us - since_us : 0;
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

#endif
