/* SPDX-License-Identifier: ISC */
/*
 * What was sent to a server of a transaction port beside what the client sent, or in
 * its place, and what the replies to it mean.
 *
 * A step is an extended-protocol message whose reply matters here: Parse, Bind, Close,
 * Describe of a statement; ends of exchanges stand between them.  Replies come in the
 * order of steps.  An error undoes, last first, all steps up to the next Sync: the
 * server skips them (PostgreSQL documentation, 55.2.3).
 *
 * Owns:   references to names, and to statements but for STEP_BIND and STEP_DESCRIBE,
 *         which only tell them apart.
 * Thread: one; pure, no I/O, no clock.
 * Limits: STEPS_MAX at a time; steps_has_room() tells when the sender has to stop.
 */
#ifndef SESSION_STEPS_H
#define SESSION_STEPS_H

#include "session/prepared.h"

enum { STEPS_MAX = 4096 };

enum step_kind {
	STEP_PARSE,             /* a named one; '1' goes on */
	STEP_PARSE_OURS,        /* '1' is swallowed */
	STEP_PARSE_FAKED,       /* a Close in place of a Parse: '3' goes on as '1' */
	STEP_UNNAMED,           /* Parse; the server had the client's unnamed one before */
	STEP_UNNAMED_FIRST,     /* Parse; it may have had somebody else's */
	STEP_UNNAMED_OURS,      /* Parse or Close that the client did not send: swallowed */
	STEP_BIND,              /* '2' goes on */
	STEP_DESCRIBE,          /* 't' goes on, and then 'T' or 'n' */
	STEP_BIND_SHARED,       /* the same two of the unnamed one, which stands for a
				   shared one: client_reuse.c */
	STEP_DESCRIBE_SHARED,
	STEP_CLOSE,             /* '3' goes on */
	STEP_CLOSE_UNNAMED,     /* the same, of the client's unnamed one */
	STEP_CLOSE_OURS,        /* '3' is swallowed */
	STEP_BIND_OURS,         /* '2' is swallowed */
	STEP_TEXT_PARSE,        /* of a text that is only to be read: '1' is swallowed */
	STEP_TEXT_CLOSE,        /* right behind it: '3' is swallowed */
	STEP_SQL_PARSE,         /* Parse by the client's own name, for SQL: '1' is swallowed */
	STEP_SQL_AGAIN,         /* PREPARE that the client did not send: 'C' is swallowed */
	STEP_SQL_END,           /* COMMIT behind these: 'C' and its warning are swallowed */
	STEP_SQL_CLOSE,         /* Close of what one of these has made: '3' is swallowed */
	STEP_SQL_PREPARE,       /* the client's PREPARE; 'C' goes on */
	STEP_SQL_DROP,          /* its DEALLOCATE; 'C' goes on */
	STEP_DEALLOCATE,        /* a query in place of DEALLOCATE: its tag is replaced */
	STEP_DEALLOCATE_ALL,
	STEP_DROPS_ALL,         /* DISCARD ALL and its kin run here; no reply of its own */
	STEP_MAKES_TABLE,       /* CREATE TABLE AS and SELECT INTO: the same */
	STEP_PORTAL_BOUND,      /* right behind what it has come to be by, and with its reply:
				   a portal that does something to names: client_portal.c */
	STEP_PORTAL_GONE,       /* the same: it was closed, or has run, or is another */
	STEP_REFUSED,           /* sent to fail: the error is replaced */
	STEP_DUPLICATE,         /* the same: there is one of this name */
	STEP_STALE,             /* the same: it gives other columns now */
	STEP_RESERVED,          /* the same: the name is one of ours */
	STEP_NOT_BY_SQL,        /* the same: EXECUTE of what does something to names */
	STEP_NOT_ALLOWED,       /* the same: session state that is not allowed */
	STEP_NOT_PINNED,        /* the same: ... for which no lease may be pinned */
	STEP_END_QUERY,         /* Query or FunctionCall */
	STEP_END_SYNC
};

struct step {
	enum step_kind kind;
	bool has_begun;                 /* STEP_DESCRIBE and its kin: 't' was there */
	bool is_void;                   /* the server had it already, or has it not any more */
	bool is_executes;               /* its tag is that of one Execute and of nothing else */
	uint32_t place;                 /* replies of its exchange before its own */
	struct prepared *statement;     /* which it is about, or NULL */
	struct prepared_name *name;     /* the client's, or NULL */
};

