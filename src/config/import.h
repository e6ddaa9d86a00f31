/* SPDX-License-Identifier: ISC */
/*
 * PgBouncer's configuration as one of ours: one file or several, each of which becomes
 * a workload; what they have in common is said once, and hosts that several use get one
 * budget.  include/pgbouncer.def says where settings go.
 *
 * Owns:   nothing that outlives the call.
 * Thread: one.
 * Limits: IMPORT_FILES_MAX files, CONFIG_HOSTS_MAX hosts.
 */
#ifndef CONFIG_IMPORT_H
#define CONFIG_IMPORT_H

#include "base/buf.h"

enum { IMPORT_FILES_MAX = 32 };

struct diag;
struct ini;

/* About a line of a file, or about the result (file NULL).  lost: what the line says
 * does not hold any more. */
typedef void import_say_f(void *arg, bool lost, const char *file, uint32_t line,
	const char *text);

/* Returns 0, or -errno with diag filled.  *lost: how many lines could not be carried
 * over.  The text may hold passwords. */
NODISCARD int import_files(const char *const *paths, size_t count, struct buf *out,
	size_t *lost, import_say_f *, void *arg, struct diag *);

/* The same for what has been read already. */
NODISCARD int import_inis(const struct ini *, const char *const *names, size_t count,
	struct buf *out, size_t *lost, import_say_f *, void *arg, struct diag *);

#endif
