/* SPDX-License-Identifier: ISC */
/*
 * What may stand in a text, by a look at its letters that costs next to nothing: most texts
 * are found to have nothing in them that they would have to be read for.
 *
 * Thread: any.
 */
#ifndef SQL_STATEMENT_MAY_H
#define SQL_STATEMENT_MAY_H

#include "base/base.h"

/* Said when in doubt: a word may be part of another, or stand in a string. */
enum statement_may {
	/* SET, RESET, set_config(), SET ROLE (OFFSET, too), DISCARD and LOAD */
	STATEMENT_MAY_SET = 1 << 0,
	/* PREPARE, EXECUTE and DEALLOCATE */
	STATEMENT_MAY_NAME = 1 << 1,
	/* what only one server has: temporary tables, locks, LISTEN, LOAD and the like */
	STATEMENT_MAY_PIN = 1 << 2,
	STATEMENT_MAY_ALL = STATEMENT_MAY_SET | STATEMENT_MAY_NAME | STATEMENT_MAY_PIN,
	/* beside these: CREATE, and INTO that no INSERT or MERGE stands in front of */
	STATEMENT_MAY_MAKE = 1 << 3
};

unsigned statement_may(const char *text, size_t len);

#endif
