/* SPDX-License-Identifier: ISC */
#include "base/fair.h"

#include <assert.h>

#include "base/hash.h"

void fair_init(struct fair *f, uint32_t most)
{
	f->count = 0;
	f->most = most;
	list_init(&f->turns);
	for (size_t i = 0; i < FAIR_LANES; i++)
		f->lanes[i].count = 0;
}

void fair_item_init(struct fair_item *item)
{
	list_node_init(&item->node);
	item->lane = NULL;
}

static void take_out(struct fair *f, struct fair_item *item)
{
	struct fair_lane *lane = item->lane;

	list_remove(&item->node);
	item->lane = NULL;
	f->count--;
	if (--lane->count == 0)
		list_remove(&lane->turn);
}

/* The last one of the lane that is longest; NULL where none has two more than that. */
static struct fair_item *find_victim(struct fair *f, const struct fair_lane *than)
{
	const struct fair_lane *longest = NULL;
	uint32_t most = than->count + 1;

	list_for_each(&f->turns, node) {
		struct fair_lane *lane = container_of(node, struct fair_lane, turn);

		if (lane->count <= most)
			continue;
		most = lane->count;
		longest = lane;
	}
	return longest == NULL ? NULL :
		container_of(list_last(&longest->items), struct fair_item, node);
}

static struct fair_lane *choose_lane(struct fair *f, uint64_t source)
{
	uint64_t hash = hash_bytes(&source, sizeof(source));
	struct fair_lane *one = &f->lanes[hash % FAIR_LANES];
	struct fair_lane *other = &f->lanes[(hash >> 32) % FAIR_LANES];

	return other->count < one->count ? other : one;
}

bool fair_push(struct fair *f, struct fair_item *item, uint64_t source,
	struct fair_item **out)
{
	struct fair_lane *lane = choose_lane(f, source);

	assert(item->lane == NULL);
	*out = NULL;
	if (f->count >= f->most) {
		*out = find_victim(f, lane);
		if (*out == NULL)
			return false;
		take_out(f, *out);
	}
	if (lane->count == 0) {
		list_init(&lane->items);
		list_node_init(&lane->turn);
		list_push_back(&f->turns, &lane->turn);
	}
	list_push_back(&lane->items, &item->node);
	item->lane = lane;
	lane->count++;
	f->count++;
	return true;
}

static struct fair_item *take_turn(struct fair *f, struct fair_item *item)
{
	struct fair_lane *lane = item->lane;

	/* Its next turn is the last one. */
	list_remove(&lane->turn);
	list_push_back(&f->turns, &lane->turn);
	take_out(f, item);
	return item;
}

struct fair_item *fair_pop(struct fair *f)
{
	struct list_node *turn = list_first(&f->turns);
	struct fair_lane *lane;

	if (turn == NULL)
		return NULL;
	lane = container_of(turn, struct fair_lane, turn);
	return take_turn(f, container_of(list_first(&lane->items), struct fair_item, node));
}

struct fair_item *fair_pop_if(struct fair *f, fair_may_go_f *may_go, void *arg)
{
	list_for_each(&f->turns, turn) {
		struct fair_lane *lane = container_of(turn, struct fair_lane, turn);

		list_for_each(&lane->items, node) {
			struct fair_item *item = container_of(node, struct fair_item, node);

			if (may_go(item, arg))
				return take_turn(f, item);
		}
	}
	return NULL;
}

bool fair_remove(struct fair *f, struct fair_item *item)
{
	if (item->lane == NULL)
		return false;
	take_out(f, item);
	return true;
}
