/* SPDX-License-Identifier: ISC */
/*
 * A node lies in the slot of the tick at which it must be looked at: that of its
 * deadline, rounded up, or, when that is further away than the wheel reaches, the first
 * tick of its deadline's block, with all others of that block; of deadlines that not even
 * the blocks reach, the last one.  What comes up too soon is put in again.  So ten
 * thousand clients that are to be asked in an hour wake nobody but once in a block.
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
	for (size_t i = 0; i < TIMERS_BLOCKS; i++)
		list_init(&ts->blocks[i]);
}

void timer_init(struct timer *t, timer_fired_f *fired)
{
	*t = (struct timer){ .fired = fired };
	list_node_init(&t->node);
}

/* Behind the block that is now: half a wheel is shorter than the whole. */
static void insert_far(struct timers *ts, struct timer *t, uint64_t tick)
{
	uint64_t now = ts->tick / TIMERS_BLOCK;
	uint64_t block = u64_min(tick / TIMERS_BLOCK, now + TIMERS_BLOCKS - 1);

	t->slot_tick = block * TIMERS_BLOCK;
	list_push_back(&ts->blocks[block % TIMERS_BLOCKS], &t->node);
	ts->used_blocks |= UINT64_C(1) << (block % TIMERS_BLOCKS);
}

static void insert(struct timers *ts, struct timer *t)
{
	uint64_t tick = tick_of(t->deadline_us);
	uint64_t slot;

	if (tick < ts->tick)
		tick = ts->tick;
	if (tick - ts->tick >= TIMERS_SLOTS) {
		insert_far(ts, t, tick);
		return;
	}
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

static void delay(const struct list *slot, uint64_t by_us)
{
	list_for_each(slot, node) {
		struct timer *t = container_of(node, struct timer, node);

		if (t->deadline_us != 0)
			t->deadline_us += by_us;
	}
}

/* They are moved when their slots come up. */
void timers_delay(struct timers *ts, uint64_t by_us)
{
	for (size_t i = 0; i < COUNT_OF(ts->slots); i++)
		delay(&ts->slots[i], by_us);
	for (size_t i = 0; i < COUNT_OF(ts->blocks); i++)
		delay(&ts->blocks[i], by_us);
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

static void run_list(struct timers *ts, struct list *slot, uint64_t now_us)
{
	struct list due;
	struct list_node *node;

	list_init(&due);
	list_splice_back(&due, slot);
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

static void run_slot(struct timers *ts, uint64_t slot, uint64_t now_us)
{
	if ((ts->used[slot / 64] & (UINT64_C(1) << (slot % 64))) == 0)
		return;
	ts->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
	run_list(ts, &ts->slots[slot], now_us);
}

/* Those that have begun since the tick before. */
static void run_blocks(struct timers *ts, uint64_t before, uint64_t now_us)
{
	uint64_t first = before / TIMERS_BLOCK + 1, last = ts->tick / TIMERS_BLOCK;

	if (last >= first + TIMERS_BLOCKS)
		first = last - TIMERS_BLOCKS + 1;
	for (uint64_t block = first; block <= last; block++) {
		uint64_t slot = block % TIMERS_BLOCKS;

		ts->used_blocks &= ~(UINT64_C(1) << slot);
		run_list(ts, &ts->blocks[slot], now_us);
	}
}

void timers_run(struct timers *ts, uint64_t now_us)
{
	uint64_t last = now_us / TIMERS_TICK_US;
	uint64_t first = ts->tick;

	if (last < first)
		last = first;
	/* Set before any handler runs: what handlers add goes behind it.  The
	 * slot of the tick itself is looked at again by the next run, for
	 * deadlines that had already passed when they were set. */
	ts->tick = last;
	run_blocks(ts, first, now_us);
	if (last - first >= TIMERS_SLOTS)
		first = last - TIMERS_SLOTS + 1;
	for (uint64_t tick = first; tick <= last; tick++)
		run_slot(ts, tick % TIMERS_SLOTS, now_us);
}

static uint64_t next_slot_us(const struct timers *ts)
{
	uint64_t slot = ts->tick % TIMERS_SLOTS;
	uint64_t distance = 0;

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

static uint64_t next_block_us(const struct timers *ts)
{
	uint64_t block = ts->tick / TIMERS_BLOCK + 1;
	unsigned shift = block % TIMERS_BLOCKS;
	uint64_t bits = ts->used_blocks;

	if (bits == 0)
		return UINT64_MAX;
	if (shift > 0)
		bits = bits >> shift | bits << (TIMERS_BLOCKS - shift);
	return (block + (uint64_t)__builtin_ctzll(bits)) * TIMERS_BLOCK * TIMERS_TICK_US;
}

uint64_t timers_next_us(const struct timers *ts)
{
	if (ts->count == 0)
		return UINT64_MAX;
	return u64_min(next_slot_us(ts), next_block_us(ts));
}
