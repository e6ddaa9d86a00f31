/* SPDX-License-Identifier: ISC */
/*
 * Pools, the servers in them and the leases on them, as counts and queues.
 *
 * A pool holds servers that are interchangeable: same host, database, user and
 * login options.  A slice is what one workload has in it: its waiters, its
 * servers, its limits.  A server belongs to one slice at a time; when a client
 * of another workload gets it, the unit of the budget moves along.
 *
 * Owns:   nothing that exists outside: the structs here are embedded in what
 *         session/ owns (server, client), and no socket is known here.
 * Thread: any, under the lock of the host's monitor (monitor.h has the
 *         operations).
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/list.h"
#include "pool/budget.h"

struct monitor;
struct pool;
struct lease;

enum server_state {
#define SERVER_STATE(name, show, next) SERVER_##name,
#include "server_states.def"
#undef SERVER_STATE
	SERVER_STATE_COUNT
};

const char *server_state_show(enum server_state);

enum wait_reason {
#define WAIT_REASON(name, word, text) WAIT_##name,
#include "wait_reasons.def"
#undef WAIT_REASON
	WAIT_REASON_COUNT
};

const char *wait_reason_word(enum wait_reason);
const char *wait_reason_text(enum wait_reason);
/* Is it a limit of the configuration that all of is in use? */
bool wait_reason_is_limit(enum wait_reason);

enum { POOL_ERROR_TEXT_MAX = 256, POOL_KNOWN_MAX = 64 };

/* Why PostgreSQL refused: told to those who wait. */
struct pool_error {
	char sqlstate[6];
	char message[POOL_ERROR_TEXT_MAX];
};

struct slice_limits {
	uint32_t servers_max;	   /* 0: no limit of its own */
	uint32_t reserve;	   /* more, when somebody has waited for long */
	uint64_t reserve_after_us; /* for that long */
	uint32_t servers_min;	   /* kept open while the pool has been used */
	uint32_t waiting_max;	   /* 0: no limit */
	uint64_t idle_timeout_us;  /* 0: none */
	uint64_t lifetime_us;	   /* 0: none */
};

/* A limit that several slices share: the servers of one database entry, or of one
 * user. */
struct quota {
	uint32_t used;
	uint32_t closing; /* of the used ones */
	uint32_t max;	  /* 0: no limit */
};

enum { SLICE_QUOTA_DATABASE, SLICE_QUOTA_USER, SLICE_QUOTAS };

struct slice {
	struct pool *pool;
	struct quota *quotas[SLICE_QUOTAS]; /* NULL: none; set once */
	struct share *share;
	struct slice_limits limits;
	struct list_node in_hungry; /* share->hungry, while there are waiters to serve */
	struct list waiters;	    /* struct lease.in_slice, oldest first */
	uint32_t waiting;
	uint32_t servers; /* all that hold a unit */
	uint32_t connecting;
	uint32_t closing;
	uint32_t coming;      /* units that others give up for its waiters */
	bool reserve_is_open; /* somebody has waited for reserve_after_us */
	uint32_t clients;     /* logged in */
	uint32_t leased;      /* leases held */
};

struct pool {
	struct monitor *monitor;
	struct list_node in_monitor;
	void *owner;	  /* session's: names, login */
	struct list idle; /* struct pool_server.in_idle, last used first */
	/* Idle ones by the client whose session they carry; the last of those that meet in
	 * one place. */
	struct pool_server *known[POOL_KNOWN_MAX];
	struct slice *slices[BUDGET_SHARES_MAX];
	uint32_t servers;
	uint32_t connecting;
	uint32_t idle_count;
	uint32_t waiting;
	_Atomic uint32_t waiting_told; /* the same, for whoever looks without the lock */
	uint32_t epoch; /* servers of an older one close on return */
	bool is_paused; /* grants nothing, and keeps no server */
	bool was_ready; /* a server has been logged in */
	bool is_told;	/* its last failure has been there to be seen for a while */
	/* When its password has come, as long as nothing was opened since; or 0. */
	uint64_t fetched_at_us;
	/* Logins that gave their units back as it is being fetched: nothing is opened. */
	uint32_t fetching;
	/* After a refused login: no new try before this time. */
	uint64_t retry_at_us;
	uint32_t failures;
	struct pool_error error; /* of the last failure, if there ever was one */
};

struct pool_server {
	struct list_node in_idle;
	struct list_node in_monitor;
	struct unit unit; /* of the slice's share */
	struct slice *slice;
	struct lease *lease; /* LEASED only; NULL when nobody listens */
	enum server_state state;
	uint32_t epoch;
	uint32_t check_round; /* monitor->check_round when last taken */
	bool is_replaced;     /* another one was opened as it grew old */
	/* LEASED and to be ended, CLEANING, CLOSING: whose waiter gets the unit. */
	struct slice *promised_to;
	uint64_t closing_since_us; /* as upkeep saw it; 0: not yet */
	uint64_t id;
	uint64_t connected_at_us; /* 0 until logged in */
	uint64_t expires_at_us;	  /* server_lifetime with jitter; 0: never */
	uint64_t used_at_us;	  /* last lease granted or returned */
	uint64_t rested_us;	  /* how long it was unused before this lease */
	uint64_t state_key;	  /* what session state it carries */
	uint64_t client_id;	  /* who has it, for SHOW */
	uint64_t last_client; /* whose session it carries; 0: it is clean */
	uint32_t backend_pid;	  /* for SHOW */
	uint16_t local_port;
	char tls[48];		  /* "TLSv1.3/..."; "" without */
};

enum lease_state {
	LEASE_NONE,
	LEASE_WAITING, /* in the queue */
	LEASE_GRANTED, /* server assigned, its worker not yet told */
	LEASE_REFUSED, /* error assigned, its worker not yet told */
	LEASE_HELD
};

/*
 * A client's right to use one server until it is returned.  Embedded in what the
 * client has while it works; that memory may go only when the lease is NONE.
 */
struct lease {
	struct list_node in_slice; /* WAITING; GRANTED, REFUSED: worker's inbox */
	struct list_node in_share; /* WAITING */
	struct slice *slice;
	struct pool_server *server; /* GRANTED, HELD */
	uint64_t asked_at_us;
	uint64_t state_key; /* a server that carries this is preferred */
	uint64_t client_id;
	uint32_t worker;
	enum lease_state state;
	bool is_errand; /* the router's own, not a client's */
	bool is_claim;	/* below its floor, with nothing free */
	bool is_back;	/* its server was not for it: it has its place, as of asked_at_us */
	bool is_pinned; /* HELD; counted in the share */
};

static inline void lease_init(struct lease *l, uint32_t worker, uint64_t client_id)
{
	*l = (struct lease){ .worker = worker, .client_id = client_id };
	list_node_init(&l->in_slice);
	list_node_init(&l->in_share);
}

void slice_init(struct slice *, struct pool *, struct share *);
void pool_init(struct pool *, struct monitor *, void *owner);
void pool_server_init(struct pool_server *, uint64_t id);

/* Where the idle server with this client's session would be. */
static inline struct pool_server **pool_known(struct pool *p, uint64_t client_id)
{
	return &p->known[client_id % POOL_KNOWN_MAX];
}

/* Does anybody wait for one of its servers?  Any thread, without the lock: what it was a
 * moment ago. */
static inline bool pool_is_wanted(const struct pool *p)
{
	return atomic_load_explicit(&p->waiting_told, memory_order_relaxed) > 0;
}

#endif
