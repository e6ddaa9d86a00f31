/* SPDX-License-Identifier: ISC */
/*
 * The names of prepared statements in a text: what stands behind PREPARE, EXECUTE and
 * DEALLOCATE.  It does no harm when one of them is another thing's.
 *
 * Owns:   nothing; it points into the text.
 * Thread: any; pure.
 */
#ifndef SESSION_NAMED_H
#define SESSION_NAMED_H

#include "sql/statement.h"

struct named {
	struct lexer lexer;             /* behind the name */
	bool follows;                   /* behind one of the verbs */
	bool is_sure;
	char name[STATEMENT_NAME_SIZE];
};

/* flags: enum lexer_flag. */
void named_begin(struct named *, const char *text, size_t len, unsigned flags);
/* The next of them; false at the end. */
bool named_next(struct named *);
/* At the end: those were all.  Else code may name any (DO, a function). */
bool named_is_sure(const struct named *);

#endif
