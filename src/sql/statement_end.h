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

/* False: what the text calls by name is PostgreSQL's own, and no code stands in it.  What
 * relations, operators and types bring along is none of the text's. */
bool statement_runs_code(const char *text, size_t len, unsigned flags);

#endif
