/* SPDX-License-Identifier: ISC */
/*
 * Leases that a client of a transaction port keeps for what only its server has: what
 * the files of the client and the server machine use of it.
 *
 * Owns:   pins of struct client_work.
 * Thread: the client's worker.
 */
#ifndef SESSION_CLIENT_PIN_H
#define SESSION_CLIENT_PIN_H

#include "session/client.h"
#include "session/steps.h"

struct frame;
struct server;

/* Whatever the text is it is to be looked at. */
static inline bool client_pin_looks(const struct client *c)
{
	return (c->work->pins.kinds | c->work->pins.prepared) != 0 || c->route->limits.audit_each != 0 ||
		(c->route->limits.pins_refused >> ROUTE_PIN_COUNT) != 0;
}

/* A text in which pin_may() finds nothing need not be looked at. */
static inline bool client_pin_passes(const struct client *c)
{
	return !client_pin_looks(c) && !c->work->touched.closes;
}

/* Is the server to be kept, or asked, when the transaction is over? */
static inline bool client_pin_is_there(const struct client *c)
{
	return c->work->pins.kinds != 0 || c->work->pins.asks ||
		(c->work->pins.is_unseen && c->route->limits.audit_each != 0);
}

/* A text that is about to run: may it?  *why: the step of its refusal. */
NODISCARD bool client_pin_admits(struct client *, struct server *, const void *text,
	size_t len, enum step_kind *why);
/* The same for the statement of this name, which is about to be bound. */
NODISCARD bool client_pin_admits_bind(struct client *, struct server *, const char *name,
	enum step_kind *why);
/* The same for a FunctionCall that sets this. */
NODISCARD bool client_pin_admits_setting(struct client *, struct server *, const char *name,
	enum step_kind *why);
/* The same for a message that is passed on where nobody looks after names: a text runs at its
 * Parse, as far as this goes. */
NODISCARD bool client_pin_passing(struct client *, struct server *, const struct frame *,
	enum step_kind *why);
/* Sends something that fails in its place. */
void client_pin_refuse_passing(struct client *, struct server *, const struct frame *,
	enum step_kind why);
/* Sends a Query that fails in place of the one that may not. */
void client_pin_refuse_query(struct server *, enum step_kind why);
/* The error of either. */
void client_pin_error(struct client *, bool is_policy, struct buf *out);
/* Something has run, to its end or for some rows: LOAD, or what may call functions. */
void client_pin_ran(struct client *, bool loads);
/* The transaction is over.  True: the lease goes on, or the server is asked whether. */
bool client_pin_holds(struct client *, struct server *);
/* The server has answered. */
void client_pin_told(struct client *, struct server *);
/* ... or failed to. */
void client_pin_untold(struct client *, struct server *);
/* It has another server now, or none. */
void client_pin_forget(struct client *);

#endif
