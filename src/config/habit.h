/* SPDX-License-Identifier: ISC */
/*
 * SET and SHOW CONFIG as those know them who have PgBouncer: seconds without a unit, 0 and
 * 1 for booleans, and a word on settings that mean nothing here.
 *
 * Thread: any; pure.
 * Source: include/pgbouncer.def.
 */
#ifndef CONFIG_HABIT_H
#define CONFIG_HABIT_H

#include "base/base.h"

enum { HABIT_VALUE_MAX = 64 };

struct diag;

/* name and value of a SET, if they are PgBouncer's, become ours; what they become is in
 * to, in the table or as it was.  Returns 0, or -EINVAL with diag filled: it means nothing
 * here. */
NODISCARD int habit_read(const char **name, const char **value, char to[HABIT_VALUE_MAX],
	struct diag *);

/* Has PgBouncer an option of that name, which is called so here, too? */
bool habit_has(const char *name);

/* The value of an option that PgBouncer has by that name, as it would show it; else
 * value itself. */
const char *habit_show(const char *name, const char *value, char to[HABIT_VALUE_MAX]);

#endif
