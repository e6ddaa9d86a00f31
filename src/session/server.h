/* SPDX-License-Identifier: ISC */
/*
 * A server: a connection of ours to PostgreSQL.
 *
 * Owns:   its stream, the queue of exchanges, and a unit of the host's budget
 *         from server_open() until PostgreSQL has closed its side.
 * Thread: the worker it is attached to; while pooled it belongs to the pool, has
 *         no worker, and nothing of it is touched but by the monitor.
 * Life:   server_close() begins its end; the memory goes at the end of the turn
 *         in which the socket is gone.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include "base/shown.h"
#include "session/exchange.h"
#include "session/params.h"
#include "session/router.h"
#include "session/steps.h"
#include "session/unseen.h"

enum { SERVER_KEY_MAX = 256, SERVER_INSPECT_MAX = 16 * 1024 };

struct errand;
struct server_login;

enum server_phase {
	SERVER_PHASE_CONNECT,   /* waits for the socket */
	SERVER_PHASE_LOGIN,
	SERVER_PHASE_READY,     /* passes messages on for its client */
	SERVER_PHASE_CHECK,     /* server_check_query before use */
	SERVER_PHASE_SETTINGS,  /* takes over the client's settings */
	SERVER_PHASE_ERRAND,    /* runs a query for the router itself */
	SERVER_PHASE_ASK,       /* what the client's settings have become */
	SERVER_PHASE_DEFAULTS,  /* sets again what its client has reset */
	SERVER_PHASE_PROBE,     /* what of its session only it has */
	SERVER_PHASE_BARRIER,   /* finds out which exchanges are still to come */
	SERVER_PHASE_ENDING,    /* the lease is over; on the way back to the pool */
	SERVER_PHASE_ABORT,     /* the client is gone; waits for what still runs */
	SERVER_PHASE_ROLLBACK,
	SERVER_PHASE_RESET,
	SERVER_PHASE_CLOSE      /* waits for PostgreSQL to close */
};

/* server.unnamed_of: it has one, perhaps, of nobody who is known. */
#define SERVER_UNNAMED_SOMEBODYS UINT64_MAX

struct server {
	uint32_t magic;
	enum server_phase phase;
	struct pool_server ps;
	struct stream stream;
	struct exchange_queue xq;
	struct worker *worker;          /* NULL while pooled */
	struct route_host *host;
	struct route_pool *pool;
	struct route *route;            /* of the client that is gone, while cleaning */
	struct client *client;          /* who has it; NULL when gone */
	struct errand *errand;          /* ERRAND: the same, of the router's own */
	struct server_login *login;     /* until logged in */
	struct addr addr;               /* where it connects or is connected to */
	struct route_tls *tls;          /* what held when it began to connect */
	uint8_t place;                  /* of hosts.H.host */
	uint32_t host_generation;       /* of the host's addresses; 0: not to be kept */
	struct timer timer;             /* of the phase */
	struct list_node in_worker;     /* worker->servers */
	struct list_node in_release;    /* worker->releasing or ->free_servers */
	struct params reported;         /* what ParameterStatus said */
	struct shown application;       /* ... of application_name, for SHOW */
	struct params applied;          /* on a session port: by the router, for its client */
	struct prepared_set prepared;   /* statements of transaction ports */
	struct prepared_names sql;      /* ... and those by names of a client's own */
	uint64_t sql_of;                /* the client */
	struct steps steps;             /* what replies to such are to come */
	struct buf instead;             /* of a message that the client is not to see */
	uint64_t opened_us;             /* since when it connects */
	uint64_t unnamed_of, unnamed_version;   /* whose unnamed statement it has; 0: none; which */
	uint32_t unnamed_at;            /* since which exchange (exchange_queue.ends) */
	bool unnamed_is_unsure;         /* an error in that, or before it, may skip what made it so */
	uint8_t lexer_flags;            /* enum lexer_flag, as it reads texts now */
	uint64_t literal_key, path_key; /* of settings under which statements are read; search_path */
	uint64_t nonce;                 /* of the barrier */
	uint32_t body_left;             /* of a message that streams through */
	bool body_drops;
	bool own_failed;                /* the router's own query got an error */
	bool own_seen;                  /* BARRIER: its reply has begun */
	bool wants_barrier;             /* when the client's message is complete */
	bool is_full;                   /* of steps: its client waits for answers */
	bool binds_ahead, data_ahead;   /* in flight: Bind of the unnamed portal; what may change
					   how texts are read */
	uint64_t code_key;              /* the same, by more than that; 0: nothing of the kind */
	uint64_t hidden_key;            /* nobody else's: code has run since it was cleaned; 0 */
	uint64_t plans_key;             /* how texts were read when code ran (server_reads.c) */
	bool drops_plans;               /* ... the clean drops what was planned then */
	bool is_unsure;                 /* its client waits for what becomes of names, or of how texts are read */
	bool wants_answers, is_flushed; /* ... within the error domain; PostgreSQL was told to answer */
	bool holds_client;              /* until what was put before its Query has gone well */
	bool is_dirty;                  /* carries session state: reset before reuse */
	uint8_t carries_under;          /* ps.last_client's enum route_state: who looked after that */
	bool may_defer;                 /* its transactions read only: they may wait for others, or be refused */
	bool has_foreign;               /* has statements that are not in "prepared" */
	bool is_cleaned;                /* SETTINGS: of another client's session, too */
	struct unseen_ran ran;          /* code that may have left what no clean takes away */
	bool ran_may_change;            /* ... in this transaction, and may have made more */
	bool asks_unseen;               /* SETTINGS: the clean asks what code can leave; */
	uint64_t asked_generation, asked_us;    /* as of then; when */
	bool is_to_ask;                 /* ... the next one does */
	bool is_judged;                 /* is_chained: nothing can have been left */
	bool is_suspect, has_strays;    /* code has run that may have made statements; by any name */
	bool is_forged;                 /* the clean has found a statement replaced */
	bool has_ddl, has_code;         /* in the transaction that runs: the latter, out of sight */
	bool is_hurried, is_looked_at;  /* RESET: it is asked what there is, then what it may wait for goes */
	uint8_t looks_for;              /* ... enum pin_asks */
	bool is_known_empty;            /* ... it has just been */
	bool is_chained;                /* a clean rides behind the client's last message */
	bool role_first;                /* the order that its settings were applied in */
	bool was_other_order;           /* SETTINGS: in the order before that they failed */
	uint64_t wanted_key, wanted_before; /* settings that this lease, the last began with */
	struct buf clean;               /* the Query that cleans and leaves clean_key's */
	uint64_t clean_key;
	bool clean_role_first;
	bool clean_looks, clean_drops, clean_at_once;   /* server_looks_for_forged(), drops_plans, may_defer: then */
	bool cleans_left, keeps_shared, is_left;        /* server_left.c: may be; how; is under way */
	uint64_t left_by;               /* ... a client that is known to have left */
	bool is_broken;                 /* not to be reused: see server_break() */
	enum server_end broken_by;
	bool is_tainted;                /* a cancel may hit it at any time: as well */
	bool is_session;                /* leased until the client leaves */
	const char *replication;        /* "true", "database"; NULL: an ordinary server */
	uint32_t cancels;               /* cancel connections not yet at their end */
	uint32_t backend_pid;
	uint16_t key_len;
	uint8_t key[SERVER_KEY_MAX];
	int fd;                         /* while pooled */
	char sqlstate[6];               /* of own_failed */
	char message[POOL_ERROR_TEXT_MAX];
};

