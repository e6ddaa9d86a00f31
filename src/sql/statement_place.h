/* SPDX-License-Identifier: ISC */
/*
 * Names before parentheses, and the pass over a statement in which they stand.
 *
 * Owns:   nothing.
 * Thread: any.
 * Limits: what statement_scan() remembers; only it and statement_place.c look at it.
 */
#ifndef SQL_STATEMENT_PLACE_H
#define SQL_STATEMENT_PLACE_H

#include "sql/statement_priv.h"

/* What is remembered of a token. */
struct item {
	enum lexer_kind kind;
	enum word word;
	char c;		  /* punctuation */
	bool closes_call; /* the parenthesis of a call */
};

/* Names with dots between them. */
struct chain {
	bool is_open;
	unsigned parts;
	struct lexer_token schema, name; /* the last two */
	enum word word;			 /* of the name, if it is alone */
	struct item before, before2;
	unsigned depth;
	bool is_second; /* before it: the first word */
	bool is_attribute; /* of an expression: (...).name, a[1].name, $1.name */
};

struct scan {
	struct lexer *lexer;
	struct statement *statement;
	struct scan_result *result;
	struct lexer_token token;
	struct item now, last, last2, last3;
	struct chain chain;
	bool waits_for_argument; /* the chain was followed by a parenthesis */
	uint64_t calls;		 /* bit n: parenthesis n is a call's */
	unsigned depth;
	unsigned count; /* tokens so far */
	enum word first[4];
	bool conflict_open; /* ON CONFLICT (: a clause if DO NOTHING or DO UPDATE follows */
	unsigned conflict_depth;
	bool operator_open; /* OPERATOR (: a name if an operator ends it */
	bool has_cast;
	bool has_xmltable;
	bool has_create;
	bool has_settings; /* names pg_settings */
	bool in_body;  /* of a routine */
	bool at_start; /* in the body: a statement may begin */
};

static inline bool scan_is_name(enum lexer_kind kind)
{
	return kind >= LEXER_WORD && kind <= LEXER_QUOTED_UNICODE;
}

static inline bool scan_is_punct(const struct item *item, char c)
{
	return item->kind == LEXER_PUNCT && item->c == c;
}

/* A name follows this word, not an expression. */
bool statement_place_names(enum word before);

/* The grammar has a name and a parenthesis here, but no call. */
bool statement_place_has_no_call(const struct scan *scan, const struct chain *chain);

#endif
