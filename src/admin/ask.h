/* SPDX-License-Identifier: ISC */
/*
 * One command that a client of the console waits for: from the query to the
 * answer.
 *
 * What belongs to the workers is gathered by a tour: the ask is a letter that
 * goes from worker to worker, each adds what is its own, and comes home.  What
 * main does is waited for in the same way.  The client may have gone by then; it
 * is found again by its slot and number.
 *
 * Other threads ask, too (HTTP): such an ask has no client and no home.
 *
 * Owns:   its answer.  Asks that never came home are freed with the console.
 * Thread: the worker that it is at.
 */
#ifndef ADMIN_ASK_H
#define ADMIN_ASK_H

#include "admin/averages.h"
#include "admin/command.h"
#include "admin/console.h"
#include "admin/extended.h"
#include "admin/started.h"
#include "admin/table.h"
#include "base/buf.h"
#include "session/client.h"

/* In what the command came. */
enum ask_kind { ASK_QUERY, ASK_DESCRIBE, ASK_EXECUTE };

/* Is the answer complete? */
enum ask_result { ASK_DONE, ASK_LATER };

struct ask;
typedef void ask_visit_f(struct ask *, struct worker *);
typedef void ask_finish_f(struct ask *);
/* True: what was waited for is so, and the answer is written. */
typedef bool ask_check_f(struct ask *);
typedef void ask_arrived_f(struct ask *);

struct ask {
	struct mail mail;
	struct list_node in_console;
	struct console *console;
	struct worker *home;            /* NULL: it is of another thread */
	ask_arrived_f *arrived;         /* of such a one, after a tour: on some worker */
	void *owner;                    /* whom arrived() tells */
	uint32_t slot;                  /* who asks */
	uint64_t id;
	struct command command;
	const char *word;               /* ... as commands.def has it; its tag, too */
	char *text;                     /* the query; commands are cut off one by one */
	char *next;                     /* of it, to be run in the next turn; NULL: none is cut off */
	char *rest;                     /* ... and behind that */
	enum ask_kind kind;
	struct extended_run run;        /* of the kinds that are not ASK_QUERY */
	size_t begin;                   /* of this command's answer in out */
	bool has_failed;                /* the rest is not to be run */
	struct timer timer;             /* of a wait, until check says that it is over */
	ask_check_f *check;             /* NULL: it does not wait */
	ask_finish_f *undo;             /* when the wait is cancelled; may be NULL */
	uint64_t next_look_us;          /* how long until the next one */
	uint64_t wanted;                /* KILL_CLIENT: whom, and whether it was there */
	uint32_t found;
	uint32_t elsewhere;             /* processes that it was passed on to */
	ask_visit_f *visit;             /* of the tour; NULL: only counts */
	ask_finish_f *finish;           /* back home; NULL: nothing left to do */
	const struct table *table;      /* of what the visits add */
	uint32_t clients_in_state[CLIENT_STATE_COUNT];  /* of all workers, after a tour */
	struct buf out;                 /* the answer, without ReadyForQuery */
};

/* What a word of commands.def or views.def leads to. */
typedef enum ask_result ask_handler_f(struct ask *);

struct console {
	struct router *router;
	struct console_calls calls;
	struct started started;
	pthread_mutex_t lock;           /* of what follows */
	struct list asks;
	struct averages averages;
	ask_finish_f *go_on;            /* runs the rest, then replies */
	_Atomic uint64_t commands;
	_Atomic uint64_t sent_bytes;
	_Atomic uint64_t received_bytes;
};

/* Visits all workers, this one first, then finishes. */
enum ask_result ask_tour(struct ask *, ask_visit_f *, ask_finish_f *);

/* Looks again and again, less and less often, until check says that it is over.  A
 * cancel request ends it, too, and so does the client's end. */
enum ask_result ask_wait(struct ask *, ask_check_f *, ask_finish_f *undo);
/* That client does not want to wait any more. */
void ask_cancel(struct console *, const struct client *);

/* The answer is an error, and the last one; what this command has written is
 * dropped. */
void ask_error(struct ask *, const char *sqlstate, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void ask_error_hint(struct ask *, const char *sqlstate, const char *hint,
	const char *fmt, ...) PRINTF_LIKE(4, 5);

/* In the log: somebody has given this command. */
void ask_log(const struct ask *);

/* Sends the answer and frees the ask.  On the client's worker. */
void ask_reply(struct ask *);

struct ask *ask_create(struct console *, struct client *);
/* Of a thread that is no worker: it runs a view's handler itself.  Where that says
 * ASK_LATER, arrived() comes when all workers have been visited, and the thread goes
 * on with ask_finish().  The answer is then in out. */
struct ask *ask_create_apart(struct console *, ask_arrived_f *, void *owner);
void ask_finish(struct ask *);
void ask_destroy(struct ask *);

static inline struct directory *ask_directory(const struct ask *ask)
{
	return ask->console->router->directory;
}

#endif
