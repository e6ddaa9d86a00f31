/* SPDX-License-Identifier: ISC */
/*
 * A client: somebody's connection to us, from accept to its last byte.
 *
 * Owns:   its stream, its route, its lease, and its struct client_login while it logs in.
 * Thread: the worker that accepted it, for life.
 * Life:   client_close() is safe anywhere and the first reason wins.  The memory
 *         goes at the end of a turn, when no callback is on the stack.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include "session/client_work.h"
#include "session/prepared.h"
#include "session/router.h"

/* Texts of statements up to here are kept or looked at. */
enum { CLIENT_INSPECT_MAX = 1024 * 1024 };

enum { CLIENT_KEY_MAX = 32, CLIENT_LEASE_BYTES = 16 * 1024, CLIENT_TURNS_MAX = 16 };

struct client_login;
struct told;
struct gate_source;

/* What to do with messages that no server will see. */
enum client_skip { CLIENT_SKIP_NOTHING, CLIENT_SKIP_ONE, CLIENT_SKIP_TO_SYNC };

/* A session that may give its server back while it is idle: client_lend.c. */
struct lend {
	bool looks;                     /* its texts are looked at */
	bool is_barred;                 /* never: something was not understood */
	bool is_tried;                  /* since it was last active */
	bool is_free;                   /* PROBE: the answer */
	bool begins;                    /* PROBE: at the beginning of the lease */
	bool was_lent;                  /* this session has had another server before */
	uint64_t code_changes;          /* as the router had counted them then */
};

struct client {
	uint32_t magic;
	enum client_state state;
	struct stream stream;
	struct worker *worker;
	struct route_workload *workload;
	struct route *route;            /* from LOGIN on */
	struct route_limits *newer;     /* times of a reload, until it may have the rest; or NULL */
	struct server *server;          /* while it has a lease, until it is released */
	struct timer deadline;
	struct client_login *login;     /* until IDLE */
	struct stats_block *stats;
	struct addr *proxied;           /* whom a load balancer speaks for; NULL: none */
	struct gate_source *source;     /* NULL: its address is not counted */
	struct params params;
	struct told *told;              /* what ParameterStatus said, on a transaction port */
	struct lend lend;
	struct client_work *work;       /* from the first request of a lease on */
	struct prepared_names names;    /* statements, on a transaction port */
	struct buf unnamed;             /* body of the last unnamed Parse, if it is small */
	uint64_t unnamed_version;       /* counts them */
	struct prepared *unnamed_large; /* ... or large, or shared; else NULL */
	struct prepared_act *unnamed_act;       /* what it does to names; or NULL */
	struct prepared_names *portals; /* that do something to names; NULL: none */
	struct list_node in_free;
	uint64_t id;
	uint32_t slot;
	uint8_t key_len;
	uint8_t key[CLIENT_KEY_MAX];    /* of its cancel requests */
	uint8_t console;                /* ROUTE_ADMIN, ROUTE_STATS */
	uint8_t skip;                   /* enum client_skip */
	uint8_t wanted;                 /* type of the message a lease was asked for */
	bool body_drops;                /* body_left bytes go nowhere */
	bool wants_lease;               /* asked again before the last was released */
	bool is_quitting;               /* Terminate is behind what still runs */
	bool is_cancelled;              /* a cancel came before its query was sent */
	bool is_console_busy;
	bool has_sent;                  /* something, in this lease */
	bool has_unnamed;               /* an unnamed statement */
	bool has_unseen;                /* one whose text is not known */
	bool has_start;
	bool makes_code;                /* a table that it creates may run something */
	struct resets_later later;      /* what it has prepared may reset settings */
	bool resets_unsure;             /* what "resets" has may have been rolled back */
	bool role_first;                /* the order in which its settings are applied */
	bool unnamed_touches;           /* it may set something */
	bool unnamed_names, unnamed_makes;      /* ... name statements, make a table */
	bool unnamed_pins;              /* it may leave what only its server has */
	bool unnamed_shared;            /* it stands for a shared one: client_reuse.c */
	uint8_t reuse_pause;            /* so many are not to */
	bool keeps_statements;          /* names are looked after, in this lease */
	uint8_t end;                    /* enum client_end: does its lease end? */
	uint8_t deaths;                 /* of servers, since one last worked */
	bool is_relaying;               /* within client_query_data() */
	bool is_late;                   /* on the console, and came when the end had begun */
	bool is_counted;                /* in max_client_conn of the workload */
	bool is_tls_counted;            /* among the connections with TLS */
	bool is_in_limits;              /* in those of its database and user */
	bool is_wait_told;              /* in this wait, by a notice */
	bool is_unproven;               /* has not proven who it is: see session/gate.h */
	uint8_t body_type;              /* of the last message that was passed on */
	uint32_t body_left;             /* of a message that streams through */
	uint32_t lease_exchanges;       /* sent in this lease */
	uint64_t connected_us;
	uint64_t wall_us;               /* connected, by the calendar */
	uint64_t state_us;              /* since when it is in this state */
	uint64_t query_us;              /* 0: no query runs */
	uint64_t xact_us;               /* 0: not in a transaction */
	uint64_t slow_print, slow_unnamed; /* of the last query, the unnamed statement; 0: unknown */
	struct slow_texts *slow_texts;  /* of both, slow.c's; or NULL */
	uint64_t queries;
	uint64_t xacts;
	char *console_user;             /* of ADMIN, which has no route */
	void *console_state;            /* the console's; or NULL */
};

