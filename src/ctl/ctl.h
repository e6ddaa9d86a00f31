/* SPDX-License-Identifier: ISC */
/*
 * pgtandemctl: one command for the console of a router, for scripts.
 *
 * A program of its own, so that the router itself has nothing to do with libpq.
 *
 * Thread: one.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdio.h>

#include "base/base.h"

struct pg_result;        /* libpq's PGresult */

enum ctl_status {
	CTL_OK,
	CTL_REFUSED,            /* the router answered with an error */
	CTL_USAGE,
	CTL_NO_CONNECTION,      /* nobody there, no login, or lost on the way */
	CTL_TIMEOUT,            /* cancelled when --timeout was over */
	CTL_NOT_ALLOWED         /* SQLSTATE 42501 */
};

/* Words of the command line as a command: the second one in quotes where it needs
 * them; of SET what follows the name is its value.  NULL: too long, or nothing. */
const char *ctl_command(char *const *words, size_t count, char *to, size_t size);

/* What the router says, its lines and tabs as they are. */
void ctl_print_message(const char *text, FILE *);

/* Rows of a view, in aligned columns or as an array of objects.  False: not written. */
bool ctl_print_text(const struct pg_result *, FILE *);
bool ctl_print_json(const struct pg_result *, FILE *);

#endif
