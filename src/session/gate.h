/* SPDX-License-Identifier: ISC */
/*
 * The gate: how many connections there may be that have not proven who they are, and
 * how many of one address.
 *
 * Those that have not logged in never take a place that max_client_conn promises to
 * those that have; when there is no room for a newcomer, one that has been silent goes,
 * or one of the address that has most, if that is not the newcomer's.
 *
 * Owns:   counters of addresses, as long as they have connections.
 * Thread: any; a mutex for the counters of addresses, atomics for the others.
 * Limits: process.max_client_conn and GATE_OVERFLOW more sockets of clients,
 *         max_unauthenticated, max_client_conn_per_address,
 *         max_unauthenticated_per_address.  IPv6 counts by /64; unix sockets have no
 *         address.
 */
#ifndef SESSION_GATE_H
#define SESSION_GATE_H

#include "session/router.h"

enum { GATE_OVERFLOW = 100, GATE_SILENT_US = 1000000, GATE_UNANSWERED_US = 5000000 };

/* Of one address beyond its limit: so many are kept for so long, to be told why when they
 * have said what they want.  libpq shows nobody an error that comes in answer to
 * SSLRequest. */
enum { GATE_EXCESS_MAX = 4, GATE_EXCESS_US = 3000000 };

struct gate;
struct gate_source;

/* 0: no limit of its own. */
struct gate_limits {
	uint32_t unproven;
	uint32_t per_address;
	uint32_t unproven_per_address;
};

/* NULL: out of memory. */
struct gate *gate_create(void);
void gate_destroy(struct gate *);               /* accepts NULL */

void gate_set_limits(struct gate *, const struct gate_limits *);

/* Connections that have not proven who they are. */
uint32_t gate_unproven(const struct gate *);

/* A descriptor was accepted: is there room for it?  Perhaps by closing another one of
 * this worker.  False: it was told so, as far as that is possible, and closed. */
NODISCARD bool gate_admit(struct worker *, struct route_workload *, int fd);

/* Beyond max_unauthenticated: for who has no other such connection. */
enum { GATE_SPARE = 16 };

enum gate_verdict {
	GATE_WELCOME,
	GATE_TO_BE_TOLD,        /* login->is_one_too_many is set */
	GATE_AWAY               /* it is not counted: close it */
};

/* The client's address is known, and it is one of its connections from here on, where
 * there is room; a silent one of the same address makes some. */
NODISCARD enum gate_verdict gate_count(struct client *, const struct addr *);

/* Says that there are too many of its address, as far as that is possible, and closes. */
void gate_turn_away(int fd);

/* It has proven who it is, and from now on is one of max_client_conn.  False: there
 * are enough of them (console: some more may come). */
NODISCARD bool gate_pass(struct client *);

/* It has come for the console while the process drains, and is not waited for. */
void gate_look_on(struct client *);

/* A client comes and goes. */
void gate_enter(struct client *);
void gate_leave(struct client *);

#endif
