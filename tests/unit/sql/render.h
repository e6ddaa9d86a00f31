/* SPDX-License-Identifier: ISC */
/*
 * A statement as one line, for tables of expected results and for the
 * comparison with PostgreSQL:
 *
 *   KIND(flag,flag) name ='value' :INNER
 *
 * =DEFAULT, =CURRENT, =INTERVAL for those values, =? for one that only the
 * server knows; an empty name, no value and no inner statement are left out.
 */
#ifndef TESTS_UNIT_SQL_RENDER_H
#define TESTS_UNIT_SQL_RENDER_H

#include "sql/statement.h"

void render_statement(const struct statement *, char *to, size_t size);

/* All statements of a text, with " ; " between them. */
void render_text(const char *text, size_t len, unsigned flags, char *to, size_t size);

/* The calls of set_config(): name,value,is_local each, with a blank between them. */
void render_calls(const struct statement *, char *to, size_t size);

#endif