struct steps {
	struct step *ring;
	uint32_t size;
	uint32_t first;
	uint32_t count;
	uint32_t changes;               /* of them: what makes or drops statements */
	uint32_t tables;        /* ... STEP_MAKES_TABLE */
	uint32_t drops_all;     /* ... STEP_DEALLOCATE_ALL, and beside it STEP_DROPS_ALL */
	uint32_t deallocates_all;
	uint32_t unnamed;       /* ... what the unnamed statement is another, or none, behind */
	uint32_t ends;
	/* What was told to be gone is taken away, and what is in flight has yet to be done again
	 * on top of that: server_redo.c. */
	bool redoes, redoes_sql, redoes_names;
	uint64_t pushed;        /* steps that ever were */
	uint64_t undone;        /* ... when one that changes something was last undone */
};

/* Time for a sender that had to stop to go on. */
static inline bool steps_has_room_again(const struct steps *q)
{
	return q->count <= STEPS_MAX / 2;
}

static inline bool steps_has_room(const struct steps *q)
{
	/* A message may bring three, and its end one. */
	return q->count + 4 <= STEPS_MAX;
}

/* Takes the references that it holds.  place: the messages of the exchange before it that
 * get a reply each.  False without memory. */
NODISCARD bool steps_push(struct steps *, enum step_kind, uint32_t place, struct prepared *,
	struct prepared_name *);
/* The last one is what the portal of an Execute does, which is sent next. */
void steps_run_by_execute(struct steps *);

enum step_verdict {
	STEP_FORWARD,
	STEP_DROP,
	STEP_AS_PARSE,          /* forward as ParseComplete */
	STEP_AS_DEALLOCATE,     /* forward as the result of DEALLOCATE */
	STEP_AS_DEALLOCATE_ALL,
	STEP_UNEXPECTED         /* nothing of the kind was asked for */
};

/* Something but a tag is about to be received: what has no reply of its own and stands in
 * front of it has run. */
void steps_ran(struct steps *);

/* A tag that may be that of a STEP_MAKES_TABLE. */
bool steps_make_table(struct steps *);

/* The server sent '1', '2', '3', 't' or 'C' for the client; a 'C' that no step waits
 * for is forwarded. */
enum step_verdict steps_received(struct steps *, uint8_t type);

/* So many replies of the exchange have come.  Drops what was answered with one of them
 * without being told: portals; and the tags that Executes did not give, as they ran
 * something else, which are undone. */
void steps_settle(struct steps *, int64_t replied,
	void (*undo)(const struct step *, void *), void *arg);

/* 'T' or 'n': the end of what describes a statement, if it is such a one's.  True: of a
 * shared one. */
bool steps_described(struct steps *);

/* ReadyForQuery of a client's exchange.  each (or NULL) gets what goes with it. */
void steps_ended(struct steps *, void (*each)(struct step *, void *), void *arg);

/* The Syncs behind a COPY FROM STDIN that the server ignores. */
void steps_drop_syncs(struct steps *, uint32_t count);

/* All that is in flight, the first first. */
void steps_each(const struct steps *, void (*each)(const struct step *, void *), void *arg);

/* The same the last first, and once more the first first, where steps change. */
void steps_back(struct steps *, void (*each)(struct step *, void *), void *arg);
void steps_forth(struct steps *, void (*each)(struct step *, void *), void *arg);

/* Whether what is sent next can count on what was sent before it: not where something
 * that makes or drops this is not answered yet, and fails without that what is sent next
 * is skipped, too, as an end stands between.  Of this name (or NULL), of the body with this
 * length (or 0) and hash_bytes(); any where there is neither. */
bool steps_are_sure(const struct steps *, const char *name, size_t len, uint64_t print);

/* The same of what the unnamed statement is: Queries end it, too, and only a Sync ends what
 * is skipped with them. */
bool steps_unnamed_is_sure(const struct steps *);

/* Was anything undone that changes something, in front of the first or behind it, since that
 * was sent? */
bool steps_head_is_unsure(const struct steps *);

/* Is this the reply that the first waits for? */
bool steps_awaits(const struct steps *, uint8_t type);

/* What the server has failed at; kind STEP_END_SYNC when it is none of these. */
struct step steps_head(const struct steps *);

/* An error in an extended-protocol message: calls undo for each step up to the next
 * Sync, the last first. */
void steps_fail(struct steps *, void (*undo)(const struct step *, void *), void *arg);
/* An error in a Query: the same up to its end, which stays. */
void steps_fail_query(struct steps *, void (*undo)(const struct step *, void *), void *arg);

/* Nothing is in flight any more: the same for all that is left. */
void steps_fail_all(struct steps *, void (*undo)(const struct step *, void *), void *arg);

/* Frees everything. */
void steps_finish(struct steps *);

#endif
