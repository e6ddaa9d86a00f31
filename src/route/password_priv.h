/* SPDX-License-Identifier: ISC */
/*
 * Sources of passwords as the directory has them.
 */
#ifndef ROUTE_PASSWORD_PRIV_H
#define ROUTE_PASSWORD_PRIV_H

#include "route/directory_priv.h"
#include "route/password.h"

/* The source of this entry's password (of_host: of the host's own user), made when there
 * is none yet.  NULL: without memory.  Under the directory's lock, as all of these. */
struct route_password *password_find(struct directory *, struct route_host *,
	const struct config_host *, const struct config_password *, const char *user,
	const char *dbname);

/* A pool more or less has it. */
void password_use(struct route_password *, int change);

/* Before the first change of a reload, and when it is over: what was told may be old.
 * What is fetched in between, or across one of the two, is for nobody. */
void passwords_doubt(struct directory *, bool is_over);
/* Those that no pool has. */
void passwords_sweep(struct directory *);

#endif
