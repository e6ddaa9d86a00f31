/* SPDX-License-Identifier: ISC */
/*
 * The form of a text: the text with one zero in place of each number that stands alone.
 *
 * Clients that write values into their texts send thousands of texts of a few forms.  What
 * statement_may(), statement_may_load(), statement_text_end(), statement_leaves_nothing()
 * and statement_text_code() say of a form holds for all texts of that form: none of them
 * asks how much a number is, and what is no number for the lexer (in a name, a string or a
 * comment) is either left as it is or is not looked at.
 *
 * (A long name in quotes that PostgreSQL cuts may not be understood, while that of the form
 * is short enough: then less is said of the text, and what is said of the form is true of
 * it all the same.)
 *
 * Left as they are: digits beside a letter, which are part of a name, of a number of
 * another kind (0x1F, 1e5) or of a tag ($a1$), or an error (1x); those of a parameter ($1);
 * and all of a text with an &, as U&"..." has names written in digits.
 *
 * Thread: any.
 * Limits: one pass, no allocation.
 */
#ifndef SQL_STATEMENT_FORM_H
#define SQL_STATEMENT_FORM_H

#include "sql/statement.h"

/* room: len bytes, in which it is unless the text is its own form. */
struct sql_range statement_form(const char *text, size_t len, char *room);

#endif
