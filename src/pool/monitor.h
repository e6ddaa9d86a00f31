/* SPDX-License-Identifier: ISC */
/*
 * Size: the whole contract of the hand-off stands here.
 *
 * The monitor of a host: its budget, its pools and everybody who waits, under
 * one lock.  Every operation takes the lock, decides by counting, and says what
 * the caller has to do outside of it: open servers, close servers, wake workers.
 *
 * Rules (docs/architecture.md, "The budget"):
 *   - A returned server goes straight to a waiter; nobody polls.
 *   - First the oldest waiter of a workload below its floor, if the unit is a
 *     borrowed one; then the oldest waiter of the same pool, unless another
 *     pool has fewer servers and has waited longer than MONITOR_SWITCH_AFTER_US.
 *   - Who borrows more than its weight gives up to who borrows less.
 *   - A waiter for whom no server is on its way causes one to be opened as long
 *     as budget, limits, pacing and backoff allow.
 *   - While somebody below its floor waits, a borrowed unit whose lease waits for
 *     its client is taken back: monitor_wants_back(), monitor_end_stalled().
 *   - A host that failed and that nobody asks for is tried again all the same, by one
 *     connect at a time: who looks at it from outside sees it come back.
 *   - Who waits in a paused pool has no claim on anything until it is resumed.
 *   - A password that is fetched holds no unit and no place among the connects: what was
 *     begun without it is given back, and those who wait keep their places in the queue.
 *
 * Owns:   the lock, the shares, the inboxes of granted leases.
 * Thread: any.  No I/O, no allocation and no call to others under the lock.
 * Limits: BUDGET_SHARES_MAX workloads, MONITOR_WORKERS_MAX workers.
 */
#ifndef POOL_MONITOR_H
#define POOL_MONITOR_H

#include <pthread.h>

#include "base/rand.h"
#include "pool/pool.h"
#include "pool/server_end.h"

enum {
	MONITOR_WORKERS_MAX = 64,
	MONITOR_ACTIONS_MAX = 16,
	MONITOR_SWITCH_AFTER_US = 20000,
	/* For so long after its last use a pool keeps an idle server that another one with
	 * at least as many would like to have. */
	MONITOR_KEEP_US = 200000,
	/* Short enough that an outage is not felt much longer than it lasts. */
	MONITOR_BACKOFF_MAX_US = 3000000,
	/* So long is what was fetched for a pool fresh: until upkeep, or a place, comes. */
	MONITOR_FRESH_US = 10000000,
	/* What takes longer to close is not counted on by those who wait. */
	MONITOR_CLOSING_PATIENCE_US = 1000000
};

struct monitor_limits {
	uint32_t budget;
	uint32_t connecting_max;   /* connects at the same time */
	uint64_t retry_us;	   /* first backoff; doubles up to the maximum */
	uint64_t reclaim_grace_us; /* for stalled leases; 0: they are left alone */
	uint32_t elsewhere;	   /* no part of the budget: what other processes have, for views */
};

/* What stood in the way of a login. */
enum connect_failure {
	CONNECT_FAILED_HOST,   /* refused, unreachable, timed out, 57P03 */
	CONNECT_FAILED_DENIED, /* 53300: PostgreSQL has no slot left */
	CONNECT_FAILED_LOGIN,  /* this database and user: 28xxx, 3D000, ... */
	CONNECT_FAILURES
};

struct monitor {
	pthread_mutex_t lock;
	struct budget budget;
	struct monitor_limits limits;
	struct list pools;
	struct list servers; /* every server that holds a unit */
	uint32_t connecting;
	uint32_t waiting; /* to be served */
	uint32_t held;	  /* ... and who waits in paused pools */
	uint32_t idle;
	uint32_t closing;
	uint64_t next_server_id;
	uint32_t check_round; /* each idle server is looked at once in it */
	/* The host does not let us in: no connect before retry_at_us. */
	uint64_t retry_at_us;
	uint32_t failures;
	struct pool_error error;
	uint64_t denied; /* connects that PostgreSQL had no slot for */
	uint64_t failed[CONNECT_FAILURES]; /* connects, by what stood in the way */
	struct slice *failed_slice; /* whose last connect the host has failed; or NULL */
	struct list inbox[MONITOR_WORKERS_MAX]; /* struct lease.in_slice */
	struct rand_small rand;
};

/* What is to be done once the lock is released. */
enum monitor_verb {
	MONITOR_OPEN, /* a unit was taken for slice: connect */
	MONITOR_CLOSE /* server is CLOSING and the caller's to close */
};

struct monitor_action {
	enum monitor_verb verb;
	struct slice *slice;
	struct unit unit; /* OPEN: the caller's now */
	bool is_fetched;  /* OPEN: the first for its pool after monitor_fetched(), and soon */
	struct pool_server *server;
	enum server_end end; /* CLOSE: why */
};

struct monitor_actions {
	struct monitor_action list[MONITOR_ACTIONS_MAX];
	uint32_t count;
	uint64_t wake; /* bit: worker with something in an inbox */
};

