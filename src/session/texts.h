/* SPDX-License-Identifier: ISC */
/*
 * What short texts were found to be, so that one that comes again and again is read once.
 *
 * A place is found by a hash and compared as a whole: what collides is read anew.
 *
 * Owns:   copies of the texts.
 * Thread: one.
 * Limits: TEXTS_LEN_MAX bytes; TEXTS_PLACES texts, the last of those that meet in one
 *         place.
 */
#ifndef SESSION_TEXTS_H
#define SESSION_TEXTS_H

#include "base/base.h"

enum { TEXTS_LEN_MAX = 104, TEXTS_PLACES = 256 };

/* Facts are 0 until somebody has found them out. */
struct text {
	uint16_t len;
	uint8_t flags;
	uint8_t ends;           /* enum text_end */
	uint8_t leaves;         /* enum text_leaves */
	char text[TEXTS_LEN_MAX];
};

struct texts {
	struct text places[TEXTS_PLACES];
};

/* This text, read with these flags of the lexer: what is known of it.  Valid until the
 * next call.  NULL: it is too long to be kept. */
struct text *texts_find(struct texts *, const void *text, size_t len, unsigned flags);

#endif
