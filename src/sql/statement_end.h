/* SPDX-License-Identifier: ISC */
/*
 * What a text does to the transaction that it runs in, as far as the text proves it.
 *
 * Thread: any.
 * Limits: as statement.h.
 */
#ifndef SQL_STATEMENT_END_H
#define SQL_STATEMENT_END_H

#include "sql/statement.h"

/* What a text does to a transaction.  Sent as Query, or a single statement by the
 * extended protocol. */
enum text_end {
	TEXT_NOT_READ,
	/* Outside a transaction, PostgreSQL is outside of one behind it, too, whether it
	 * fails or not; it waits for no data; nothing is in the text that leaves more in
	 * the session than functions may. */
	TEXT_PLAIN,
	/* COMMIT, ROLLBACK and their other names, and nothing else: the same, and also
	 * behind a transaction; unless it is cancelled before it begins. */
	TEXT_ENDS,
	TEXT_OTHER
};

enum text_end statement_text_end(const char *text, size_t len, unsigned flags);

/* Nothing runs in it but what is PostgreSQL's own, and that leaves nothing in the session:
 * SELECT of constants, SHOW, BEGIN, COMMIT and the like.  What is not proven to be such
 * may leave nothing all the same. */
bool statement_leaves_nothing(const char *text, size_t len, unsigned flags);

/* What runs by a text, beside what relations, operators and types bring along. */
enum text_code {
	TEXT_CODE_NONE, /* functions of PostgreSQL's own that are known to be harmless */
	TEXT_CODE_CALLS, /* functions, called by name, or as something is made or changed */
	TEXT_CODE_ANY, /* ... that run a text; DO; or it was not understood */
	TEXT_CODE_LOADS /* ... and LOAD may stand in that */
};

/* Whatever the flags: as far as a text can be read in several ways it is the worst of them. */
enum text_code statement_text_code(const char *text, size_t len, unsigned flags);

/* Has it LOAD in it, for whatever purpose?  Quick. */
bool statement_may_load(const char *text, size_t len);

#endif
