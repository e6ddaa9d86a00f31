/* SPDX-License-Identifier: ISC */
/*
 * What statements change of how PostgreSQL reads the texts behind them.
 *
 * Owns:   nothing.
 * Thread: any; pure, no I/O, no clock.
 */
#ifndef SESSION_STATE_READING_H
#define SESSION_STATE_READING_H

#include "session/state.h"
#include "sql/statement.h"

enum touched_reading state_reading_of(const struct statement *);

/* May it run code, which is planned under what it sets, or what was set before? */
bool state_reading_runs(const struct statement *);

/* Does such a setting, or a statement by itself, change where strings and characters end? */
bool state_reading_cuts(const char *name);
bool state_reading_cuts_by(const struct statement *);

/* What an argument of set_config() says, if that is a constant. */
bool state_reading_says(const struct sql_call_argument *, unsigned flags,
	char text[static STATEMENT_NAME_SIZE]);

#endif
