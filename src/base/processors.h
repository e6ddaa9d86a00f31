/* SPDX-License-Identifier: ISC */
/*
 * How many threads of this process can run at once.
 *
 * Thread: any.
 * Limits: of control groups those of version 2 only.
 */
#ifndef BASE_PROCESSORS_H
#define BASE_PROCESSORS_H

#include "base/base.h"

/* As many as it may run on, and no more than its control groups give it time for, rounded
 * up; at least 1. */
uint32_t processors_usable(void);

/* What control groups give time for; UINT32_MAX: they do not say.  of_self: what
 * /proc/self/cgroup has; root: where they are mounted. */
uint32_t processors_limit(const char *of_self, const char *root);

#endif