/* Nothing is to be done.  What the list has behind count is nobody's: there is much of it,
 * and mostly nothing in it. */
static inline void monitor_actions_init(struct monitor_actions *a)
{
	a->count = 0;
	a->wake = 0;
}

/* Returns 0 or -errno. */
NODISCARD int monitor_init(struct monitor *, const struct monitor_limits *);
void monitor_finish(struct monitor *);
void monitor_set_limits(struct monitor *, const struct monitor_limits *);

/* Adds a workload (the caller keeps the memory), or changes its numbers. */
void monitor_share_add(struct monitor *, struct share *);
void monitor_share_set(struct monitor *, struct share *, enum share_kind,
	uint32_t guaranteed, uint32_t max, uint32_t weight);

/* The most pinned leases it may have; SHARE_PINNED_AUTO: by its floor. */
void monitor_share_pins(struct monitor *, struct share *, uint32_t max);
/* It only ends what was begun: so many more than there are now, whatever was configured. */
void monitor_share_ends(struct monitor *, struct share *, uint32_t more);

void monitor_pool_add(struct monitor *, struct pool *);
/* True: removed, the memory is the caller's again.  False: it is in use, or its host or
 * its logins have failed and that is to be seen. */
NODISCARD bool monitor_pool_remove(struct monitor *, struct pool *);
void monitor_slice_add(struct monitor *, struct slice *);
void monitor_slice_set_limits(
	struct monitor *, struct slice *, const struct slice_limits *);
/* Each server counts in the quotas of its slice. */
void monitor_quota_set(struct monitor *, struct quota *, uint32_t max);

void monitor_client_count(struct monitor *, struct slice *, int change);

/* --- leases ------------------------------------------------------------------ */

enum lease_verdict {
	LEASE_VERDICT_HELD, /* lease->server is the caller's now */
	LEASE_VERDICT_WAIT, /* it will come through the inbox */
	LEASE_VERDICT_FULL, /* the queue is full; the lease is NONE */
	LEASE_VERDICT_ERROR /* monitor_refusal() tells; the lease is NONE */
};

NODISCARD enum lease_verdict monitor_request(struct monitor *, struct lease *,
	struct slice *, uint64_t now_us, struct monitor_actions *);

/* Takes a lease out of the queue or out of the inbox.  If a server had been
 * assigned meanwhile it is passed on.  The lease is NONE afterwards.  Must not
 * be called on a HELD lease. */
void monitor_withdraw(
	struct monitor *, struct lease *, uint64_t now_us, struct monitor_actions *);

/* Next lease that was granted or refused for this worker, or NULL.  GRANTED
 * becomes HELD; REFUSED becomes NONE (*refused), and monitor_refusal() tells why. */
struct lease *monitor_inbox_take(struct monitor *, uint32_t worker, bool *refused);

/* What a waiting client may be told. */
struct monitor_wait {
	enum wait_reason reason;
	uint64_t since_us;
	uint32_t position;    /* in the queue of its pool and workload, from 1 */
	uint32_t waiting;     /* in that queue */
	uint32_t pool_leased; /* servers of its pool that clients hold */
	uint32_t used;	      /* servers of its workload */
	uint32_t max;
	uint32_t others; /* servers of other workloads */
	uint32_t budget;
};

/* position is 0 when the lease does not wait any more. */
void monitor_explain(
	struct monitor *, const struct lease *, uint64_t now_us, struct monitor_wait *);

/* For views: calls f for all who wait, oldest first in each pool, under the lock; f
 * must be short and must not call the monitor. */
void monitor_each_waiter(struct monitor *, uint64_t now_us,
	void (*f)(const struct lease *, const struct monitor_wait *, void *), void *arg);

/* For views, under the lock: what somebody in this slice waits for. */
enum wait_reason monitor_slice_reason(
	const struct monitor *, const struct slice *, uint64_t now_us);

/* Nobody waits, nothing is opened or closed, PostgreSQL answers and the budget holds: nothing
 * of the upkeep is urgent before somebody's monitor_request() is answered with WAIT. */
bool monitor_is_calm(struct monitor *);

/* Has somebody below its floor waited for the grace, and nothing is on its way? */
bool monitor_wants_back(struct monitor *, uint64_t now_us);

/* The lease (HELD) has waited for its client for longer than the grace.  True: its
 * unit is borrowed and promised to somebody now; the caller ends the client. */
NODISCARD bool monitor_end_stalled(struct monitor *, struct lease *, uint64_t now_us);

/* Should a lease that could go on be returned because others wait? */
bool monitor_has_waiters(struct monitor *, const struct slice *);

/* --- pins -------------------------------------------------------------------- */

/* The lease (HELD) is to outlive its transaction, as the server will carry what is its
 * client's alone.  False: the workload has as many such leases as it may have, *max.
 * True as well when it is pinned already.  It ends with the lease. */
NODISCARD bool monitor_pin(struct monitor *, struct lease *, uint32_t *max);
/* The same for what is there already: beyond the maximum, too. */
void monitor_pin_found(struct monitor *, struct lease *);
/* Nothing is left. */
void monitor_unpin(struct monitor *, struct lease *);

