/* SPDX-License-Identifier: ISC */
/*
 * What code of a client may have left in a session that no view shows and no statement
 * takes away: a library (LOAD), a connection of dblink's, a temporary replication slot, a
 * replication origin, a backup.  A server behind which that may have happened is closed.
 *
 * Whether it may have is PostgreSQL's word: a question of the router's own tells what
 * code there is in a database and what its user may do.  The answer holds for a second
 * (for longer where it takes long), and until a client has changed code through this router.
 *
 * Owns:   the last answer, of one pool.
 * Thread: any; own lock.
 * Limits: one question for each second and pool, while servers change hands.
 */
#ifndef SESSION_UNSEEN_H
#define SESSION_UNSEEN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"

struct frame;

/* What has run: a bit for each way in which code comes to run. */
enum unseen_code {
	UNSEEN_DATA = 1 << 0, /* triggers, views, policies, operators and the like */
	UNSEEN_CALL = 1 << 1, /* functions called by name */
	UNSEEN_TEXT = 1 << 2, /* what a text brings along, as DO; or nobody has read it */
	UNSEEN_LOAD = 1 << 3, /* such a text that has LOAD in it */
	UNSEEN_ALL = UNSEEN_DATA | UNSEEN_CALL | UNSEEN_TEXT | UNSEEN_LOAD
};

enum { UNSEEN_WAYS = 4, UNSEEN_KNOWN_MAX = 128, UNSEEN_NAME_MAX = 160 };

/* On a server, since it was last clean of such things. */
struct unseen_ran {
	uint64_t client;   /* whose; UNSEEN_SEVERAL */
	uint64_t changes;  /* router->code_changes, and */
	uint64_t since_us; /* when, as the first of it began */
	uint8_t code;	   /* enum unseen_code; 0: nothing */
};

#define UNSEEN_SEVERAL UINT64_MAX

struct unseen_answer {
	char known[UNSEEN_KNOWN_MAX]; /* what it was found out from */
	char name[UNSEEN_NAME_MAX];   /* a function that may leave something; or "" */
	uint8_t able;		      /* code that may */
	bool is_mighty; /* the user may do such things, and make code that does */
	bool is_same;	/* nothing has changed since: the name is as it was */
};

struct unseen {
	_Atomic uint64_t word; /* the answer, and when it was asked for */
	/* When the answer was last that this may: a bit of enum unseen_code each. */
	_Atomic uint64_t was_us[UNSEEN_WAYS];
	_Atomic uint64_t claimed_us; /* somebody is about to ask */
	_Atomic uint64_t asked_us;   /* ... asks since then; 0: nobody */
	_Atomic uint64_t took_us;    /* the last answer, if that was long */
	_Atomic bool is_told;	     /* the log has it */
	pthread_mutex_t lock;	     /* of the last answer */
	struct unseen_answer last;
};

enum unseen_verdict {
	UNSEEN_CANNOT,
	UNSEEN_MAY,
	UNSEEN_UNKNOWN /* to be asked */
};

void unseen_init(struct unseen *);
void unseen_finish(struct unseen *);

/* May what has run have left something?  generation: of all code that clients may have
 * changed, changes: of what they surely have. */
enum unseen_verdict unseen_judge(struct unseen *, const struct unseen_ran *,
	uint64_t generation, uint64_t changes, uint64_t now_us);
/* The same behind an answer that was just got, however long that took. */
bool unseen_may(struct unseen *, const struct unseen_ran *, uint64_t changes);

/* Code that may, as far as is known; all of it before the first answer. */
unsigned unseen_able(struct unseen *);
/* ... nothing before that. */
unsigned unseen_known_able(struct unseen *);

/* The answer is about to get old: true for one who is to ask in time. */
bool unseen_claim(struct unseen *, uint64_t now_us);

/* Somebody asks, and ends that without an answer. */
void unseen_ask(struct unseen *, uint64_t now_us);
void unseen_ask_ends(struct unseen *);
/* Somebody asks already, and it takes long: a login to PostgreSQL costs less than to wait
 * for that, or to ask as well. */
bool unseen_is_asked(struct unseen *, uint64_t now_us);

/* Appends the question, a SELECT; is_old: for a PostgreSQL before 14. */
void unseen_question(struct unseen *, bool is_old, struct buf *sql);
/* Its DataRow.  False: it is another's. */
NODISCARD bool unseen_row(const struct frame *row, struct unseen_answer *);
/* As of when it was asked; that it took long makes it hold for longer. */
void unseen_take(struct unseen *, const struct unseen_answer *, uint64_t generation,
	uint64_t asked_us, uint64_t now_us);
/* There is no answer: for ten seconds everything may, and nobody asks. */
void unseen_fail(struct unseen *, uint64_t generation, uint64_t asked_us);

/* A function that may; or "". */
void unseen_name(struct unseen *, char to[UNSEEN_NAME_MAX]);

#endif
