/* SPDX-License-Identifier: ISC */
/*
 * The gate: how many connections there may be that have not proven who they are, and
 * how many of one address.
 *
 * Those that have not logged in never take a place that max_client_conn promises to
 * those that have; when there is no room for a newcomer, one that has been silent goes.
 *
 * Owns:   counters of addresses; none is kept while no limit needs it.
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
NODISCARD bool gate_admit(struct worker *, const struct route_workload *, int fd);

/* The client's address is known.  False: there are enough of it. */
NODISCARD bool gate_count(struct client *, const struct addr *);

/* It has proven who it is, and from now on is one of max_client_conn.  False: there
 * are enough of them (console: some more may come). */
NODISCARD bool gate_pass(struct client *);

/* A client comes and goes. */
void gate_enter(struct client *);
void gate_leave(struct client *);

#endif
