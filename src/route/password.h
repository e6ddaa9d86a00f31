/* SPDX-License-Identifier: ISC */
/*
 * A password for PostgreSQL that comes from a file or a command and may become another
 * one at any time: IAM tokens, Vault.
 *
 * What was told is good until a server refuses it, its lifetime is over or the
 * configuration is read again; then it is fetched once, whoever wants it, and the others
 * wait.  When what was fetched is refused or cannot be had several times in a row, there
 * are pauses between the attempts; meanwhile PostgreSQL decides on what is known.
 *
 * Who has it is a source: part of what makes a pool, where its answer is not.  So pools,
 * and the servers in them, outlive their passwords.
 *
 * Owns:   a copy of the password, wiped when there is another one.
 * Thread: any; own lock, held for no call to others.  route_password_fetch() blocks.
 * Limits: ROUTE_PASSWORD_MAX bytes; ten seconds for a command.
 */
#ifndef ROUTE_PASSWORD_H
#define ROUTE_PASSWORD_H

#include "base/list.h"

enum { ROUTE_PASSWORD_MAX = 16384 };

#define ROUTE_PASSWORD_TIMEOUT_US (10 * USEC_PER_SEC)

struct route_password;

enum route_password_result {
	ROUTE_PASSWORD_KNOWN,           /* *value is the caller's, to be wiped and freed */
	ROUTE_PASSWORD_ASK,             /* the caller is to see that it is fetched */
	ROUTE_PASSWORD_WAIT,            /* somebody else does */
	ROUTE_PASSWORD_FAILED           /* it could not be had a moment ago */
};

/* Embedded in what waits; given back by route_password_settle(). */
struct route_password_waiter {
	struct list_node node;
	bool has_waited;        /* what was fetched for it will do, be its lifetime over */
};

/* With ASK and WAIT the waiter is in the queue.  *version is of *value; value NULL: it is
 * not wanted, only whether it is there. */
enum route_password_result route_password_get(struct route_password *, uint64_t now_us,
	struct route_password_waiter *, char **value, uint64_t *version);

/* Reads the file or runs the command: by a thread that may wait. */
void route_password_fetch(struct route_password *);

/* It could not even be tried. */
void route_password_give_up(struct route_password *, const char *why);

/* Counts in the host what became of it, and says why it failed.  While the directory is
 * there. */
void route_password_report(struct route_password *);

/* ... and that is over, done or not.  All who waited, to be told. */
void route_password_settle(struct route_password *, struct list *waiters);

/* A server has refused it (false: no other is to be had now, or it was fetched because
 * another one had been refused), or taken it. */
bool route_password_refused(struct route_password *, uint64_t version, uint64_t now_us);
void route_password_worked(struct route_password *, uint64_t version);

/* It stays while it is held, whatever becomes of its pools. */
struct route_password *route_password_ref(struct route_password *);
void route_password_unref(struct route_password *);     /* accepts NULL */

#endif
