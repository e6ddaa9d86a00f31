/* SPDX-License-Identifier: ISC */
/*
 * Settings that a client brought in its startup packet, and what a server has
 * reported: short lists of names and values.
 *
 * Owns:   their text.
 * Thread: one.
 * Limits: PARAMS_BYTES_MAX bytes.
 */
#ifndef SESSION_PARAMS_H
#define SESSION_PARAMS_H

#include "base/buf.h"

enum { PARAMS_BYTES_MAX = 64 * 1024 };

/* name NUL value NUL ..., each name once (case does not count). */
struct params {
	struct buf text;
	uint64_t key;           /* 0 when empty; else tells this list from others */
	uint64_t plan_key;      /* the same for those that plans and constants depend on, */
	uint64_t reading_key;   /* ... and for constants alone */
};

void params_init(struct params *);
void params_finish(struct params *);

/* Sets or replaces.  False when there is no room. */
NODISCARD bool params_set(struct params *, const char *name, const char *value);
/* The same where it is not there yet. */
NODISCARD bool params_add(struct params *, const char *name, const char *value);
void params_remove(struct params *, const char *name);
const char *params_get(const struct params *, const char *name);
NODISCARD bool params_copy(struct params *to, const struct params *from);

/* *pos starts as 0. */
bool params_next(const struct params *, size_t *pos, const char **name,
	const char **value);

/* Computes the keys; after the last params_set() or params_remove(). */
void params_seal(struct params *);
/* Does it decide what becomes of a text when it is read (what "plan_key" is of), and is not
 * looked up again when the statement is used (plancache.c of PostgreSQL)? */
bool params_shape_reading(const char *name);
/* ... and the server tells of each change (documentation, 34.1 "PQparameterStatus")? */
bool params_reading_is_told(const char *name);
/* The one that is for comparing lists, alone. */
void params_seal_text(struct params *);

/* The same names and values, in the same order. */
bool params_are_same(const struct params *, const struct params *);

/* The key that the list would have without this name; 0 also without memory. */
uint64_t params_key_without(const struct params *, const char *name);

/* Appends a text as SQL has it, whatever the session's settings are. */
void params_add_literal(struct buf *sql, const char *text);

/* Appends the Query that gives a server these settings, behind what takes away those of
 * another client (SQL, or NULL).  Settings come first, then the session's user and role,
 * which may not be allowed to make them; or, as only those may, the other way round. */
void params_write_replay(const struct params *, bool role_first, const char *reset,
	struct buf *out);

#endif
