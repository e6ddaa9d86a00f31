/* SPDX-License-Identifier: ISC */
/*
 * Idle servers of transaction ports whose client has left, cleaned before anybody else has
 * them: what code of its has taken there, a lock or a temporary table, goes with it.
 *
 * Owns:   nothing.
 * Thread: the worker that looks at idle servers.
 */
#ifndef SESSION_SERVER_LEFT_H
#define SESSION_SERVER_LEFT_H

#include "session/server.h"

/* It was taken from its pool to be looked at: is its client known to have left?  Who leaves is
 * not remembered for long; of a server that was asked for it is, until its turn has come. */
bool server_is_left(const struct worker *, struct server *);
/* ... and goes back there by itself, cleaned. */
void server_clean_left(struct worker *, struct server *);

#endif
