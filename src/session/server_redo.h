/* SPDX-License-Identifier: ISC */
/*
 * What becomes of statements and their names when steps come to nothing, or a reply tells
 * that all of them are gone.
 *
 * What a server has, by names of ours (server->prepared) and by clients' own (server->sql),
 * and what the client has (client->names) is what is there when all that is in flight has
 * gone well.  An error takes part of that away, and what is behind it may be about the same
 * statements: so all is taken back, and done again without what was skipped.  Likewise what
 * is in flight comes behind a DEALLOCATE ALL that was told, and still counts.
 *
 * It is done again when somebody is about to look (server_redo()), and not at each reply: a
 * text may have thousands of PREPAREs and as many DEALLOCATE ALL.  Until then the three are
 * what was answered (steps.redoes and its kin), and each reply adds what it tells.
 *
 * Owns:   nothing.
 * Thread: the server's worker.
 */
#ifndef SESSION_SERVER_REDO_H
#define SESSION_SERVER_REDO_H

#include "session/server.h"

/* The server's or its client's statements are about to be looked at, or changed. */
void server_redo(struct server *);

/* The same as steps_received() and steps_ended(). */
enum step_verdict server_step_received(struct server *, uint8_t type);
void server_steps_ended(struct server *);

/* An error: from here on the server's set is what was answered.  And what it makes come to
 * nothing does so. */
void server_steps_fail_begin(struct server *);
void server_steps_fail(struct server *, bool skips);

/* What portals were to do, as far as that was answered in another way. */
void server_prepared_settle(struct server *);
/* Nothing is known of what was sent last. */
void server_prepared_lost_count(struct server *);
/* A Close was answered: if it is at the head of the steps, and was the unnamed one's. */
void server_unnamed_closed(struct server *);
/* DISCARD ALL, DEALLOCATE ALL: nothing is there any more; the client's names. */
void server_prepared_cleared(struct server *);
void server_prepared_names_dropped(struct server *);

#endif