const char *client_state_show(enum client_state);
/* The word of the log for a reason. */
const char *close_reason_word(enum close_reason);

/* A connection was accepted; the descriptor is taken over. */
void client_accept(const struct door *, int fd);

/* Where it comes from, as far as is known.  False: the socket is gone. */
bool client_peer(const struct client *, struct addr *);
/* The same for the log.  Returns to. */
const char *client_addr_text(const struct client *, char to[ADDR_TEXT_MAX]);

/* Ends it with the text of the reason, if it has one. */
void client_close(struct client *, enum close_reason);
/* The same with a message of its own.  hint may be NULL. */
void client_close_with(struct client *, enum close_reason, const char *sqlstate,
	const char *message, const char *hint);

/* Sends an answer. */
void client_send(struct client *, struct buf *);
void client_send_ready(struct client *, char status);
void client_notice(struct client *, const char *message, const char *detail);

/* The only assignment to the state. */
void client_enter(struct client *, enum client_state);

/* The client with this number, or NULL: numbers are told in BackendKeyData. */
struct client *client_find(struct worker *, uint32_t pid);
uint32_t client_pid(const struct client *);

/* For views: the client that had this slot when it was that one, or NULL. */
struct client *client_find_id(struct worker *, uint32_t slot, uint64_t id);

/* What is timed of it, in its worker's part. */
static inline struct times_block *client_timed(const struct client *c,
	enum workload_time what)
{
	return route_workload_times(c->workload, c->worker->index, what);
}

/* The answer of the console, ReadyForQuery included. */
void client_console_reply(struct client *, struct buf *);

/* The process ends: closed without a word. */
void client_abort(struct client *);

/* Frees what was closed in this turn. */
void client_reap(struct worker *);

/* --- between the two machines -------------------------------------------------- */

/* The lease that was waited for has come, or was refused. */
void client_granted(struct client *);
void client_refused(struct client *);

/* The server is ready for the client's messages (settings applied). */
void client_server_ready(struct client *);

/* Applying the client's settings failed. */
void client_server_unfit(struct client *, const char *sqlstate, const char *message);

/* Its server died before it got anything of this client's: another one is asked
 * for, up to a few times; where that is nobody's fault, as often as it takes. */
void client_server_died(struct client *);
void client_server_replaced(struct client *);

/* An exchange ended. */
void client_exchange_done(struct client *, char status);

/* The lease is over; the server is about to be released, and then it was. */
void client_lease_over(struct client *);
void client_lease_released(struct client *);

/* It has no unnamed statement any more. */
void client_unnamed_forget(struct client *);
void client_portals_forget(struct client *);

/* The server takes bytes again, or has room for exchanges again. */
void client_resume(struct client *);

/* A reload or a drain: look at what has changed. */
void client_recheck(struct client *);

#endif
