/* SPDX-License-Identifier: ISC */
/*
 * What the parts of the statement reader share: statement.c (interface),
 * statement_scan.c (once over all tokens: where it ends, what it calls, with
 * statement_place.c), and those that say what kind it is: statement_kind.c, statement_session.c,
 * statement_set.c, statement_catalog.c, statement_calls.c.
 *
 * Thread: any.
 */
#ifndef SQL_STATEMENT_PRIV_H
#define SQL_STATEMENT_PRIV_H

#include "sql/head.h"
#include "sql/words.h"

/* What the scan saw and only the head needs. */
struct scan_result {
	bool has_into; /* INTO that is not INSERT's or MERGE's */
	bool has_concurrently;
};

/* Takes the tokens up to a semicolon or the end: fills text and flags. */
void statement_scan(struct lexer *, struct statement *, struct scan_result *);

/* SQL_CALLS_... of a call. */
uint32_t statement_call_flags(enum word_function);

/* Behind the word SET, RESET and SHOW.  False: not understood. */
bool statement_set(struct head *);
bool statement_reset(struct head *);
bool statement_show(struct head *);

/* Behind the word of any statement that changes no more than session or transaction. */
bool statement_session(struct head *, enum word);

/* Behind their first word. */
bool statement_explain(struct head *, const struct scan_result *);
bool statement_copy(struct head *);
bool statement_create(struct head *, const struct scan_result *);
bool statement_drop(struct head *, const struct scan_result *);
bool statement_alter(struct head *, const struct scan_result *);

/* Fills kind and what belongs to it. */
void statement_kind(struct statement *, const struct scan_result *);

#endif
