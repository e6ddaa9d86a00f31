/* SPDX-License-Identifier: ISC */
/*
 * Reads the tokens of one statement, one at a time, each with its keyword.
 *
 * Owns:   nothing; fills the statement it was made for.
 * Thread: any.
 */
#ifndef SQL_HEAD_H
#define SQL_HEAD_H

#include "sql/statement.h"
#include "sql/words.h"

struct head {
	struct statement *statement;
	struct lexer lexer;
	struct lexer_token token;
	enum word word;
};

void head_init(struct head *, struct statement *);
void head_next(struct head *);
bool head_at_end(const struct head *);

/* Takes the token if it is this. */
bool head_accept(struct head *, enum word);
bool head_accept_punct(struct head *, char);

/* Skips the name of a column in a SELECT's list, with AS or without, if one is there.
 * False: AS without a name. */
bool head_skip_label(struct head *);

/* The token may be a name as the grammar's ColId has it. */
bool head_is_name(const struct head *);

/* Takes a name into statement->name; false when it is none, or is not known. */
bool head_take_name(struct head *);

/* From the current parenthesis to behind the one that closes it. */
bool head_take_parentheses(struct head *, struct sql_range *);

/* Of SELECT, INSERT and their kin, with WITH or in parentheses; SQL_UNKNOWN: none of
 * these.  Takes nothing. */
enum sql_kind head_query_kind(const struct head *);

/* The rest of the statement, from the current token on. */
struct sql_range head_rest(const struct head *);

/* Sets statement->name. */
void head_set_name(struct head *, const char *name);

/* Takes transaction modes to the end, into body; false when they are none. */
bool head_take_modes(struct head *);

#endif
