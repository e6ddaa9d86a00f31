/* SPDX-License-Identifier: ISC */
/*
 * On which settings it hangs what PostgreSQL makes of a text when it reads it: constants
 * become values then, and functions of constants, too.
 *
 * Thread: any.
 * Limits: as lexer.h.
 * Source: the functions of PostgreSQL that turn text into values and back, and parse_expr.c
 *         (transform_null_equals).
 */
#ifndef SQL_STATEMENT_READING_H
#define SQL_STATEMENT_READING_H

#include "sql/lexer.h"

enum statement_reading {
	/* those of which the server tells each change: it has constants in quotes */
	STATEMENT_READS_TOLD = 1 << 0,
	/* others: "x = NULL", time zones in letters, arrays with NULL, bytea, XML, floating
	 * point numbers (not: amounts of money, which nothing in the text may show) */
	STATEMENT_READS_UNTOLD = 1 << 1,
	STATEMENT_READS_ALL = STATEMENT_READS_TOLD | STATEMENT_READS_UNTOLD
};

/* flags: enum lexer_flag.  Says more rather than less when in doubt. */
unsigned statement_reading(const char *text, size_t len, unsigned flags);

#endif
