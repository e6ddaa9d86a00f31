/* SPDX-License-Identifier: ISC */
/*
 * May a text hold a secret?  For who wants to write texts of queries down.
 *
 * It is looked at as it is, comments, strings and bodies of functions included, so that
 * what hides a statement in a string (DO, EXECUTE) hides nothing.  Some that hold none are
 * taken for such as do.
 *
 * Owns:   nothing.
 * Thread: any; pure.
 */
#ifndef SQL_SECRET_H
#define SQL_SECRET_H

#include "base/base.h"

/* True: CREATE and ALTER of roles, user mappings, subscriptions and servers, COPY with a
 * PROGRAM, URIs of PostgreSQL, and whatever has a word with "passw", "secret", "crypt" or
 * "hmac" in it.  In all of these the word stands in front of the secret, so that what a
 * text begins with is enough for what it begins with. */
bool secret_may_be_in(const char *text, size_t len);

#endif
