/* SPDX-License-Identifier: ISC */
/*
 * Looks the hosts' names up again and again, in a thread, because a name service may
 * take as long as it likes.
 *
 * Owns:   the round of look-ups under way; its thread has copies of what it needs,
 *         and touches nothing of the directory.
 * Thread: the one that reloads.
 * Limits: one round at a time.
 */
#ifndef ROUTE_RESOLVER_H
#define ROUTE_RESOLVER_H

#include "base/base.h"

struct directory;
struct resolver;

/* The first round begins at that time.  NULL: out of memory. */
struct resolver *resolver_create(uint64_t first_us);

/* To be called often, never waits: takes over what was found (servers of an address
 * that is gone close when they are returned), and begins another round when
 * dns_max_ttl is over. */
void resolver_tick(struct resolver *, struct directory *, uint64_t now_us);

/* A round is under way. */
bool resolver_is_busy(const struct resolver *);

/* Does not wait for the name service either: a round under way frees itself. */
void resolver_destroy(struct resolver **);

#endif
