/* SPDX-License-Identifier: ISC */
/*
 * What is of use to a client in a lease, and seldom outlives it: most clients of a router
 * are idle, and have none of it.
 *
 * Owns:   client->work.
 * Thread: the client's worker.
 * Limits: a worker keeps some for the next that asks.
 */
#ifndef SESSION_CLIENT_WORK_H
#define SESSION_CLIENT_WORK_H

#include "base/list.h"
#include "pool/pool.h"
#include "session/client_reuse.h"
#include "session/params.h"
#include "session/pin.h"
#include "session/stall.h"
#include "session/state.h"

struct client;
struct prepared_name;
struct worker;

/* This server, with so many changes of its names, has all that the client, with so many, has
 * prepared by SQL. */
struct sql_there {
	uint64_t server;                /* 0: none */
	uint64_t names, there;
};

/* Where texts are not kept: what may reset settings of the startup packet when it runs. */
struct resets_later {
	struct reset_name *names;       /* statements that have one; or NULL */
	uint32_t count;
	uint32_t from;                  /* the number of the exchange that has made the last */
	uint8_t by;                     /* of all of them: enum resets_by of client_resets.h */
	uint8_t by_unnamed;             /* of the unnamed statement, */
	uint8_t by_any;                 /* ... or of any: there are too many names */
};

struct client_work {
	struct list_node in_free;       /* of the worker's */
	struct client *client;
	struct lease lease;
	struct touched touched;         /* settings, in this lease */
	struct touched resets;          /* of settings of the startup packet, not yet made good: */
	uint32_t resets_from;           /* ... the number of the exchange that is of */
	uint8_t resets_way;             /* ... client_resets.h: has what resets them run? */
	bool resets_executed;           /* ... something was, since */
	bool resets_tagged;             /* ... so a tag may say */
	uint8_t resets_now;             /* how what was prepared may, until its transaction ends:
					   BY_TAG, BY_CALL of client_resets.h */
	bool resets_bound;              /* until the transaction ends a portal may reset some, */
	bool resets_saved;              /* ... or going back to a savepoint */
	uint64_t resets_portal;         /* what was bound last, by its hash */
	bool reads_change;              /* the lease may have changed how texts are read, */
	uint64_t read_key;              /* ... in ways that nothing tells: nobody else's; or 0 */
	bool cuts;                      /* the transaction may have changed where strings and
					   characters end */
	struct pins pins;               /* what only its server has */
	struct reuse reuse;             /* its unnamed statement stands for a shared one */
	struct prepared_name *named;    /* client_named() has found last; or NULL */
	size_t read;                    /* bytes of texts that it has kept, in this turn */
	struct sql_there sql_there;
	uint64_t pins_names;            /* pins.prepared has what so many changes of the names, */
	unsigned pins_flags;            /* ... read with these flags, have made it, */
	bool has_pins;                  /* ... if it has been looked at */
	uint32_t looked_len;            /* of the message that waits: so much was looked at, and */
	bool looked_names;              /* ... that may name statements */
	struct params start;            /* those of the startup packet, once "params" differ */
	struct stall_mark stall;        /* touched by looks at stalled leases only */
	uint64_t leave_us;              /* 0, or it is removed, and has so long */
};

/* It is about to ask for a lease.  False: without memory. */
NODISCARD bool client_work_begin(struct client *);
/* Its lease was returned: nothing is kept, unless something was left. */
void client_work_end(struct client *);
void client_work_free(struct client *);
/* The worker ends. */
void client_works_free(struct worker *);

static inline void client_work_reads_anew(struct client_work *w)
{
	w->reads_change = false;
	w->read_key = 0;
	w->cuts = false;
}

static inline struct client *client_from_lease(struct lease *l)
{
	return container_of(l, struct client_work, lease)->client;
}

#endif
