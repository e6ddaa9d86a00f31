/* SPDX-License-Identifier: ISC */
/*
 * Looks, from time to time, at what each PostgreSQL allows and who else is connected:
 * so a budget of auto follows, and a budget that cannot be had is told.
 *
 * Owns:   one errand for each host that has a login of the router's own.
 * Thread: worker 0.
 */
#ifndef SESSION_WATCH_H
#define SESSION_WATCH_H

#include "session/router.h"

/* Several times a second: starts what is due. */
void watch_tick(struct worker *, uint64_t now_us);

/* After errand_abort_all(). */
void watch_destroy(struct worker *);

#endif
