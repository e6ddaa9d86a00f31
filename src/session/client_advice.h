/* SPDX-License-Identifier: ISC */
/*
 * Telling who should hear of it what a client of a transaction port does that belongs on
 * a session port: SHOW ADVICE always, the log and the client as session_state_advice says.
 *
 * Owns:   told, notices and hold of struct pins.
 * Thread: the client's worker.
 */
#ifndef SESSION_CLIENT_ADVICE_H
#define SESSION_CLIENT_ADVICE_H

#include "session/advice.h"
#include "session/client.h"

/* kinds: as of advice_note().  The log and the client hear once of each. */
void client_advice_tell(struct client *, uint32_t kinds, enum advice_what);

/* From here on it keeps a server for these; until it does not. */
void client_advice_keeps(struct client *, uint32_t kinds);
void client_advice_ended(struct client *, uint32_t kinds);

/* Are there NOTICEs that it has not had? */
static inline bool client_advice_is_due(const struct client *c)
{
	return c->work->pins.notices != 0;
}

/* They go where it gets a ReadyForQuery next, in front of that. */
void client_advice_notices(struct client *, struct buf *out);

#endif
