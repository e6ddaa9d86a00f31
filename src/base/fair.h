/* SPDX-License-Identifier: ISC */
/*
 * A bounded queue in which sources take turns: who puts in a thousand waits for his own
 * thousand, and somebody else's one goes next.
 *
 * Sources share FAIR_LANES lanes: each has two of them, by a hash with a key of the
 * process's own, and takes the shorter one, so that one who has filled his own is in
 * nobody's way.  Within a lane it is first in, first out; lanes take turns.  When the queue
 * is full a newcomer takes the place of the last one of the longest lane, if that has at
 * least two more than the newcomer's.
 *
 * Owns:   nothing; items are embedded in what waits.
 * Thread: one, or under the owner's lock.
 */
#ifndef BASE_FAIR_H
#define BASE_FAIR_H

#include "base/list.h"

enum { FAIR_LANES = 128 };

struct fair_lane {
	struct list items;              /* of no meaning while count is 0 */
	struct list_node turn;          /* fair->turns, while there are items */
	uint32_t count;
};

struct fair {
	struct list turns;              /* lanes with items, whose turn is next first */
	uint32_t count;
	uint32_t most;
	struct fair_lane lanes[FAIR_LANES];
};

struct fair_item {
	struct list_node node;
	struct fair_lane *lane;         /* NULL: it does not wait */
};

/* most: of all items. */
void fair_init(struct fair *, uint32_t most);

void fair_item_init(struct fair_item *);

/* False: it is full, and the item was not put in.  Else *out is the item that had to go
 * for it, or NULL. */
NODISCARD bool fair_push(struct fair *, struct fair_item *, uint64_t source,
	struct fair_item **out);
struct fair_item *fair_pop(struct fair *);      /* NULL: there is none */

/* The same, without those that may not be taken now: they keep their places, and others of
 * their lane go before them. */
typedef bool fair_may_go_f(const struct fair_item *, void *arg);
struct fair_item *fair_pop_if(struct fair *, fair_may_go_f *, void *arg);

/* False: it does not wait there. */
bool fair_remove(struct fair *, struct fair_item *);

#endif
