/* SPDX-License-Identifier: ISC */
/*
 * What texts were found to be, so that one that comes again and again is read once.
 *
 * A place is found by a hash and compared as a whole: what collides is read anew.  A text
 * shares its place with all that differ from it in their numbers alone
 * (sql/statement_form.h), and so what is kept must be true of all of them.  A long text
 * has a place only when it comes for the second time, as many never do; then one of its
 * own, too.
 *
 * Owns:   copies of the texts.
 * Thread: one.
 * Limits: TEXTS_LEN_MAX bytes, TEXTS_FORM_MAX where numbers are left out; TEXTS_PLACES
 *         short and as many long texts, the last of those that meet in one place.
 */
#ifndef SESSION_TEXTS_H
#define SESSION_TEXTS_H

#include "base/base.h"
#include "sql/lexer.h"
#include "sql/statement_may.h"

enum { TEXTS_SHORT_MAX = 104, TEXTS_FORM_MAX = 1024, TEXTS_LEN_MAX = 4096, TEXTS_PLACES = 256 };

/* What may stand in it, said when in doubt (statement_may()). */
enum text_may {
	TEXT_MAY_TOUCH = STATEMENT_MAY_SET,
	TEXT_MAY_NAME = STATEMENT_MAY_NAME,
	TEXT_MAY_PIN = STATEMENT_MAY_PIN,
	TEXT_MAY_ALL = STATEMENT_MAY_ALL,
	TEXT_MAY_MAKE = STATEMENT_MAY_MAKE,
	TEXT_WAS_LOOKED_AT = STATEMENT_MAY_MAKE << 1
};

/* Facts are 0 until somebody has found them out. */
struct text {
	uint16_t len;
	uint8_t flags;
	uint8_t ends;           /* enum text_end */
	uint8_t leaves;         /* enum text_leaves */
	uint8_t may;            /* enum text_may */
};

struct text_short {
	struct text known;
	char text[TEXTS_SHORT_MAX];
};

struct text_long {
	struct text known;
	char text[];
};

struct text_last {
	struct text *known;     /* NULL: there is none */
	uint16_t len;
	uint8_t flags;
	char text[TEXTS_FORM_MAX];
};

struct texts {
	struct text_short places[TEXTS_PLACES];
	struct text_last last;                  /* that was asked for */
	struct text_long *longs[TEXTS_PLACES];  /* or NULL */
	uint32_t seen[TEXTS_PLACES];            /* the hash of the last long one */
};

void texts_finish(struct texts *);

/* This text, read with these flags of the lexer: what is known of it.  Valid until the
 * next call.  NULL: it is too long to be kept, or there is no memory for it. */
struct text *texts_find(struct texts *, const void *text, size_t len, unsigned flags);

/* What may stand in it; known: what texts_find() has for it, NULL included. */
unsigned text_may(struct text *known, const void *text, size_t len);
unsigned texts_may(struct texts *, const void *text, size_t len, unsigned flags);

#endif
