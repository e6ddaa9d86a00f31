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

#include "route/directory.h"

enum { SNAP_NAME_SIZE = 64 };

/* The names of a pool. */
struct snap_names {
	char database[SNAP_NAME_SIZE];  /* in PostgreSQL */
	char user[SNAP_NAME_SIZE];
	uint64_t options;               /* hash of the text */
};

/* One workload's part of a pool. */
struct snap_pool {
	const struct slice *slice;      /* tells parts apart; not to be followed */
	struct route_host *host;
	const char *workload;
	uint32_t workload_index;
	struct snap_names names;
	uint32_t clients;
	uint32_t waiting;
	uint64_t oldest_us;             /* since when the first one waits; 0: nobody */
	uint32_t servers[SERVER_STATE_COUNT];
};

struct snap_server {
	const struct slice *slice;
	struct route_host *host;
	const char *workload;
	struct snap_names names;
	enum server_state state;
	uint64_t id;
	uint64_t client_id;
	uint64_t connected_us;          /* 0: not yet */
	uint64_t used_us;
	uint32_t backend_pid;
	uint16_t local_port;
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

/* A workload's part of a host's budget. */
struct snap_share {
	const char *workload;
	uint32_t guaranteed;
	uint32_t max;
	uint32_t used;
	uint32_t idle;
	uint32_t closing;
	uint32_t waiting;
};

struct snap_budget {
	uint32_t limit;
	uint32_t used;
	uint32_t idle;
	uint32_t connecting;
	uint32_t closing;
	uint32_t waiting;
	struct pool_error error;        /* why nobody gets in; sqlstate "" */
	struct snap_share shares[BUDGET_SHARES_MAX];
	uint32_t share_count;
};

/* Each returns 0 or -ENOMEM, with *out empty then. */
NODISCARD int snap_pools(struct directory *, struct snap_pools *out);
NODISCARD int snap_servers(struct directory *, struct snap_servers *out);
void snap_pools_finish(struct snap_pools *);
void snap_servers_finish(struct snap_servers *);

void snap_budget(struct route_host *, struct snap_budget *out);

#endif
