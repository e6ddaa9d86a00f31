/* SPDX-License-Identifier: ISC */
/*
 * A node lies in the slot of the tick at which it must be looked at: that of
 * its deadline, rounded up, or the last one of the wheel when the deadline is
 * further away.  What comes up too soon is put in again.
 */
#include "net/timers.h"

#include <assert.h>

static uint64_t tick_of(uint64_t deadline_us)
{
	return deadline_us / TIMERS_TICK_US + (deadline_us % TIMERS_TICK_US != 0);
}

void timers_init(struct timers *ts, uint64_t now_us)
{
	*ts = (struct timers){ .tick = now_us / TIMERS_TICK_US };
	for (size_t i = 0; i < TIMERS_SLOTS; i++)
		list_init(&ts->slots[i]);
}

void timer_init(struct timer *t, timer_fired_f *fired)
{
	*t = (struct timer){ .fired = fired };
	list_node_init(&t->node);
}

static void insert(struct timers *ts, struct timer *t)
{
	uint64_t tick = tick_of(t->deadline_us);
	uint64_t slot;

	if (tick < ts->tick)
		tick = ts->tick;
	if (tick - ts->tick >= TIMERS_SLOTS)
		tick = ts->tick + TIMERS_SLOTS - 1;
	t->slot_tick = tick;
	slot = tick % TIMERS_SLOTS;
	list_push_back(&ts->slots[slot], &t->node);
	ts->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

void timer_set(struct timers *ts, struct timer *t, uint64_t deadline_us)
{
	t->deadline_us = deadline_us == 0 ? 1 : deadline_us;
	if (list_is_linked(&t->node)) {
		if (tick_of(t->deadline_us) >= t->slot_tick)
			return;
		list_remove(&t->node);
	} else {
		ts->count++;
	}
	insert(ts, t);
}

void timer_stop(struct timer *t)
{
	t->deadline_us = 0;
}

/* They are moved when their slots come up. */
void timers_delay(struct timers *ts, uint64_t by_us)
{
	for (size_t i = 0; i < COUNT_OF(ts->slots); i++) {
		list_for_each(&ts->slots[i], node) {
			struct timer *t = container_of(node, struct timer, node);

			if (t->deadline_us != 0)
				t->deadline_us += by_us;
		}
	}
}

void timer_finish(struct timers *ts, struct timer *t)
{
	t->deadline_us = 0;
	if (!list_is_linked(&t->node))
		return;
	list_remove(&t->node);
	assert(ts->count > 0);
	ts->count--;
}

static void run_slot(struct timers *ts, uint64_t slot, uint64_t now_us)
{
	struct list due;
	struct list_node *node;

	ts->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
	list_init(&due);
	list_splice_back(&due, &ts->slots[slot]);
	while ((node = list_pop_front(&due)) != NULL) {
		struct timer *t = container_of(node, struct timer, node);

		if (t->deadline_us > now_us) {
			insert(ts, t);
			continue;
		}
		ts->count--;
		if (t->deadline_us == 0)
			continue;
		t->deadline_us = 0;
		t->fired(t, now_us);
	}
}

void timers_run(struct timers *ts, uint64_t now_us)
{
	uint64_t last = now_us / TIMERS_TICK_US;
	uint64_t first = ts->tick;

	if (last < first)
		last = first;
	if (last - first >= TIMERS_SLOTS)
		first = last - TIMERS_SLOTS + 1;
	/* Set before any handler runs: what handlers add goes behind it.  The
	 * slot of the tick itself is looked at again by the next run, for
	 * deadlines that had already passed when they were set. */
	ts->tick = last;
	for (uint64_t tick = first; tick <= last; tick++) {
		uint64_t slot = tick % TIMERS_SLOTS;

		if (ts->used[slot / 64] & (UINT64_C(1) << (slot % 64)))
			run_slot(ts, slot, now_us);
	}
}

uint64_t timers_next_us(const struct timers *ts)
{
	uint64_t slot = ts->tick % TIMERS_SLOTS;
	uint64_t distance = 0;

	if (ts->count == 0)
		return UINT64_MAX;
	while (distance < TIMERS_SLOTS) {
		uint64_t bits = ts->used[slot / 64] >> (slot % 64);
		uint64_t rest = 64 - slot % 64;

		if (bits != 0) {
			distance += (uint64_t)__builtin_ctzll(bits);
			return (ts->tick + distance) * TIMERS_TICK_US;
		}
		distance += rest;
		slot = (slot + rest) % TIMERS_SLOTS;
	}
	return UINT64_MAX;
}
