/* SPDX-License-Identifier: ISC */
/*
 * A budget that has shrunk below what is in use: the log tells how far the drain is.
 *
 * Owns:   nothing; what was told last is the worker's.
 * Thread: worker 0.
 * Limits: a line for each host when it begins, one a second while it changes, and one
 *         when it is done.
 */
#ifndef SESSION_SHRINK_H
#define SESSION_SHRINK_H

#include "base/base.h"

struct worker;

/* What was told of one host. */
struct shrink {
	bool is_on; /* more was in use than is allowed */
	uint32_t used;
	uint32_t budget;
	uint64_t told_us;
};

/* Is there something to tell now?  Then it counts as told.  Pure. */
bool shrink_step(struct shrink *, uint32_t used, uint32_t budget, uint64_t now_us);

/* After a reload, and several times a second. */
void shrink_tick(struct worker *, uint64_t now_us);

#endif
