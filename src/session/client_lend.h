/* SPDX-License-Identifier: ISC */
/*
 * A session that gives its server back while it is idle (idle_session_reclaim), and gets
 * one again with its next query.
 *
 * It does so only when nothing but settings would be lost, which are kept and applied again
 * (server_state.c), and when all that it ever sent has been understood.  Its texts are
 * looked at from its first one on; what is in the session then only the server knows, and
 * it is asked: pin_question(PIN_ASKS_CODE).  The unnamed statement is kept
 * (client_unnamed.c).
 *
 * Not kept: what currval() and lastval() tell, unless a text has asked for such; the
 * process id.
 *
 * Owns:   client->lend.
 * Thread: the client's worker.
 */
#ifndef SESSION_CLIENT_LEND_H
#define SESSION_CLIENT_LEND_H

#include "session/client.h"

struct frame;
struct server;

/* It has got a server: is it one of those whose texts are looked at? */
void client_lend_taken(struct client *);

/* A text that the server is about to read.  named: it will be executed by its name. */
void client_lend_text(struct client *, struct server *, const char *text, size_t len,
	bool named);
/* Something that nobody has read. */
void client_lend_unseen(struct client *);
/* A message that goes on as it is: its unnamed statement, which it is to find on another
 * server, too. */
void client_lend_keep(struct client *, struct server *, const struct frame *);
/* A message is about to be sent, as the first of an exchange: the unnamed statement is put
 * back, if that is what it may use. */
void client_lend_restore(struct client *, struct server *, const struct frame *);

/* It has a server that is fit, and has sent nothing yet: the server is asked what code
 * there is. */
void client_lend_look(struct client *, struct server *);
/* When it has been idle for long enough; UINT64_MAX: that is not looked for. */
uint64_t client_lend_deadline(const struct client *);
/* It has: the server is asked whether anything is in the session. */
void client_lend_begin(struct client *);
/* What its settings have become is known, or not; then the answer to what else there is;
 * and its end. */
void client_lend_asked(struct client *, struct server *);
NODISCARD bool client_lend_answered(struct client *, const struct frame *row);
void client_lend_told(struct client *, struct server *);

/* It has a server again, with its settings: it is told where that is another than it knew. */
void client_lend_back(struct client *, const struct server *);

#endif
