/* SPDX-License-Identifier: ISC */
/*
 * The "options" parameter of a startup packet: command-line switches for the
 * server process, of which settings are supported.
 *
 *   -c name=value   -cname=value   --name=value   --long-name=value
 *
 * Words are separated by white space; a backslash takes the next byte as it is.
 * In names dashes become underscores.
 *
 * Owns:   nothing.
 * Thread: any.
 * Source: pg_split_opts() and process_postgres_switches() in PostgreSQL;
 *         documentation, 20.1.4 (PGOPTIONS).
 */
#ifndef PG_OPTIONS_H
#define PG_OPTIONS_H

#include "base/buf.h"
#include "base/diag.h"

/*
 * Appends name NUL value NUL for each setting in text to *out, in order.  On
 * false *diag names the word that is wrong (answer FATAL 42601, as PostgreSQL
 * does), and *out is as it was.  Running out of memory is told by *out, which
 * is then failed, and by a diag.  Values and names are not judged here: a name
 * has at least one byte, a value may be "".
 */
NODISCARD bool options_parse(const char *text, struct buf *out, struct diag *);

/* Walks over what options_parse() appended to an empty buffer.  *pos starts as
 * 0.  The strings are valid until the buffer changes.  False at the end. */
bool options_next(const struct buf *, size_t *pos, const char **name,
	const char **value);

#endif
