/* SPDX-License-Identifier: ISC */
/*
 * What test_interleavings.c runs in every order: short scripts of several clients on one
 * host.
 */
#ifndef TESTS_UNIT_POOL_STORIES_H
#define TESTS_UNIT_POOL_STORIES_H

#include "model.h"

enum {
	WEB,  /* transient */
	JOBS, /* lasting */
	PLAYERS = 6
};

/* What must have happened in some order: else the story does not test it. */
enum {
	SEEN_WOKEN = 1 << 0,		 /* another worker */
	SEEN_WAITING_WITHDRAWN = 1 << 1, /* from the queue */
	SEEN_GRANTED_WITHDRAWN = 1 << 2, /* from the inbox */
	SEEN_PASSED_ON = 1 << 3,	 /* the server of such a one, to another */
	SEEN_LENT = 1 << 4,		 /* a server went to another workload */
	SEEN_CLOSED = 1 << 5,		 /* ... or to another pool, by being closed */
	SEEN_ENDED = 1 << 6,		 /* a stalled lease, for somebody's floor */
	SEEN_IN_VAIN = 1 << 7,		 /* ... who withdrew before the unit came */
	SEEN_REFUSED = 1 << 8,		 /* a login failed for those who waited */
	SEEN_AHEAD = 1 << 9,		 /* a waiter asked later than it is here */
	SEEN_POSTPONED = 1 << 10	 /* ... for a password, while others waited, too */
};

/*
 * What a client does, one letter each:
 *
 *    a   asks
 *    r   returns what it holds; waits until it holds something
 *    d   the same, but the server has to be cleaned first
 *    c   its server has died and closes; waits as above
 *    l   leaves: returns what it holds, or withdraws (time-out, cancel, lost)
 *    s   is looked at and, if the budget wants it, ended; waits as above
 *    u   upkeep, as worker 0 does it
 *    k   idle servers are taken for a look, as worker 0 does it
 */
struct player {
	uint32_t client; /* its worker: client % MODEL_WORKERS */
	int pool;
	int share;
	bool holds; /* a server, from the start */
	const char *script;
};

struct story {
	const char *name;
	uint32_t budget;
	uint32_t connecting_max; /* 0: no limit */
	uint32_t floors[2];	 /* WEB, JOBS */
	uint32_t max[2];
	uint32_t idle; /* servers of pool 0 and WEB, from the start */
	uint64_t grace_us;
	uint64_t tick_us; /* between two steps */
	uint64_t lag_us;  /* of worker 1; worker 2 twice that */
	uint32_t refused; /* logins that may be */
	uint32_t postponed; /* the same, as a password is fetched */
	unsigned must_see;
	struct player players[PLAYERS];
};

extern const struct story stories[];
extern const size_t stories_count;

#endif
