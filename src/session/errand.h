/* SPDX-License-Identifier: ISC */
/*
 * An errand: a query that the router asks PostgreSQL for itself, with the login that
 * the host names for that.
 *
 * It waits for a server as a client does, in the router's own workload; its rows go to
 * a callback; the server goes back.  What it runs is to leave nothing behind in the
 * session: it is not reset afterwards.
 *
 * Owns:   its place in the queue, or its server, from errand_start() until done().
 *         The struct is embedded in what the errand is for.
 * Thread: the worker that it was started on.
 * Limits: one Query; ERRAND_COLUMNS_MAX columns; rows as long as SERVER_INSPECT_MAX.
 */
#ifndef SESSION_ERRAND_H
#define SESSION_ERRAND_H

#include "session/router.h"

enum { ERRAND_COLUMNS_MAX = 16 };

struct errand;
struct frame;

enum errand_result {
	ERRAND_OK,
	ERRAND_ERROR,           /* PostgreSQL's, or there is no way to ask it */
	ERRAND_TIMEOUT,
	ERRAND_ABORTED          /* the process ends: nothing may be started any more */
};

struct errand_column {
	const char *data;       /* not terminated; NULL: it is null */
	size_t len;
};

struct errand_ops {
	/* A row, valid during the call.  Rows may come and an error after them. */
	void (*row)(struct errand *, const struct errand_column *, size_t count);
	/* Once, perhaps before errand_start() returns; the errand may be started again
	 * or freed from here.  error is for ERROR, and for a TIMEOUT for want of a connection; else
	 * its texts are "". */
	void (*done)(struct errand *, enum errand_result, const struct pool_error *error);
};

enum errand_state { ERRAND_RESTS, ERRAND_WAITS, ERRAND_RUNS };

struct errand {
	const struct errand_ops *ops;
	enum errand_state state;
	struct worker *worker;
	struct slice *slice;            /* while it does not rest */
	struct server *server;          /* RUNS */
	const char *sql;                /* the caller's until done() */
	const char *param;              /* $1 of it, the caller's, too; NULL: a plain query */
	struct lease lease;
	struct timer timer;
	struct list_node in_worker;     /* worker->errands */
};

void errand_init(struct errand *, const struct errand_ops *);

/* dbname NULL: the one that the host names.  The time is for waiting and for the
 * answer together. */
void errand_start(struct errand *, struct worker *, struct route_host *,
	const char *dbname, const char *sql, uint64_t timeout_us);

/* A lease came through the inbox, or was refused. */
void errand_granted(struct errand *);
void errand_refused(struct errand *);

/* The server has an answer: a row (false: it makes no sense), the end of it (error
 * NULL: all went well), or it is lost.  The server is not the errand's any more after
 * the last two. */
NODISCARD bool errand_row(struct errand *, const struct frame *);
void errand_answered(struct errand *, const struct pool_error *error);

/* The process ends: all of this worker are done, with ABORTED. */
void errand_abort_all(struct worker *);

static inline struct errand *errand_from_lease(struct lease *l)
{
	return container_of(l, struct errand, lease);
}

#endif
