/* SPDX-License-Identifier: ISC */
/*
 * Deadlines of one worker: a hashed wheel of intrusive nodes.
 *
 * Setting a later deadline and stopping are a store each: the node stays where
 * it is and is moved or dropped when its slot comes up.  Most deadlines of a
 * router are replaced long before they are due.
 *
 * Owns:   nothing; timers are embedded in their owners.
 * Thread: one.
 * Limits: resolution TIMERS_TICK_US; a timer never fires early.
 */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include "base/base.h"
#include "base/list.h"

/* A wheel of 4.2 s, and blocks of 2.1 s that reach 2 minutes. */
enum { TIMERS_TICK_US = 4096, TIMERS_SLOTS = 1024, TIMERS_BLOCK = 512, TIMERS_BLOCKS = 64 };

_Static_assert(TIMERS_BLOCK < TIMERS_SLOTS, "whose block begins has a slot");

struct timer;

typedef void timer_fired_f(struct timer *, uint64_t now_us);

struct timer {
	struct list_node node;
	timer_fired_f *fired;
	uint64_t deadline_us;           /* 0: stopped */
	uint64_t slot_tick;             /* where the node is */
};

struct timers {
	struct list slots[TIMERS_SLOTS];
	uint64_t used[TIMERS_SLOTS / 64];       /* bit: slot may hold a node */
	struct list blocks[TIMERS_BLOCKS];
	uint64_t used_blocks;                   /* the same */
	uint64_t tick;                          /* all before it have been run */
	uint32_t count;
};

void timers_init(struct timers *, uint64_t now_us);
void timer_init(struct timer *, timer_fired_f *fired);

/* Starts or moves it.  A deadline in the past fires at the next timers_run(). */
void timer_set(struct timers *, struct timer *, uint64_t deadline_us);
void timer_stop(struct timer *);

/* All that are set are due that much later: for time that does not count. */
void timers_delay(struct timers *, uint64_t by_us);

/* Before the owner's memory goes: unlinks the node. */
void timer_finish(struct timers *, struct timer *);

static inline bool timer_is_set(const struct timer *t)
{
	return t->deadline_us != 0;
}

/* Fires all that is due.  Handlers may set, stop and finish any timer. */
void timers_run(struct timers *, uint64_t now_us);

/* When to run again at the latest; UINT64_MAX when there is no timer. */
uint64_t timers_next_us(const struct timers *);

#endif
