/* SPDX-License-Identifier: ISC */
/*
 * Messages that go on as they are: on a session port, and on a transaction port where nobody
 * looks after names (max_prepared_statements: 0).  What they may set, pin or leave is noted all
 * the same.  Called on the client's worker, in a lease.
 */
#ifndef SESSION_CLIENT_PASSING_H
#define SESSION_CLIENT_PASSING_H

#include "pg/frame.h"
#include "session/client.h"
#include "session/server.h"
#include "session/span.h"

/* Is the rest of it to come before anything is done about it? */
bool client_passing_waits(const struct client *, const struct frame *);
/* Is not all of it there yet of what may reset a setting of the startup packet? */
bool client_passing_is_cut(const struct client *, const struct server *, const struct frame *);
/* It goes on with the span, or is refused; in front of it something else may be sent. */
void client_passing(struct client *, struct server *, const struct frame *, struct span *);

#endif
