/* SPDX-License-Identifier: ISC */
/*
 * Copies of what the monitors know, to make rows of in peace.
 *
 * Each host is copied under its lock into memory that was allocated before; what
 * several hosts show is not of the same instant.
 *
 * Owns:   the copies.  Names of hosts and workloads are borrowed from the
 *         directory, where they live as long as it does.
 * Thread: any.
 */
#ifndef ADMIN_SNAP_H
#define ADMIN_SNAP_H

#include "base/shown.h"
#include "route/directory.h"

enum { SNAP_NAME_SIZE = 64 };

/* The names of a pool. */
struct snap_names {
	char database[SNAP_NAME_SIZE]; /* in PostgreSQL */
	char user[SNAP_NAME_SIZE];
	uint64_t options; /* hash of the text */
};

/* One workload's part of a pool. */
struct snap_pool {
	const struct slice *slice; /* tells parts apart; not to be followed */
	struct route_host *host;
	const char *workload;
	uint32_t workload_index;
	struct snap_names names;
	uint32_t clients;
	uint32_t waiting;
	uint64_t oldest_us; /* since when the first one waits; 0: nobody */
	uint32_t servers[SERVER_STATE_COUNT];
	struct pool_error error; /* why PostgreSQL lets nobody of it in; sqlstate "": it does */
};

struct snap_server {
	const struct slice *slice; /* these three are not to be followed */
	const struct pool *pool;
	const struct quota *quotas[SLICE_QUOTAS];
	struct route_host *host;
	const char *workload;
	uint32_t workload_index;
	struct snap_names names;
	enum server_state state;
	uint64_t id;
	uint64_t client_id;
	uint64_t connected_us; /* 0: not yet */
	uint64_t used_us;
	uint32_t backend_pid;
	uint16_t local_port;
	struct addr addr; /* of the other side; only if connected */
	char application[SHOWN_SIZE];
	char tls[48];
	uint32_t prepared_statements;
	bool close_needed;
};

struct snap_pools {
	struct snap_pool *rows;
	size_t count;
};

struct snap_servers {
	struct snap_server *rows;
	size_t count;
};

/* Somebody who waits. */
struct snap_waiter {
	struct route_host *host;
	const char *workload;
	uint32_t workload_index;
	const struct slice *slice; /* tells queues apart; these three are not to be followed */
	const struct pool *pool;
	const struct quota *quotas[SLICE_QUOTAS];
	struct snap_names names;
	struct monitor_wait wait;
	uint64_t client_id;
	bool is_errand; /* the router's own */
};

struct snap_waiters {
	struct snap_waiter *rows;
	size_t count;
};

/* A workload's part of a host's budget. */
struct snap_share {
	const char *workload;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t weight;
	uint32_t used;	 /* = leased + idle + connecting + closing */
	uint32_t leased; /* with a client, or being cleaned after one */
	uint32_t idle;	 /* nobody's, or being looked at */
	uint32_t connecting;
	uint32_t closing;
	uint32_t borrowed;
	uint32_t lent;
	uint32_t waiting;
	uint64_t oldest_us; /* since when the first one waits; 0: nobody */
	enum wait_reason reason; /* what that one waits for */
	uint64_t lease_us;  /* since when the oldest lease is held; 0: there is none */
	uint64_t lease_client;
	uint64_t stalled_ended;
	uint32_t pinned;
	uint32_t max_pinned;
	uint64_t pins_refused;
	uint64_t pins_over;
};

struct snap_budget {
	uint32_t limit;
	uint32_t elsewhere; /* beside it: what the processes before have */
	uint32_t used; /* this and what follows: of all shares */
	uint32_t leased;
	uint32_t idle;
	uint32_t connecting;
	uint32_t closing;
	uint32_t quarantined; /* closing for longer than is counted on */
	uint32_t guaranteed;
	uint32_t borrowed;
	uint32_t lent;
	uint32_t waiting;
	uint64_t denied;
	uint64_t failed[CONNECT_FAILURES];
	uint64_t retry_at_us;	 /* no connect before this; 0 or past: any time */
	struct pool_error error; /* why nobody gets in; sqlstate "" */
	struct snap_share shares[BUDGET_SHARES_MAX];
	uint32_t share_count;
};

/* Each returns 0 or -ENOMEM, with *out empty then. */
NODISCARD int snap_pools(struct directory *, struct snap_pools *out);
NODISCARD int snap_servers(struct directory *, struct snap_servers *out);
/* Of all hosts, who has waited longest first. */
NODISCARD int snap_waiters(struct directory *, struct snap_waiters *out);
void snap_pools_finish(struct snap_pools *);
void snap_servers_finish(struct snap_servers *);
void snap_waiters_finish(struct snap_waiters *);

/* Who has held for longest what this one waits for: a server of the same pool, or of
 * whatever the limit is for.  NULL: nobody's lease is in the way.  Pure. */
const struct snap_server *snap_holder(
	const struct snap_servers *, const struct snap_waiter *);

void snap_budget(struct route_host *, struct snap_budget *out);
/* How long workload number "share" waited for what it is guaranteed. */
void snap_reclaims(struct route_host *, uint32_t share, struct histogram *out);
/* Has or may have something; a workload that is gone only until it has drained. */
bool snap_share_is_alive(const struct snap_share *);

/* Fills in borrowed and lent.  Pure; the rest must be there. */
void snap_find_lent(struct snap_budget *);

#endif
