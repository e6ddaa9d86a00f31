/* SPDX-License-Identifier: ISC */
/*
 * What the counters of all databases are at one moment.
 *
 * Thread: any.
 */
#ifndef ADMIN_STATS_H
#define ADMIN_STATS_H

#include "admin/ask.h"
#include "admin/averages.h"

/* Returns 0, with rows to be freed, or -ENOMEM with nothing to free. */
NODISCARD int stats_look(const struct console *, struct averages_look *out);

#endif
