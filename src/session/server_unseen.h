/* SPDX-License-Identifier: ISC */
/*
 * What code of a client may have left on a server that no clean takes away: such a server
 * goes to nobody else.
 *
 * Owns:   nothing; what has run is server->ran, PostgreSQL's word the pool's.
 * Thread: the server's worker; server_judge() the one that is about to have it.
 */
#ifndef SESSION_SERVER_UNSEEN_H
#define SESSION_SERVER_UNSEEN_H

#include "session/server.h"

struct frame;

/* The client's code is about to run: enum unseen_code. */
void server_ran(struct server *, uint64_t client, unsigned code);
/* The same of a text where nobody looks after names: all but LOAD is taken for granted there
 * (server_fit.c); NULL: of one that is too long to be kept whole. */
void server_ran_text(struct server *, uint64_t client, const char *text);
/* ... and what may have made more of it has come to its end. */
void server_ran_to_end(struct server *);
/* As far as is known no code in the database can leave such things. */
bool server_code_is_harmless(const struct server *);
/* Somebody else is to have it: may something have been left, is it to be asked? */
enum unseen_verdict server_judge(struct server *, const struct client *);
/* What is known holds, but it is time to ask: true for one server of the pool. */
bool server_asks_early(struct server *);
/* Behind the clean, in the same Query; the answer.  False: this row is none. */
void server_unseen_question(struct server *, struct buf *sql);
NODISCARD bool server_unseen_row(struct server *, const struct frame *row);
/* SETTINGS: true: something may have been left, the server is closed, and its client has
 * asked for another one. */
bool server_unseen_answered(struct server *);
/* The lease is over: the server would only be closed by the next one. */
bool server_unseen_is_left(struct server *);
/* Counts and tells that one is to be closed for it. */
void server_unseen_tell(struct server *, struct route_workload *);
/* May a clean ride behind the last message of the lease? */
bool server_unseen_may_chain(struct server *);
/* It is done. */
void server_unseen_chained(struct server *);

#endif