/* MONITOR_OPEN: begins to connect.  Takes the unit over. */
void server_open(struct worker *, struct monitor_action *);

/* A replication connection: the client's own, outside the pools and the budget,
 * and closed with it.  The client is told how it went.  False: there are too many
 * already. */
NODISCARD bool server_open_replication(struct client *, const char *mode);

/* MONITOR_CLOSE: a server from the pool, to be ended. */
void server_take_to_close(struct worker *, struct server *, enum server_end);

/* A lease was granted: attaches the server to the client's worker and makes it
 * fit.  False: it was dead (and is being closed); ask again. */
NODISCARD bool server_lease(struct worker *, struct server *, struct client *);

/* The same for an errand of the router's own, whose query is sent.  And its end
 * before there was an answer: it is cancelled, and the server closed. */
NODISCARD bool server_run_errand(struct worker *, struct server *, struct errand *);
void server_errand_gone(struct server *);

/* The client of this server has gone or has been thrown out: what runs is
 * cancelled, the transaction ended, the session reset. */
void server_client_gone(struct server *, bool was_mid_message);

/* Back to the pool, through the worker's release task. */
void server_release(struct server *);
void server_release_now(struct server *);

/* Terminate, FIN, wait for PostgreSQL. */
void server_close(struct server *, enum server_end);
/* Nobody else gets it: it is closed when its lease ends.  The first reason counts. */
void server_break(struct server *, enum server_end);
/* It does not take what is sent to it: its end, and its client's. */
void server_cut_off(struct server *);

/* The other half of the relay: bytes from PostgreSQL. */
size_t server_query_data(struct server *, const uint8_t *data, size_t len);
size_t server_login_data(struct server *, const uint8_t *data, size_t len);

/* A cancel connection has come to its end. */
void server_cancel_done(struct server *);

/* The process ends: all servers of the worker, and, when the workers have ended,
 * those in the pools. */
void server_abort_all(struct worker *);
void server_abort_pooled(struct route_host *);

/* Frees what ended in this turn. */
void server_reap(struct worker *);

static inline struct server *server_from_ps(struct pool_server *ps)
{
	return container_of(ps, struct server, ps);
}

/* For its texts, as the server reads them now: enum lexer_flag. */
static inline unsigned client_lexer_flags(const struct server *s)
{
	return s->lexer_flags;
}

#endif