/* --- servers ----------------------------------------------------------------- */

/* After MONITOR_OPEN: the server that will use the unit.  Its id is set. */
void monitor_connecting(
	struct monitor *, struct pool_server *, struct slice *, struct unit *);

/* What views tell about a server. */
void monitor_describe(struct monitor *, struct pool_server *, uint32_t backend_pid,
	uint16_t local_port, const char *tls);

/* MONITOR_OPEN could not even begin: the unit is free again. */
void monitor_open_failed(struct monitor *, struct slice *, struct unit *, uint64_t now_us,
	struct monitor_actions *);

/* Logged in: goes to a waiter or becomes idle.  The server must be detached from
 * its worker, as another one may take it before this returns. */
void monitor_ready(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);

/* The server failed to log in; it is CLOSING afterwards, and monitor_gone() must
 * follow when its socket is closed.  Those who wait for its pool are refused
 * with the error if it concerns the login and no server is left to wait for. */
void monitor_connect_failed(struct monitor *, struct pool_server *, enum connect_failure,
	const struct pool_error *, uint64_t now_us, struct monitor_actions *);

/* Another proof of the pool's user is known than those that failed: it is tried at once. */
void monitor_proven(struct monitor *, struct pool *);

/* The login (CONNECTING, with no connection) needs a password that is being fetched.  Its
 * unit is free, and nothing is opened for its pool before monitor_fetched() was called as
 * often as this.  The caller frees the memory afterwards. */
void monitor_postponed(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);

/* ... and that is over: it is there (error NULL), or cannot be had.  Then, unless another
 * one still fetches, it is as if a login had been refused with that error. */
void monitor_fetched(struct monitor *, struct pool *, const struct pool_error *error,
	uint64_t now_us, struct monitor_actions *);

/* The lease ends; the server is clean and detached.  lease may be NULL when its
 * client went away before. */
void monitor_return(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);

/* The client has left; the server stays with the worker to be cleaned. */
void monitor_cleaning(struct monitor *, struct pool_server *);

/* The server is to be closed by the caller; its lease, if any, has ended. */
void monitor_closing(struct monitor *, struct pool_server *);

/* PostgreSQL has closed its side: the unit is free.  The caller frees the
 * memory afterwards. */
void monitor_gone(struct monitor *, struct pool_server *, uint64_t now_us,
	struct monitor_actions *);

/* --- upkeep ------------------------------------------------------------------ */

/* Once a second or so, by one worker: expires idle servers, opens what
 * servers_min wants, retries after backoff.  Call again while it answers true
 * (there was more than fits into the actions). */
NODISCARD bool monitor_upkeep(
	struct monitor *, uint64_t now_us, struct monitor_actions *);

/* Takes up to max idle servers, least recently used first, for a look at their
 * sockets (state CHECKING); give each back with monitor_return() or end it with
 * monitor_closing().  Only servers unused for min_idle_us are taken. */
uint32_t monitor_take_idle(struct monitor *, uint64_t now_us, uint64_t min_idle_us,
	struct pool_server **, uint32_t max);

/* All servers of a pool (or of the host: NULL) close as soon as they are
 * returned; idle ones are handed out through the actions by monitor_upkeep(). */
void monitor_retire(struct monitor *, struct pool *);
/* All but this one, which was there when all were retired so many times; where its pool
 * was retired once more (RECONNECT, a changed password) it goes with the others. */
void monitor_renew(struct monitor *, struct pool_server *, uint32_t times);

/* Paused: its leases go on to their end; nobody gets another one, nothing is opened
 * for it, and what is returned closes.  Those who wait keep their places.  Idle
 * servers, and after the end those who wait, are the next monitor_upkeep()'s. */
void monitor_pool_pause(struct monitor *, struct pool *, bool is_paused);

/* It is paused, and a login has told what clients who log in meanwhile are to be told. */
NODISCARD bool monitor_pool_is_held(struct monitor *, const struct pool *);

/* How many servers a pool has, and how many of those close when they are returned.
 * What PostgreSQL has not closed for MONITOR_CLOSING_PATIENCE_US is in neither. */
struct monitor_left {
	uint32_t servers;
	uint32_t retired;
};
void monitor_pool_left(
	struct monitor *, const struct pool *, uint64_t now_us, struct monitor_left *);

/* For views: calls f for each server or pool under the lock; f must be short
 * and must not call the monitor. */
void monitor_each_server(
	struct monitor *, void (*f)(const struct pool_server *, void *), void *arg);
void monitor_each_pool(
	struct monitor *, void (*f)(const struct pool *, void *), void *arg);

/* Why the last connects to this host or this pool failed; false when they did
 * not. */
bool monitor_last_error(struct monitor *, const struct pool *, struct pool_error *);

/* Why PostgreSQL last let nobody of this pool in, also when it has let in others since.
 * A lease does not carry it: thousands of idle clients have one. */
void monitor_refusal(struct monitor *, const struct pool *, struct pool_error *);

/* For tests and assertions: recounts everything and compares.  Aborts when a
 * number is wrong. */
void monitor_check(struct monitor *);

#endif
