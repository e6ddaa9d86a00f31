/* SPDX-License-Identifier: ISC */
/*
 * What logins leave behind for later ones: with each pool the keys to log in to
 * PostgreSQL and the settings that PostgreSQL reports; in the process the secrets
 * derived from plain passwords.
 *
 * Owns:   copies of all of it, wiped when freed.
 * Thread: any; own locks.
 * Limits: LOGIN_WELCOMES_MAX sets of settings per pool; a client with yet other
 *         startup parameters needs a server to log in.
 */
#ifndef SESSION_LOGIN_H
#define SESSION_LOGIN_H

#include "pg/scram.h"
#include "session/params.h"
#include "session/prepared.h"
#include "session/router.h"

enum { LOGIN_WELCOMES_MAX = 32, LOGIN_DERIVED_MAX = 10000 };

struct pool_login;
struct unseen;

struct pool_login *login_create(struct route_pool *);
void login_destroy(void *);

struct prepared_registry *login_registry(struct pool_login *);
/* What code can leave in the sessions of this database and user. */
struct unseen *login_unseen(struct pool_login *);

/* Keys proven by a client, or found when logging in.  Here and below: true if it is news. */
bool login_set_keys(struct pool_login *, const struct secret_keys *);
bool login_get_keys(struct pool_login *, struct secret_keys *out);

/* A password that a client sent in clear.  get: what malloc gave, or NULL; wipe
 * and free it. */
bool login_set_password(struct pool_login *, const char *password);
char *login_get_password(struct pool_login *);

/* A client has proven to know what is stored so: keys, password and digest of another
 * version of the user's secret are wiped.  An md5 secret is kept: it opens PostgreSQL. */
bool login_set_version(struct pool_login *, const char *stored);
/* What malloc gave, or NULL; wipe and free it. */
char *login_get_md5(struct pool_login *);

/* What the same user has proven for another pool, where nobody has proven anything yet.
 * stored: what is stored of it here, if that is another text; then only keys of that. */
bool login_inherit(struct pool_login *, struct pool_login *from, const char *stored);

/* What a client with these startup parameters is told; false: not known yet, or the
 * host has moved since. */
bool login_get_welcome(struct pool_login *, uint64_t key, struct params *out);
void login_set_welcome(struct pool_login *, uint64_t key, const struct params *);
/* What a server without any client's settings has just reported: if that is not
 * what it was, all that is known from before is forgotten. */
void login_refresh_welcome(struct pool_login *, const struct params *reported);
void login_forget_welcomes(struct pool_login *);

/* Secrets derived from plain passwords. */
bool login_get_derived(struct router *, const char *user, const char *stored,
	struct secret_scram *out);
void login_set_derived(struct router *, const char *user, const char *stored,
	const struct secret_scram *);
void login_wipe_derived(struct router *);

#endif
