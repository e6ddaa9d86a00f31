/* SPDX-License-Identifier: ISC */
/*
 * What the client's messages may reset of the settings that it brought in its startup packet:
 * found in what it sends (client_resets.c), and made good when the exchange ends
 * (server_defaults.c, which tells why).  Called on the client's worker, in a lease.
 */
#ifndef SESSION_CLIENT_RESETS_H
#define SESSION_CLIENT_RESETS_H

#include "pg/frame.h"
#include "session/client.h"
#include "session/client_work.h"
#include "session/server.h"

/* What is known of what resets them. */
enum resets_way {
	WAY_NONE,
	WAY_READ,       /* the message that has just been noted is parsed, or bound */
	WAY_PARSED,     /* it is the unnamed statement */
	WAY_BOUND,      /* it is resets_portal */
	WAY_RAN,        /* nothing has failed since: all of it has run */
	WAY_UNSURE
};

/* How what an earlier message has made may reset them. */
enum resets_by {
	BY_TAG = 1 << 0,        /* a statement, which its tag tells */
	BY_CALL = 1 << 1,       /* ... or with the tag of any other */
	BY_NULL = 1 << 2,       /* the same if NULL is a value that it is given */
	BY_CURSOR = 1 << 3      /* a cursor, when it is read, or held */
};

static inline const struct params *client_defaults(const struct client *c)
{
	return c->has_start ? &c->work->start : &c->params;
}

static inline bool client_has_defaults(const struct client *c)
{
	return buf_len(&client_defaults(c)->text) > 0;
}

/* A text that the server is about to read: does it reset some?  runs: it surely runs. */
bool client_note_resets(struct client *, struct server *, const void *text, size_t len,
	bool runs);
/* A FunctionCall that does: name "" where it is not known. */
void client_note_call_resets(struct client *, const char *name, bool may_be_local);
/* Where texts are not kept: one goes on, in a Query or Parse, and may run what came before or
 * be run later; so may a Bind or Execute, and NULL as a value resets. */
void client_note_passing_text(struct client *, struct server *, const struct frame *);
void client_note_passing_run(struct client *, const struct server *, const struct frame *);

/* Such a message, and what comes behind it, has gone on. */
void client_resets_behind(struct client *, const struct frame *);
/* It has a server, perhaps another one, whose exchanges have numbers of their own. */
void client_resets_taken(struct client *);
/* They are made good, or came to nothing. */
void client_resets_forget(struct client *);
/* The statements that had names were dropped. */
void client_resets_drop(struct client *);
/* The client is freed. */
void client_resets_free(struct client *);

#endif
