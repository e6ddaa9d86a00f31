/* SPDX-License-Identifier: ISC */
/*
 * By what name clients ask for a pool: views show that one, as PgBouncer does,
 * and not the name that the database has in PostgreSQL.
 *
 * Owns:   an index; names belong to the configuration.
 * Thread: one.
 */
#ifndef ADMIN_ALIAS_H
#define ADMIN_ALIAS_H

#include "admin/snap.h"
#include "base/hash.h"

struct config;

struct alias_map {
	struct hash_table table;
	struct alias_node *nodes;
};

/* Returns 0 or -ENOMEM. */
NODISCARD int alias_map_init(struct alias_map *, const struct config *);
void alias_map_finish(struct alias_map *);

/* Where several names lead to a pool: the one that it has in PostgreSQL, else the
 * first of the configuration; where none does (it came by "*", or is not
 * configured any more), the one that it has in PostgreSQL. */
const char *alias_find(const struct alias_map *, const char *host,
	const struct snap_names *);

#endif
