/* SPDX-License-Identifier: ISC */
/*
 * PgBouncer's auth_file: lines of "user" "secret", where "" within quotes is a
 * quote; lines that begin with ; or # are comments; what follows the secret on
 * its line is refused, unless it is a comment.
 *
 * Owns:   names and secrets, wiped when freed.
 * Thread: any, once read: it does not change.
 * Limits: USERLIST_FILE_MAX bytes; names of 63 bytes, secrets of 4096.
 */
#ifndef CONFIG_USERLIST_H
#define CONFIG_USERLIST_H

#include "base/base.h"

enum { USERLIST_FILE_MAX = 16 << 20 };

struct diag;
struct userlist;

/* Reads a file.  Returns NULL with diag filled on error.  *warning, if any, is a
 * sentence for the caller to log and free (others may read the file). */
struct userlist *userlist_load(const char *path, char **warning, struct diag *);

struct userlist *userlist_parse(const char *text, size_t len, const char *path,
	struct diag *);

/* The user's secret, or NULL.  Valid until userlist_destroy(). */
const char *userlist_find(const struct userlist *, const char *user);

/* The next user and its secret, in no order; NULL: the first.  NULL: there is no other. */
const char *userlist_next(const struct userlist *, const char *user, const char **secret);
size_t userlist_count(const struct userlist *);

void userlist_destroy(struct userlist **);

#endif
