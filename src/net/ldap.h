/* SPDX-License-Identifier: ISC */
/*
 * Asks a directory (LDAP) whether a password is somebody's.
 *
 * Simple bind: prefix, name and suffix are the name to bind as.  Search and bind: the
 * entry is looked for below basedn, with binddn or as nobody, and its name is the one.
 *
 * Owns:   nothing after a call.
 * Thread: any that may wait; never one that moves data.
 * Limits: timeout_us for all of it, as far as the library and the resolver of names hold
 *         themselves to it; one entry.  Referrals are not followed: the password goes to
 *         the servers that are named and nowhere else.
 * Source: CheckLDAPAuth() in auth.c of PostgreSQL; RFC 4514 and 4515 (escapes), RFC 4513
 *         5.1.2 (an empty password proves nothing).  Other than there, names are escaped
 *         instead of refused, also for a simple bind.
 */
#ifndef NET_LDAP_H
#define NET_LDAP_H

#include "base/buf.h"

enum { LDAP_WHY_MAX = 256 };

/* Text is never NULL; "" is what is not given. */
struct ldap_target {
	const char *uris;               /* "ldap://a:389 ldap://b:389": in this order */
	bool starttls;
	const char *prefix;
	const char *suffix;
	const char *basedn;             /* given: search and bind */
	const char *binddn;
	const char *bindpasswd;
	const char *attribute;          /* "" and no filter: uid */
	const char *filter;             /* $username is the name */
	int scope;                      /* LDAP_SCOPE_* of the protocol: 0, 1, 2 */
};

enum ldap_verdict {
	LDAP_IS_RIGHT,
	LDAP_IS_WRONG,                  /* the directory says so, or has no such entry */
	LDAP_CANNOT_TELL                /* it does not answer, or refuses the router */
};

/* Whether this build has it. */
bool ldap_is_there(void);

/* why: for the log; no password is in it. */
enum ldap_verdict ldap_verify(const struct ldap_target *, const char *user,
	const char *password, uint64_t timeout_us, char why[LDAP_WHY_MAX]);

/* The name within the value of an attribute of a distinguished name. */
void ldap_escape_dn(struct buf *out, const char *name);
/* ... and within a filter. */
void ldap_escape_filter(struct buf *out, const char *name);

/* Whom to bind as, without a search: ended by a NUL.  False: prefix and suffix do not make
 * an attribute of the name, and it has characters that would make it something else. */
NODISCARD bool ldap_bind_name(const struct ldap_target *, const char *user, struct buf *out);
/* What to search for; ended by a NUL. */
void ldap_search_filter(const struct ldap_target *, const char *user, struct buf *out);

#endif
