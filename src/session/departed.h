/* SPDX-License-Identifier: ISC */
/*
 * Clients of transaction ports that have left of late: idle servers may hold what code of
 * theirs has taken there, as a lock.
 *
 * Owns:   nothing else.
 * Thread: one adds, any may ask.
 * Limits: DEPARTED_MAX clients within DEPARTED_KEPT_US; where more have left, whoever is
 *         asked for counts as one of them.
 */
#ifndef SESSION_DEPARTED_H
#define SESSION_DEPARTED_H

#include <stdatomic.h>

#include "base/base.h"

enum { DEPARTED_MAX = 1024, DEPARTED_KEPT_US = 4000000 };

struct departed {
	_Atomic uint64_t ids[DEPARTED_MAX];
	_Atomic uint64_t at_us[DEPARTED_MAX];
	_Atomic uint64_t count;         /* so far */
};

void departed_add(struct departed *, uint64_t id, uint64_t now_us);
bool departed_has(const struct departed *, uint64_t id, uint64_t now_us);

#endif
