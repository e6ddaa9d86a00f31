/* SPDX-License-Identifier: ISC */
/*
 * Chores: what may take as long as it likes (a look-up of a system user, a command) and
 * so is done by a thread beside the workers.
 *
 * Owns:   nothing of a chore but its place in the queue; done() frees it.
 * Thread: chore_start() from a worker's; run() in a thread of its own, where it touches
 *         nothing but the chore; done() in that worker's again.
 * Limits: CHORE_THREADS_MAX at once, the others wait; a thread without work ends.  What
 *         is still under way when the process ends is left to itself.
 */
#ifndef SESSION_CHORE_H
#define SESSION_CHORE_H

#include "session/router.h"

enum { CHORE_THREADS_MAX = 4 };

struct chore {
	struct mail mail;
	struct worker *worker;
	void (*run)(struct chore *);
	/* w NULL: the process ends, and nothing is to be done but free it. */
	void (*done)(struct chore *, struct worker *w);
};

/* NULL: out of memory. */
struct chores *chores_create(void);

/* run() and done() are set.  False: no thread can be had; done() will not come. */
NODISCARD bool chore_start(struct worker *, struct chore *);

/* No done() comes to any worker from now on. */
void chores_close(struct chores *);
void chores_destroy(struct chores *);           /* accepts NULL */

#endif
