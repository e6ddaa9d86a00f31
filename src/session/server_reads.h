/* SPDX-License-Identifier: ISC */
/*
 * What code that runs out of sight makes of how texts are read on a server.
 *
 * Owns:   nothing; the state is the server's.
 * Thread: the worker's of the server.
 */
#ifndef SESSION_SERVER_READS_H
#define SESSION_SERVER_READS_H

#include "session/server.h"

/* Something runs that may run code. */
void server_reads_behind_code(struct server *);
/* The server has told of other settings under which texts are read. */
void server_reads_change(struct server *);
/* What code has planned there would not be planned so under these settings. */
bool server_plans_are_others(const struct server *, const struct params *);
/* It was cleaned, with_plans: and no plan is left. */
void server_reads_cleaned(struct server *, bool with_plans);

#endif
