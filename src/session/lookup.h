/* SPDX-License-Identifier: ISC */
/*
 * auth_query: asks PostgreSQL for the secret of a user whom no file names.
 *
 * The query runs as an errand, with the router's own login, on a connection that no
 * client ever has; the name is a parameter.  What it told is kept for a while, also that
 * there is no such user; clients that ask for one user at the same time wait for one
 * query.  One is asked at a time of each host, and the addresses of clients take turns.
 *
 * Owns:   what is known, by worker 0; secrets are wiped when forgotten.
 * Thread: lookup_start() from the client's worker, by mail to worker 0 and back.
 * Limits: LOOKUP_KNOWN_MAX users that are known, LOOKUP_UNKNOWN_MAX that are not (the
 *         oldest is forgotten), LOOKUP_WAITING_MAX clients that wait for their turn at a
 *         host; more are refused, or those of the address that has most.
 */
#ifndef SESSION_LOOKUP_H
#define SESSION_LOOKUP_H

#include "session/router.h"

enum { LOOKUP_KNOWN_MAX = 10000, LOOKUP_UNKNOWN_MAX = 1000, LOOKUP_WAITING_MAX = 10000 };

enum lookup_result {
	LOOKUP_FOUND,
	LOOKUP_EXPIRED,                 /* there is one, and it is not valid any more */
	LOOKUP_UNKNOWN,
	LOOKUP_FAILED                   /* see error */
};

struct lookup_answer {
	enum lookup_result result;
	const char *secret;             /* FOUND: "" if the user has none */
	const struct pool_error *error;
};

/* NULL: out of memory. */
struct lookups *lookups_create(void);
/* By the thread of worker 0, after errand_abort_all(). */
void lookups_destroy(struct lookups *);         /* accepts NULL */

/* The answer comes to client_auth_found(), if the client is still there.  False: out
 * of memory. */
NODISCARD bool lookup_start(struct client *, const struct route_lookup *, const char *user);

/* What is known of the user did not help: the next one who asks gets it anew, if it is
 * older than a second. */
void lookup_doubt(struct client *, const struct route_lookup *, const char *user);

#endif
