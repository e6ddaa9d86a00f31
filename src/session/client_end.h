/* SPDX-License-Identifier: ISC */
/*
 * Does the lease of a transaction port's client end with what it has sent?  Only then may
 * anything of the router's own be sent behind it.
 *
 * Owns:   nothing; the state is client->end.
 * Thread: the client's worker.
 */
#ifndef SESSION_CLIENT_END_H
#define SESSION_CLIENT_END_H

#include "session/client.h"

struct frame;
struct server;

enum client_end {
	CLIENT_END_UNKNOWN,     /* not proven, or of no interest */
	CLIENT_END_PROVEN,      /* PostgreSQL is idle outside a transaction behind it */
	CLIENT_END_IN_BLOCK,    /* a transaction is open: COMMIT would end it */
	CLIENT_END_BOUND        /* ... and is what the unnamed portal will run */
};

/* Before a message goes on, and when it has. */
void client_end_begin(struct client *, const struct server *, const struct frame *);
void client_end_sent(struct client *, const struct server *, const struct frame *);
/* Unless this message is proven to leave nothing there the server carries the client's
 * session from here on.  Returns what it leaves, for client_reads_behind(). */
unsigned client_leaves(const struct client *, struct server *, const struct frame *);
/* It was sent, and leaves that: what is sent behind it may be read otherwise. */
void client_reads_behind(struct client *, struct server *, const struct frame *,
	unsigned leaves);
/* On a session port, where the session is the server's: what the message runs may leave
 * what no clean takes away (unseen.h). */
void client_session_leaves(const struct client *, struct server *, const struct frame *);

#endif
