/* SPDX-License-Identifier: ISC */
/*
 * What asking for settings and the answer share.
 */
#ifndef SESSION_STATE_PRIV_H
#define SESSION_STATE_PRIV_H

#include "session/state.h"

struct statement;

/* What was done to a setting in this lease.  What it is after both only the server can
 * tell: either may have been rolled back. */
enum { WAS_SET = 's', WAS_RESET = 'r', WAS_BOTH = 'b' };

/* A name with what was done. */
void touched_add(struct touched *, const char *name, char what);

/* state_call.c: calls of set_config(). */
void touched_add_calls(struct touched *, const struct statement *);

/* Calls f for each name that is to be asked for: those that were touched, each at its place
 * in the index, and behind them with "all" the others that the client has. */
void touched_each(const struct touched *, const struct params *now,
	void (*f)(const char *name, char what, void *), void *arg);

/* How many names that are, and how many columns the answer has. */
uint32_t touched_count(const struct touched *, const struct params *now);
uint32_t touched_columns(const struct touched *, const struct params *now);

#endif
