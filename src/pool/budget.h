/* SPDX-License-Identifier: ISC */
/*
 * The budget of a host: how many servers may exist at once, and which workload
 * each of them counts for.
 *
 * A unit is the right to have one server.  One that is in use belongs to exactly
 * one share (a workload at this host) and is in exactly one place, a struct unit:
 * it is taken before connect(2), moved, and freed when PostgreSQL has closed its
 * side.
 *
 * Owns:   counts.
 * Thread: any, under the lock of the host's monitor; this file takes no lock.
 * Limits: used <= limit whenever limit has not been lowered below what is used;
 *         then nothing is taken until it has drained.
 */
#ifndef POOL_BUDGET_H
#define POOL_BUDGET_H

#include "base/base.h"
#include "base/histogram.h"
#include "base/list.h"

enum { BUDGET_SHARES_MAX = 64 };

/* A share's pinned_max that follows from its floor. */
#define SHARE_PINNED_AUTO UINT32_MAX

/* How soon what a workload borrows comes back. */
enum share_kind {
	SHARE_TRANSIENT, /* transaction, statement: at the end of a transaction */
	SHARE_LASTING	 /* session: when the client leaves */
};

struct share {
	uint32_t index;	  /* in budget->shares */
	const char *name; /* the workload's */
	enum share_kind kind;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t weight; /* its part of what is borrowed; 0 counts as 1 */
	uint32_t used;
	uint32_t idle;	     /* of the used ones */
	uint32_t closing;    /* of the used ones */
	uint32_t incoming;   /* units of others, promised to its waiters */
	uint32_t outgoing;   /* of the used ones, promised to others */
	uint32_t pinned_max; /* as configured; share_pinned_max() holds */
	bool is_ending;	     /* nothing is guaranteed any more, and pinned_max holds alone */
	uint32_t pinned;     /* leases that their clients keep for what is in them */
	uint32_t waiting;    /* leases in the queue */
	struct list waiters; /* struct lease.in_share, oldest first */
	struct list hungry;  /* struct slice.in_hungry: slices with waiters */
	/* Below its floor with nothing free: how long until it had a server. */
	struct histogram reclaims; /* microseconds */
	uint64_t stalled_ended;	   /* leases of its, ended for somebody's floor */
	uint64_t pins_refused;	   /* there were as many as may be */
	uint64_t pins_over;	   /* found afterwards, when there were */
};

/* One unit, or none.  Never copied: what takes it over empties the other. */
struct unit {
	struct share *share; /* whose it is; NULL: no unit here */
};

struct budget {
	uint32_t limit;
	uint32_t used;
	struct share *shares[BUDGET_SHARES_MAX];
	uint32_t share_count;
};

/* May a share have one more unit, given that "from" (or nobody: NULL) gives one
 * up for it?  Pure. */
bool budget_may_take(
	const struct budget *, const struct share *to, const struct share *from);

void share_init(struct share *, const char *name);

/* budget_may_take() was asked before. */
NODISCARD struct unit budget_take(struct budget *, struct share *);
/* Empties it. */
void budget_free(struct budget *, struct unit *);
/* It counts for another share from now on. */
void budget_lend(struct unit *, struct share *to);

/* Hands it over: the source is empty afterwards. */
static inline struct unit unit_move(struct unit *from)
{
	struct unit unit = *from;

	from->share = NULL;
	return unit;
}

/* What the other shares may still claim below their floors, beside "from", which
 * gives one up (NULL: nobody does). */
uint64_t budget_floors_open(
	const struct budget *, const struct share *except, const struct share *from);

/* Units above the floor. */
static inline uint32_t share_borrowed(const struct share *s)
{
	return s->used > s->guaranteed ? s->used - s->guaranteed : 0;
}

/* Both want to borrow: is it a's turn rather than b's?  By weight, if a gets one
 * more and b keeps, or (b_gives) gives up, what it has. */
bool share_goes_before(const struct share *a, const struct share *b, bool b_gives);

static inline bool share_is_below_floor(const struct share *s)
{
	return s->used < s->guaranteed;
}

/* Has a right to a unit that somebody else borrows, beside those that are coming. */
static inline bool share_has_claim(const struct share *s)
{
	return s->used + s->incoming < s->guaranteed;
}

/* How many of its leases may be pinned: not more than its floor, while it has one. */
uint32_t share_pinned_max(const struct share *);

static inline bool share_is_borrowing(const struct share *s)
{
	return s->used > s->guaranteed;
}

#endif
