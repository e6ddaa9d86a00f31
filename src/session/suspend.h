/* SPDX-License-Identifier: ISC */
/*
 * SUSPEND: what has been received goes out, then nothing is read or written until
 * RESUME.  Clients, servers, their deadlines and what a release would grant stay as
 * they are; connections are accepted, and wait in front of their login, but for those
 * of the console, which goes on.
 *
 * Thread: suspend_set() and suspend_is_done() any; the rest is the worker's.
 */
#ifndef SESSION_SUSPEND_H
#define SESSION_SUSPEND_H

#include <stdatomic.h>

#include "net/timers.h"

struct router;
struct worker;

struct suspend {
	bool is_on;
	uint32_t seen;                  /* router.suspends, when is_on was set */
	_Atomic uint32_t flushed;       /* router.suspends when all was sent */
	struct timer look;
	uint64_t since_us;
	uint64_t until_us;              /* who has not taken what is theirs is cut off */
};

void suspend_init(struct worker *);

/* Tells all workers.  False: it is so already. */
bool suspend_set(struct router *, bool is_on);
bool suspend_is_on(const struct router *);
/* No worker has anything left to send. */
bool suspend_is_done(const struct router *);

#endif
