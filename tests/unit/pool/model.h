/* SPDX-License-Identifier: ISC */
/*
 * A host, its workloads, pools, clients and servers, moved by random operations
 * under a clock of its own.
 *
 * model.c makes the world and carries the monitor's decisions out as session/
 * would; model_ops.c has the operations; model_check.c what must be true after
 * each; test_model.c runs, replays and shortens.  An operation is a verb and a
 * number, and does nothing when it finds nobody to do it to: so a list of them
 * may lose any entry and still be a story.
 */
#ifndef TESTS_UNIT_POOL_MODEL_H
#define TESTS_UNIT_POOL_MODEL_H

#include "pool/monitor.h"

enum {
	MODEL_SHARES = 4,
	MODEL_POOLS = 4,  /* two databases of two users */
	MODEL_QUOTAS = 4, /* of the databases, then of the users */
	MODEL_WORKERS = 3,
	MODEL_CLIENTS = 20,
	MODEL_SERVERS = 16,
	MODEL_BUDGET_MAX = 10 /* fewer than MONITOR_ACTIONS_MAX */
};

enum client_place { CLIENT_OUT, CLIENT_WAITS, CLIENT_HOLDS };

struct model_client {
	struct lease lease;
	enum client_place place;
	struct model_server *server;
	uint64_t seq;	  /* order of asking */
	bool was_waiting; /* LEASE_WAITING before this operation */
	uint32_t rounds;  /* waited, where liveness is tested */
};

/* Who has a server, by what was handed over: compared with what it says. */
enum server_place {
	PLACE_FREE,
	PLACE_CONNECTING,
	PLACE_POOL,
	PLACE_CLIENT,
	PLACE_CLEANING,
	PLACE_CHECKING,
	PLACE_CLOSING
};

struct model_server {
	struct pool_server s;
	enum server_place place;
	struct model_client *client;
};

/* What may not grow unless a limit says so. */
struct model_counts {
	uint32_t used;
	uint32_t connecting;
	uint32_t lent; /* by how much lasting loans eat open floors */
	uint32_t share_used[MODEL_SHARES];
	uint32_t quota_used[MODEL_QUOTAS];
	uint32_t slice_servers[MODEL_POOLS][MODEL_SHARES];
	uint32_t slice_coming[MODEL_POOLS][MODEL_SHARES];
	uint32_t slice_waiting[MODEL_POOLS][MODEL_SHARES];
	bool is_paused[MODEL_POOLS];
	uint32_t fetching[MODEL_POOLS];
};

struct model {
	struct monitor m;
	struct share shares[MODEL_SHARES];
	struct pool pools[MODEL_POOLS];
	struct quota quotas[MODEL_QUOTAS];
	struct slice slices[MODEL_POOLS][MODEL_SHARES];
	struct model_client clients[MODEL_CLIENTS];
	struct model_server servers[MODEL_SERVERS];
	struct monitor_action opens[MODEL_SERVERS]; /* MONITOR_OPEN not yet begun */
	uint32_t open_count;
	uint32_t fetches[MODEL_POOLS]; /* of passwords: as many are to be told */
	uint64_t now;
	uint64_t chosen_at; /* when the monitor last had to choose */
	bool has_chosen;                /* by this operation */
	bool had_just_used;             /* before it, some idle server */
	bool spares;                    /* then, some idle server had just been used */
	bool must_choose;   /* a connect ended; it will at monitor_gone() */
	uint64_t next_seq;
	struct monitor_actions todo;
	struct model_counts before;
	struct pool_server *returned; /* by this operation */
	struct pool_server *ended;    /* stalled, by this operation */
	bool ended_own;               /* it was pinned, and within its floor */
	const struct share *owner;    /* whose unit it was then */
	struct slice *asked;	      /* by this operation */
	bool limits_changed;	      /* by this operation */
	bool was_upkept;	      /* by this operation */
	bool has_acted;		      /* this operation found somebody to act on */
	const char *error;	      /* the first thing that was wrong */
};

/* --- model.c ----------------------------------------------------------------- */

void model_begin(struct model *, uint64_t seed);
void model_end(struct model *);
void model_fail(struct model *, const char *why);
/* New limits for everything, then upkeep. */
void model_configure(struct model *, uint64_t seed);
struct monitor_actions *model_actions(struct model *);
/* Takes over what model_actions() was filled with.  has_chosen: the operation
 * looked at all who wait. */
void model_settle(struct model *, bool has_chosen);
void model_upkeep(struct model *);
struct model_server *model_server_in(struct model *, enum server_place, uint32_t from);
struct model_client *model_client_in(struct model *, enum client_place, uint32_t from);
void model_client_holds(struct model *, struct model_client *);

/* --- model_ops.c ------------------------------------------------------------- */

enum model_verb {
#define MODEL_OP(name, run, weight) MODEL_##name,
#include "model_ops.def"
#undef MODEL_OP
	MODEL_VERB_COUNT
};

struct model_op {
	enum model_verb verb;
	uint32_t arg;
};

struct model_op model_op_random(struct rand_small *);
const char *model_verb_name(enum model_verb);
/* Does it and checks everything; false when something was wrong (error). */
bool model_step(struct model *, const struct model_op *);

/* --- model_check.c ----------------------------------------------------------- */

void model_remember(struct model *);
void model_check(struct model *);
/* Could a share ever have one more, if all others kept to their floors? */
bool model_has_hope(const struct model *, const struct share *);

#endif
