/* SPDX-License-Identifier: ISC */
/*
 * May a text be read once and run many times, by whoever sends it, with nobody able to
 * tell?
 *
 * Thread: any.
 * Limits: as statement.h.
 */
#ifndef SQL_STATEMENT_REUSE_H
#define SQL_STATEMENT_REUSE_H

#include "sql/statement.h"

/* One statement that reads or writes rows, and reading it gives the same whenever it is
 * read (under the same settings, with the same tables): no constant that is a date, or
 * that stands beside a cast; and PostgreSQL says nothing while it reads it, as of names
 * that it cuts off.  False where that is not proven. */
bool statement_is_reusable(const char *text, size_t len, unsigned flags);

/* Of one that is: it changes rows, or may. */
bool statement_reuse_writes(const char *text, size_t len, unsigned flags);
/* ... the highest number of a parameter; 0: there is none. */
uint32_t statement_reuse_params(const char *text, size_t len, unsigned flags);

/* A constant that PostgreSQL replaces by a time when it reads the text may stand in it, as
 * 'now' or 'today', or a time of a day, whose zone may depend on the date.  For any text;
 * true when in doubt. */
bool statement_depends_on_time(const char *text, size_t len, unsigned flags);

#endif
