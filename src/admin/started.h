/* SPDX-License-Identifier: ISC */
/*
 * With what the program was started of that which takes effect at a restart only: a
 * reload may have read something else since then.
 *
 * Owns:   copies of those settings, none of which is a secret.
 * Thread: any, once it is taken.
 */
#ifndef ADMIN_STARTED_H
#define ADMIN_STARTED_H

#include "base/base.h"

struct config;
struct dump_row;

enum { STARTED_MAX = 32 };

struct started {
	struct {
		char *name;
		char *value;
	} rows[STARTED_MAX];
	size_t count;
	bool failed;
};

/* Returns 0 or -ENOMEM, and nothing to finish then. */
NODISCARD int started_take(struct started *, const struct config *);
void started_finish(struct started *);

/* What the program was started with, of a setting of that name; NULL: it takes effect at
 * once. */
const char *started_value(const struct started *, const char *name);

/* What holds of this setting until a restart; NULL: what it says. */
const char *started_differs(const struct started *, const struct dump_row *);

#endif
