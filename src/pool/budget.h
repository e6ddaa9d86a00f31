/* SPDX-License-Identifier: ISC */
/*
 * The budget of a host: how many servers may exist at once, and which workload
 * each of them counts for.
 *
 * A unit is the right to have one server.  A unit that is in use belongs to
 * exactly one share (a workload at this host); it is taken before connect(2)
 * and freed when PostgreSQL has closed its side.
 *
 * Owns:   counts.
 * Thread: any, under the lock of the host's monitor; this file takes no lock.
 * Limits: used <= limit whenever limit has not been lowered below what is used;
 *         then nothing is taken until it has drained.
 */
#ifndef POOL_BUDGET_H
#define POOL_BUDGET_H

#include "base/base.h"
#include "base/list.h"

enum { BUDGET_SHARES_MAX = 64 };

/* How soon what a workload borrows comes back. */
enum share_kind {
	SHARE_TRANSIENT,        /* transaction, statement: at the end of a transaction */
	SHARE_LASTING           /* session: when the client leaves */
};

struct share {
	uint32_t index;                 /* in budget->shares */
	const char *name;               /* the workload's */
	enum share_kind kind;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t used;
	uint32_t idle;                  /* of the used ones */
	uint32_t closing;               /* of the used ones */
	uint32_t waiting;               /* leases in the queue */
	struct list waiters;            /* struct lease.in_share, oldest first */
	struct list hungry;             /* struct slice.in_hungry: slices with waiters */
};

struct budget {
	uint32_t limit;
	uint32_t used;
	struct share *shares[BUDGET_SHARES_MAX];
	uint32_t share_count;
};

/* May a share have one more unit, given that "from" (or nobody: NULL) gives one
 * up for it?  Pure. */
bool budget_may_take(const struct budget *, const struct share *to,
	const struct share *from);

void share_init(struct share *, const char *name);

void budget_take(struct budget *, struct share *);
void budget_free(struct budget *, struct share *);
void budget_move(struct share *from, struct share *to);

/* Below its floor: has a right to a unit that somebody else borrows. */
static inline bool share_is_below_floor(const struct share *s)
{
	return s->used < s->guaranteed;
}

static inline bool share_is_borrowing(const struct share *s)
{
	return s->used > s->guaranteed;
}

#endif
