/* SPDX-License-Identifier: ISC */
/*
 * Settings that clients of a transaction port make in a session, kept for them.
 *
 * The texts that a client sends name the settings that they may change (SET, RESET,
 * set_config(), SET ROLE, ...).  When the lease ends the server is asked what those have
 * become: that is right whatever was committed, rolled back or local, in PostgreSQL's own
 * spelling.  The answers join the client's startup parameters and are applied to whichever
 * server it has next.
 *
 * Owns:   the names.
 * Thread: one; pure, no I/O, no clock.
 * Limits: STATE_NAMES_MAX names in one lease, PARAMS_BYTES_MAX in all; beyond that it
 *         "is_too_much", and a client's end.
 */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

#include "session/name_index.h"
#include "session/params.h"

/* A SELECT has at most 1664 columns, and some take two. */
enum { STATE_NAMES_MAX = 800 };

/* How often a server is asked when a timeout ends the question. */
enum { STATE_ASKS_MAX = 10 };

struct frame;
struct statement;

struct touched {
	struct buf names;               /* what was done last, name, NUL; each name once */
	struct buf places;              /* of each, where in "names" that begins: uint32_t */
	struct name_index index;        /* ... and which it is */
	uint32_t count;
	uint32_t changes;               /* how often something has come */
	uint32_t asked;                 /* how often, in vain */
	bool all;                       /* RESET ALL, DISCARD ALL: whatever the client has */
	bool unknown;                   /* a setting whose name is not known */
	bool is_too_much;               /* ... as there was no room for it */
	bool of_view;                   /* ... of those in pg_settings, which was updated */
	bool has_more;                  /* their names are known now: to be asked again */
	bool is_timed_out;              /* the question was ended, by a timeout */
	bool is_lost;                   /* ... made by a text that shows it: see client_told.c */
	bool seen;                      /* a text was looked at that may change settings */
	bool has_resets;                /* something was reset */
	bool resets_any;                /* ... whose name is not known */
	bool resets_local;              /* ... or perhaps only to the end of the transaction */
	bool awaits_values;             /* a NULL in a Bind or EXECUTE to come would reset something */
	bool awaits_local;              /* ... perhaps only to the end of the transaction */
	bool has_sets;                  /* names may have been set since all were reset last */
	bool has_errors;                /* some of it may have come to nothing */
	bool cuts;                      /* ... by the last text: standard_conforming_strings or
					   client_encoding may be others behind it */
	bool runs;                      /* ... and what may run code stands beside or behind
					   what changes how texts are read */
	bool is_set;                    /* ... and its tag is that of SET or RESET */
	bool recodes;                   /* the client's encoding is not the database's */
	bool closes;                    /* what no statement takes away: LOAD, setseed() */
	/* Binds of what may set, the tags of whose Executes have not come: of SET and RESET,
	 * and of others. */
	uint32_t bound_sets, bound_calls;
	/* While a Bind is looked at: it, from the formats of the parameters on. */
	const uint8_t *bind;
	size_t bind_len;
	const uint8_t *types;           /* ... of the parameters, as Parse has them; or NULL */
	size_t types_len;
};

void touched_init(struct touched *);
void touched_finish(struct touched *);

static inline bool touched_is_empty(const struct touched *t)
{
	return t->count == 0 && !t->all && !t->unknown && !t->of_view && !t->closes;
}

/* It is the transaction's, and ends with it; transaction_timeout is not. */
bool touched_is_of_transaction(const char *name);

/* Could this text change a setting?  Quick, and true when in doubt. */
bool touched_may(const char *text, size_t len);

/* Does a text change how PostgreSQL reads the next ones, if only in its transaction?  What
 * it looks up again in each use (search_path, role) is not meant. */
enum touched_reading {
	READING_STAYS,
	READING_IS_TOLD,        /* and the server will tell to what */
	READING_IS_UNSURE       /* ... and nothing tells to what, or even that */
};

/* What it may change.  flags: enum lexer_flag. */
enum touched_reading touched_text(struct touched *, const char *text, size_t len,
	unsigned flags);

/* A text that sets nothing: touched_text() without reading it.  is_set: of the field. */
static inline void touched_nothing(struct touched *t, bool is_set)
{
	t->seen = true;
	t->cuts = t->runs = false;
	t->is_set = is_set;
}

/* The last text was bound; and a tag has come of what may set (is_set: of SET or RESET). */
void touched_bound(struct touched *);
void touched_ran(struct touched *, bool is_set);

static inline bool touched_is_awaited(const struct touched *t)
{
	return (t->bound_sets | t->bound_calls) != 0;
}

/* Some of it came to nothing: it was refused, rolled back, or did not run. */
static inline void touched_undone(struct touched *t)
{
	t->has_errors = !touched_is_empty(t);
}

/* What was done to a setting, last or before that, too. */
enum touched_as { TOUCHED_NOT, TOUCHED_SET, TOUCHED_RESET, TOUCHED_BOTH };

enum touched_as touched_as(const struct touched *, const char *name);

/* All of them were reset. */
void touched_reset_all(struct touched *);

/* The router itself has set it, behind what was done. */
void touched_set_again(struct touched *, const char *name);

/* set_config() was called by its number, for whatever name; it may have been local.
 * may_reset: its value may be NULL. */
void touched_called(struct touched *, const char *name, bool may_reset);
void touched_called_unknown(struct touched *, bool may_reset);

/* A NULL has come behind what awaits values: where texts are not kept, in a Bind. */
void touched_bound_null(struct touched *);

/* An EXECUTE: may one of its arguments be NULL? */
bool touched_gives_null(const struct statement *);

/* Whether there is anything to ask. */
bool touched_has_question(const struct touched *, const struct params *now);

/* Appends the text that asks for them, to nothing; now: what the client has so far.  Values
 * come as they are in the database ("recodes" says whether that takes more).  After an
 * UPDATE of pg_settings it asks for names first, and touched_names() takes the DataRow
 * that answers.  False: it makes no sense; else there is more to ask. */
void touched_ask(const struct touched *, const struct params *now, struct buf *sql);
NODISCARD bool touched_names(struct touched *, const struct params *now,
	const struct frame *row);

/* The DataRow that answers.  start: its startup parameters, which RESET goes back to;
 * login: the user that its servers log in as.  *now becomes what the client has, *there
 * what the server carries (it carried *now); both sealed.  False: it makes no sense, or
 * there is too much of it; then what the server carries is not known. */
NODISCARD bool touched_answer(const struct touched *, const struct params *start,
	const char *login, const struct frame *row, struct params *now,
	struct params *there);

#endif
