/* SPDX-License-Identifier: ISC */
/*
 * How often texts came, so that one that comes once is not kept anywhere for that.
 *
 * By hash alone: where two meet the later one begins anew, and where two have the same
 * hash they are counted together.  Nothing but thrift may hang on it.
 *
 * Owns:   nothing.
 * Thread: one.
 * Limits: SEEN_PLACES texts.
 */
#ifndef SESSION_SEEN_H
#define SESSION_SEEN_H

#include "base/base.h"

enum { SEEN_PLACES = 2048, SEEN_MOST = 200 };

struct seen {
	struct seen_place {
		uint32_t mark;
		uint8_t count;
		bool is_barred;
	} places[SEEN_PLACES];
};

/* This text has come; hash: of it, all bits of use.  Returns how often, this time
 * included: up to SEEN_MOST, and 0 for one that is barred. */
uint32_t seen_again(struct seen *, uint64_t hash);

/* Whatever is asked of this text, the answer is no. */
void seen_bar(struct seen *, uint64_t hash);

#endif
