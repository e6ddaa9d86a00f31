/* SPDX-License-Identifier: ISC */
/*
 * plan_reuse: the unnamed statement of a client of a transaction port stands for a shared
 * one (client_reuse.c).
 *
 * Owns:   the messages that may have to be sent again.
 * Thread: the client's worker.
 * Limits: REUSE_TEXT_MAX for a text, REUSE_AGAIN_MAX for the messages of one exchange.
 */
#ifndef SESSION_CLIENT_REUSE_H
#define SESSION_CLIENT_REUSE_H

#include "base/buf.h"

struct client;
struct error_fields;
struct frame;
struct prepared;
struct server;

enum { REUSE_TEXT_MAX = 8 * 1024, REUSE_AGAIN_MAX = 16 * 1024 };

enum reuse_stage {
	REUSE_NONE,
	REUSE_PARSED,           /* a Parse for which nothing was sent; only while its bytes
				   are dealt with */
	REUSE_SENT,             /* the first use of it was, and is not answered */
	REUSE_FAILED            /* ... or failed; all is sent again, as it came */
};

struct reuse {
	uint8_t stage;          /* enum reuse_stage */
	bool owes_parse;        /* ParseComplete */
	bool is_proven;         /* this lease's server has read it for this client */
	bool is_off;            /* it is being sent again */
	bool holds;             /* the client waits for the answer */
	struct buf owed;        /* to the client, in front of the next reply */
	struct buf again;       /* messages behind the Parse */
};

void reuse_init(struct reuse *);
void reuse_finish(struct reuse *);

/* An unnamed Parse with this body.  True: it was seen to, nothing else is to be sent. */
bool client_reuse_parse(struct client *, struct server *, const uint8_t *body, size_t len);

/* A message comes; of one that is sent again if need be a copy is kept. */
void client_reuse_next(struct client *, struct server *, const struct frame *);

/* Bind ('B') or Describe of the unnamed statement: the statement that it stands for, with
 * its step made; NULL: it does not. */
struct prepared *client_reuse_use(struct client *, struct server *, const struct frame *);

/* What came is at its end: a Parse that nothing was sent for is sent. */
void client_reuse_settle(struct client *, struct server *);

/* This message is to wait for the answer to what was sent. */
bool client_reuse_waits(struct client *, struct server *, const struct frame *);

bool client_reuse_is_open(const struct client *);
bool client_reuse_has_failed(const struct client *);

/* client_prepared.c: how many statements a server keeps for it. */
uint32_t client_most_prepared(const struct client *);

/* --- replies --------------------------------------------------------------------- */

/* 't' of the first use: kept back until the rest is there.  False: it goes on. */
bool client_reuse_hold(struct client *, const struct frame *);
/* The first use has gone well; what is owed goes to out. */
void client_reuse_proven(struct client *, struct buf *out);

enum reuse_error {
	REUSE_ERROR_GOES_ON,    /* it is the client's */
	REUSE_ERROR_BEHIND,     /* the same, behind what was put into out */
	REUSE_ERROR_AGAIN       /* nobody hears of it: all is sent again */
};

/* The step at the head has failed. */
enum reuse_error client_reuse_failed(struct client *, struct server *,
	const struct error_fields *, struct buf *out);

/* ReadyForQuery behind such an error. */
void client_reuse_again(struct client *, struct server *);

#endif
