/* SPDX-License-Identifier: ISC */
/*
 * Chores: what may take long (a look-up of a system user, PAM, a directory, a command,
 * deriving keys of a password, the signature of a handshake) and so is done by a thread
 * beside the workers.
 *
 * Each kind has threads and a queue of its own: a directory that does not answer keeps
 * nobody waiting but those who are to be asked for there.  In each queue those who ask
 * take turns by where they come from, and when it is full who has most there makes room
 * (base/fair.h).  Commands of one host have half of the threads at most: where they hang,
 * those of other hosts are run.
 *
 * Owns:   nothing of a chore but its place in the queue; done() frees it.
 * Thread: chore_start() from a worker's; run() in a thread of its own, where it touches
 *         nothing but the chore; done() in that worker's again.
 * Limits: threads and chores that wait of each kind, see the table in chore.c; a thread
 *         without work ends, one that computes after a while.  When the process ends, what computes is waited for, and what
 *         waits for others is left to itself.
 */
#ifndef SESSION_CHORE_H
#define SESSION_CHORE_H

#include "base/fair.h"
#include "session/router.h"

enum chore_kind {
	CHORE_SYSTEM,                   /* whose process it is */
	CHORE_DERIVE,                   /* these two compute, and give way to the workers */
	CHORE_SIGN,
	CHORE_PAM,
	CHORE_LDAP,
	CHORE_COMMAND,
	CHORE_KINDS
};

struct chore {
	struct mail mail;
	struct worker *worker;
	/* When nobody wants it any more, by clock_now_us(); 0: never.  What waits for
	 * longer is done without having been run. */
	uint64_t until_us;
	/* Where it comes from: a number for each address, of a command for each host; 0: from
	 * nobody outside. */
	uint64_t source;
	bool was_run;                   /* for done() */
	bool was_crowded_out;           /* ... it had to make room, and was not run */
	struct chore_queue *queue;      /* where it waits; NULL: not any more */
	struct fair_item item;
	void (*run)(struct chore *);
	/* w NULL: the process ends, and nothing is to be done but free it. */
	void (*done)(struct chore *, struct worker *w);
};

/* NULL: out of memory. */
struct chores *chores_create(void);

/* run() and done() are set, and what belongs to them.  False: too many wait, or no thread can be had; done() will
 * not come. */
NODISCARD bool chore_start(struct worker *, enum chore_kind, struct chore *);

/* Nobody wants it any more.  True: it still waited, and done() was called with w NULL.
 * False: done() comes, or came.  From its worker's thread, before its done(). */
bool chore_withdraw(struct worker *, struct chore *);

/* No done() comes to any worker from now on. */
void chores_close(struct chores *);
void chores_destroy(struct chores *);           /* accepts NULL */

#endif
