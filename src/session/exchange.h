/* SPDX-License-Identifier: ISC */
/*
 * The exchanges in flight on one server: what was sent and is not answered.
 *
 * An exchange is what is sent up to Query, FunctionCall or Sync, and its replies
 * up to ReadyForQuery.  Each is forwarded (its replies go to the client) or
 * swallowed (resets, replays: the router's own).  Replies always belong to the
 * head.  What makes counting hard, and is handled here (PostgreSQL 15,
 * PostgresMain() and CopyGetData()):
 *
 *   - Sync and Flush are ignored while the server reads COPY data.  libpq sends
 *     one right behind the Execute of a COPY.
 *   - After an error in an extended-protocol message everything up to the next
 *     Sync is skipped, Query and FunctionCall included.
 *   - CopyData, CopyDone and CopyFail outside of COPY are ignored.
 *
 * CopyDone and CopyFail that were sent ahead are kept in their place in the queue,
 * as only the replies tell which of them end a COPY and which are ignored.
 *
 * When a COPY fails the replies do not tell whether the server saw a Sync before
 * or after that.  Then the queue is in doubt, and the caller finds out where the
 * server is by sending a barrier before it relies on the count.  The same holds
 * when a client sends such ends out of place, more of them than there is room for.
 *
 * Owns:   nothing.
 * Thread: one; pure, no I/O, no clock.
 * Limits: EXCHANGE_RUNS_MAX runs of alike exchanges; exchange_has_room() tells
 *         when the sender has to stop.
 */
#ifndef SESSION_EXCHANGE_H
#define SESSION_EXCHANGE_H

#include "base/base.h"

enum { EXCHANGE_RUNS_MAX = 16 };

enum exchange_kind { EXCHANGE_FORWARD, EXCHANGE_SWALLOW };

enum exchange_copy { EXCHANGE_NO_COPY, EXCHANGE_COPY_IN, EXCHANGE_COPY_OUT, EXCHANGE_COPY_BOTH };

/*
 * Exchanges that are alike, in a row; or the end of COPY data (end 'c'), which is
 * no exchange of its own but lies within one.
 */
struct exchange_run {
	uint32_t count;
	uint32_t asked;                 /* messages before the end that get a reply each;
					   0 at a Sync, where it makes no difference */
	uint8_t kind;                   /* enum exchange_kind */
	uint8_t end;                    /* 'Q', 'F', 'S' or 'c' */
};

struct exchange_queue {
	struct exchange_run runs[EXCHANGE_RUNS_MAX];    /* a ring */
	uint8_t first;
	uint8_t run_count;
	uint8_t copy;                   /* enum exchange_copy, of the head */
	bool copy_end_sent;             /* CopyDone or CopyFail of this COPY */
	bool open;                      /* extended messages sent, their end not */
	bool skipping;                  /* an error in the open exchange: until Sync */
	bool in_doubt;
	bool unsynced;                  /* extended messages sent and no Sync behind them:
					   after an error all is skipped up to one */
	uint32_t syncs_ignored;         /* by the COPY that runs, as far as we know */
	uint32_t open_asked;            /* as asked, since the last run */
	int64_t head_replied;           /* replies to single messages of the head */
	uint32_t pending;               /* complete exchanges not answered */
	uint32_t ends;                  /* ... that ever were: the number of the next */
	char status;                    /* of the last ReadyForQuery: 'I', 'T', 'E' */
};

void exchange_init(struct exchange_queue *);

/* A client's message of this type was sent (or will be, its header is out). */
void exchange_sent(struct exchange_queue *, uint8_t type);

/* A Query of the router's own was sent. */
void exchange_sent_own(struct exchange_queue *);

/* Extended messages of the router's own and their Sync were sent. */
void exchange_sent_own_until_sync(struct exchange_queue *);

/* Room for one more exchange of any kind? */
bool exchange_has_room(const struct exchange_queue *);

enum exchange_reply {
	EXCHANGE_TO_CLIENT,
	EXCHANGE_TO_ROUTER,
	EXCHANGE_UNASKED        /* nothing is in flight */
};

/* Whose is the message that comes now? */
enum exchange_reply exchange_owner(const struct exchange_queue *);

/* The server sent a message; for ReadyForQuery status is its byte.  False when
 * the message cannot be (ReadyForQuery that nothing asked for). */
NODISCARD bool exchange_received(struct exchange_queue *, uint8_t type, char status);

/* Would an error that comes now make the server skip to the next Sync? */
bool exchange_error_skips(const struct exchange_queue *);

/* Has every message that was sent its reply, in the exchange that is open, too? */
bool exchange_is_answered(const struct exchange_queue *);

/* The number of the one whose replies come now. */
static inline uint32_t exchange_head(const struct exchange_queue *q)
{
	return q->ends - q->pending;
}

/* Nothing in flight, nothing half sent, and no doubt about it. */
static inline bool exchange_is_idle(const struct exchange_queue *q)
{
	return q->pending == 0 && !q->open && !q->in_doubt && q->copy == EXCHANGE_NO_COPY;
}

/* May anything of it run now?  Behind a Flush, or in a COPY, also what has no end yet. */
static inline bool exchange_may_run(const struct exchange_queue *q)
{
	return q->pending > 0 || q->open || q->copy != EXCHANGE_NO_COPY;
}

/* It is the client's turn: without more from it nothing will end. */
static inline bool exchange_waits(const struct exchange_queue *q)
{
	return q->pending == 0 || q->copy == EXCHANGE_COPY_BOTH ||
		(q->copy == EXCHANGE_COPY_IN && !q->copy_end_sent);
}

#endif
