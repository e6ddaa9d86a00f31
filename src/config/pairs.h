/* SPDX-License-Identifier: ISC */
/*
 * Ways in that lead nowhere: how clients prove who they are, and what PostgreSQL may ask
 * for.  What it does ask for is not known here; what is warned of can reach only one that
 * trusts the router, or none at all.  The table is in docs/security.md.
 *
 * Thread: one, while the config is made.
 */
#ifndef CONFIG_PAIRS_H
#define CONFIG_PAIRS_H

#include "base/base.h"

struct config;

/* After the files that it names were read.  Returns 0 or -ENOMEM. */
NODISCARD int pairs_warn(struct config *);

/* "SCRAM-SHA-256$...": it opens PostgreSQL only together with a login that proves it. */
bool pairs_is_scram(const char *secret);

#endif
