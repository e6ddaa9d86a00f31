/* SPDX-License-Identifier: ISC */
/*
 * What a reload changes: two configurations compared by the table of options.
 *
 * Owns:   the list of changes, which belongs to the caller's struct.
 * Thread: any; both configurations are constant.
 */
#ifndef CONFIG_RELOAD_H
#define CONFIG_RELOAD_H

#include "base/base.h"
#include "config/option.h"

struct config;

struct reload_change {
	char *path;                     /* "process.workers", "hosts.main.port" */
	char *before;                   /* NULL: the entry or setting is new */
	char *after;                    /* NULL: it is gone */
	enum option_effect effect;
};

struct reload_diff {
	struct reload_change *changes;
	size_t count;
};

/* Returns 0 or -ENOMEM.  Secrets are shown as "***".  *diff is raw memory before,
 * and on failure. */
NODISCARD int reload_compare(const struct config *before, const struct config *after,
	struct reload_diff *diff);

void reload_finish(struct reload_diff *);

#endif
