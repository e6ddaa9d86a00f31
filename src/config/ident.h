/* SPDX-License-Identifier: ISC */
/*
 * Maps in the form of pg_ident.conf: as which users those may log in whose name the
 * system or a certificate tells.
 *
 * Owns:   the maps.
 * Thread: any, once read.
 * Limits: see config/hba_file.h.
 * Source: PostgreSQL documentation, 21.2; check_ident_usermap() in hba.c.  +role is an
 *         error, regular expressions are those of PCRE2.
 */
#ifndef CONFIG_IDENT_H
#define CONFIG_IDENT_H

#include "base/base.h"

struct diag;
struct ident;

/* NULL with diag filled on error. */
struct ident *ident_load(const char *path, struct diag *);
struct ident *ident_parse(const char *text, size_t len, const char *path, bool may_open,
	struct diag *);

/* May who is called so by the system log in as that user?  map NULL: only under the same
 * name; else some line of the map must say so (ident NULL: there is none). */
bool ident_allows(const struct ident *, const char *map, const char *system_user,
	const char *user);

bool ident_has_map(const struct ident *, const char *map);

/* A rule with a map that is not there (ident NULL: none is) lets nobody in: -EINVAL with
 * diag filled. */
struct hba;
NODISCARD int ident_check_maps(const struct ident *, const struct hba *, struct diag *);

/* The same for auth.auth_map; "" is none. */
NODISCARD int ident_check_map(const struct ident *, const char *map, const char *path,
	struct diag *);

size_t ident_count(const struct ident *);
/* The same for maps that say the same. */
uint64_t ident_hash(const struct ident *);

void ident_destroy(struct ident **);

#endif
